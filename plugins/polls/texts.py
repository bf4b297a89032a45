"""What people write: cleaned to be shown, and cut into words for the cloud."""

from __future__ import annotations

from typing import Final

from plugins.polls.stopwords import Language, stop_words
from relay_bot.plugin import disturbs, fold_text, graphemes, list_words, one_line

_MAX_WORD: Final = 40

__all__ = ["Language", "clean", "disturbs", "fold_text", "said_words", "stop_words", "words"]


def clean(text: str) -> str:
    """Give the text as it may be shown; empty where nothing visible is left."""
    return one_line(text)


def words(text: str) -> frozenset[str]:
    """List the words of an answer, each once, by the keys under which they are counted."""
    return frozenset(said_words(text))


def said_words(text: str) -> dict[str, tuple[str, bool]]:
    """List the words of an answer by their keys, each with how it is written first, and whether it is surely meant.

    Surely meant is the only word of an answer ("No"), and one in capitals among words that aren't (the US, IT): such
    a word counts also where it looks like one of those that say nothing.
    """
    listed = list_words(text)
    shouted = text.upper() == text
    found: dict[str, tuple[str, bool]] = {}
    for key, written in listed:
        short = "".join(graphemes(key)[:_MAX_WORD]) if len(key) > _MAX_WORD else key
        capitals = not shouted and len(written) > 1 and written.isupper()
        meant = capitals or len(listed) == 1
        if short not in found or (meant and not found[short][1]):
            found[short] = ("".join(graphemes(written)[:_MAX_WORD]), meant)
    return found
