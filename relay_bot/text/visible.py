"""What of a text can be seen, and what is taken out before it is shown."""

from __future__ import annotations

import unicodedata
from typing import Final

import regex

PICTOGRAPH: Final = r"(?:[\p{Emoji}--[0-9#*]]|\p{Extended_Pictographic})"
"""A character that an emoji can begin with; code points that Unicode keeps free for emoji are among them."""
_TAGS: Final = r"[\U000e0020-\U000e007e]"
TAG_SEQUENCE: Final = rf"(?<={PICTOGRAPH}){_TAGS}+\U000e007f"
"""What makes one flag another (England, Scotland): tags behind an emoji, with their end. Others are hidden text."""

_NONCHARACTER: Final = r"\p{Noncharacter_Code_Point}"
_UNSHOWN: Final = rf"\p{{Default_Ignorable_Code_Point}}\p{{Cc}}\p{{Cs}}\p{{Co}}{_NONCHARACTER}[\p{{Cf}}--\p{{PCM}}]"
BLANK: Final = rf"[\s{_UNSHOWN}\u2800\ufffc\U0001d159]"
"""Spaces, and what takes no ink: the blank Braille cell and the Hangul fillers among them."""

_ALL_BLANK: Final = regex.compile(rf"{BLANK}*", regex.VERSION1)
_BREAKS: Final = regex.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_CONTROL: Final = regex.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TURNING: Final = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_DISTURBING: Final = regex.compile(rf"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f{_TURNING}]")
_KEPT: Final = r"\u200c\u200d\p{Variation_Selector}\u115f\u1160"
"""Invisible alone, but they shape what is beside them: Persian and Indic joiners, emoji, Mongolian, old Hangul."""
_HIDDEN: Final = regex.compile(
    rf"{TAG_SEQUENCE}(*SKIP)(*FAIL)|[[{_UNSHOWN}]--[{_KEPT}]]|(?<=\p{{Variation_Selector}})\p{{Variation_Selector}}",
    regex.VERSION1,
)


def is_blank(text: str) -> bool:
    """Tell whether nothing of a text can be seen."""
    return _ALL_BLANK.fullmatch(text) is not None


def clean_text(text: str) -> str:
    """Take out control characters other than newline and tab, and the space around; empty where nothing can be seen."""
    found = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    return found if found.isascii() or not is_blank(found) else ""


def disturbs(text: str) -> bool:
    """Tell whether a text has control characters, or marks that change the direction of what is read."""
    return _DISTURBING.search(text) is not None


def one_line(text: str) -> str:
    """Give a text as one line that can be shown, in normal form C; empty where nothing visible is left.

    Line breaks and tabs become spaces, several spaces one. What can't be shown is taken out: control characters, marks
    and overrides of direction, zero-width and private characters, text hidden in tags. What can be shown stays.
    """
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", _HIDDEN.sub("", _BREAKS.sub(" ", text)))
        if is_blank(text):
            return ""
    return " ".join(text.split())
