"""The words of a text in any script, by ICU's rules and dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import regex
from icu4py.breakers import WordBreaker

from relay_bot.text.emojis import STARTS, emoji_key
from relay_bot.text.folding import fold_to_match
from relay_bot.text.visible import one_line

_WORDLIKE: Final = regex.compile(r"[\p{L}\p{N}]")
_JOINING: Final = frozenset("-‐‑&")
"""Between two words without a space they make one: well-being, R&D."""
_BEHIND: Final = frozenset("+#%")
"""Directly behind a word they belong to it: C++, F#, 10%."""
_BEFORE: Final = frozenset(".+-")
"""Directly before a word, with nothing before them: .NET, +1."""
_CLUSTER: Final = regex.compile(r"\X")


class Word(NamedTuple):
    """A word as it is written, and the key by which it is the same as others."""

    key: str
    written: str


def graphemes(text: str) -> list[str]:
    """List what a reader takes for the characters of a text."""
    return _CLUSTER.findall(text)


def list_words(text: str) -> list[Word]:
    """List the words of a text in their order, emoji among them; punctuation and spaces are left out.

    Scripts without spaces (Chinese, Japanese, Thai, Khmer, Lao, Burmese) are cut by ICU's dictionaries.
    """
    return [Word(_key(written), written) for written in _joined(list(WordBreaker(one_line(text), "en")))]


def _key(written: str) -> str:
    return emoji_key(written) if STARTS.match(written) else fold_to_match(written)


def _joined(segments: list[str]) -> Iterator[str]:
    """Put together what ICU cuts though it is one word."""
    at, count = 0, len(segments)
    while at < count:
        begin = at
        if segments[at] in _BEFORE and at + 1 < count and _is_free(segments, at, segments[at + 1]):
            at += 1
        if not _is_word(segments[at]):
            if STARTS.match(segments[at]):
                yield segments[at]
            at += 1
            continue
        at += 1
        while at + 1 < count and segments[at] in _JOINING and _is_word(segments[at + 1]):
            at += 2
        end = at
        while end < count and segments[end] in _BEHIND:
            end += 1
        if end == count or not _is_word(segments[end]):
            at = end
        yield "".join(segments[begin:at])


def _is_word(segment: str) -> bool:
    return _WORDLIKE.search(segment) is not None and not STARTS.match(segment)


def _is_free(segments: list[str], at: int, following: str) -> bool:
    """Tell whether a sign begins a word: nothing is before it, and what follows is of its kind."""
    if at and not segments[at - 1].isspace():
        return False
    return following[0].isalpha() if segments[at] == "." else following[0].isdigit()
