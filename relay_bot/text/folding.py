"""Which texts are the same, however they are written."""

from __future__ import annotations

import unicodedata
from typing import Final

import regex

from relay_bot.text.visible import PICTOGRAPH, TAG_SEQUENCE

_IN_EMOJI: Final = rf"{TAG_SEQUENCE}|(?<={PICTOGRAPH}(?:\ufe0f|\p{{Emoji_Modifier}})?)\u200d(?={PICTOGRAPH})"
_IGNORED: Final = regex.compile(
    rf"(?:{_IN_EMOJI})(*SKIP)(*FAIL)"
    r"|[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}[\p{Cf}--\p{PCM}]--\s]",
    regex.VERSION1,
)
_QUOTES: Final = str.maketrans({"’": "'", "‘": "'", "‛": "'", "ʼ": "'", "＇": "'", "‐": "-", "‑": "-"})
_POINTS: Final = regex.compile(
    # Vowels and other points that Arabic and Hebrew may be written with or without; the line that makes a word longer.
    r"[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670"
    r"\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u08d3-\u08e1\u08e3-\u08ff]"
    # Marks on Latin, Greek and Cyrillic that no written letter is made with, and those around any character.
    r"|(?<=[\p{Latin}\p{Greek}\p{Cyrillic}\p{Nd}]\p{M}*)\p{M}|\p{Me}|\p{Emoji_Modifier}"
)


def spaces_folded(text: str) -> str:
    """Give a text with each run of spaces as one, and none around it."""
    return " ".join(text.split())


def fold_text(text: str, *, case: bool = True) -> str:
    """Give the key by which two texts are the same to a reader.

    Normal form C, whatever the case; without what is invisible (what makes an emoji another one stays); spaces folded.
    With `case=False` upper and lower case stay different.
    """
    if text.isascii() and text.isprintable():
        return spaces_folded(text.casefold() if case else text)
    if case:
        text = unicodedata.normalize("NFD", text).casefold().replace("i̇", "i")
    return spaces_folded(_IGNORED.sub("", unicodedata.normalize("NFC", text)))


def fold_to_match(text: str) -> str:
    """Give a text as a filter looks at it: `fold_text`, and alike in all that may hide a word.

    Compatible forms (full-width, circled, mathematical) are their letters, quotes and hyphens one, points of Arabic and
    Hebrew, marks that belong to no letter and shades of skin are left out. Accents that make a letter stay.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.casefold().split())
    folded = unicodedata.normalize("NFKC", fold_text(unicodedata.normalize("NFKC", text))).translate(_QUOTES)
    return spaces_folded(_POINTS.sub("", folded))
