"""What is one emoji, and which are the same."""

from __future__ import annotations

import unicodedata
from typing import Final

import emoji
import regex

from relay_bot.text.visible import PICTOGRAPH

_SELECTORS: Final = regex.compile(r"[\ufe0e\ufe0f]")
_TO_COME: Final = regex.compile(r"[\p{Extended_Pictographic}--\p{Assigned}]\p{Emoji_Modifier}?", regex.VERSION1)
"""What Unicode keeps free for emoji: newer ones than the libraries know."""
STARTS: Final = regex.compile(rf"{PICTOGRAPH}|\p{{Regional_Indicator}}|[0-9#*]\ufe0f?\u20e3", regex.VERSION1)


def emoji_key(text: str) -> str:
    """Give an emoji without variation selectors, in normal form C: the key by which it is the same."""
    return _SELECTORS.sub("", unicodedata.normalize("NFC", text.strip()))


def is_emoji(text: str) -> bool:
    """Tell whether a text is one emoji, with or without variation selectors."""
    key = emoji_key(text)
    return _known(key) or _TO_COME.fullmatch(key) is not None


def _known(key: str) -> bool:
    return key in _KEYS


_KEYS: Final = frozenset(_SELECTORS.sub("", known) for known in emoji.EMOJI_DATA)
