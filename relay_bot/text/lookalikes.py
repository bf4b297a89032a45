"""Which names look the same, by Unicode's table of confusable characters (UTS 39)."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

import msgspec
import regex

from relay_bot.text.folding import fold_to_match

_COMPARED: Final = regex.compile(
    r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Cherokee}\p{Coptic}\p{Lisu}\p{Common}]"
)
"""Scripts whose letters pass for Latin ones. Of others a table would make one name of two that nobody mistakes."""


_WORD: Final = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_LATIN: Final = regex.compile(r"[A-Za-z]")


class _Alike(msgspec.Struct, frozen=True):
    c: str


@cache
def _latin_for() -> dict[int, str]:
    """Give for each character that looks like an ASCII one that one."""
    data = files("confusable_homoglyphs").joinpath("confusables.json").read_bytes()
    table = msgspec.json.decode(data, type=dict[str, list[_Alike]])
    found: dict[int, str] = {}
    for written, alike in table.items():
        if len(written) == 1 and not written.isascii() and _COMPARED.match(written):
            same = next((each.c for each in alike if len(each.c) == 1 and each.c.isascii()), None)
            if same is not None:
                found[ord(written)] = same
    return found


@lru_cache(maxsize=20_000)
def name_keys(name: str) -> frozenset[str]:
    """Give the keys of a name: two names are the same to a reader where they have a key in common.

    Case, form, spaces and what is invisible don't count, and characters of another script that look like Latin ones are
    those. Small and capital letters look like others than each other, hence more than one key. Empty for an empty name.
    """
    folded = fold_to_match(name)
    if not folded:
        return frozenset()
    if folded.isascii():
        return frozenset({folded})
    small = folded.translate(_latin_for())
    capital = unicodedata.normalize("NFC", folded.upper()).translate(_latin_for()).casefold()
    return frozenset({fold_to_match(small), fold_to_match(capital)})


def unmixed(text: str) -> str:
    """Put Latin letters for those that look like them, in words that have Latin letters as well; others stay."""
    return text if text.isascii() else _WORD.sub(_latin_word, text)


def _latin_word(found: regex.Match[str]) -> str:
    word = found[0]
    return word.translate(_latin_for()) if _LATIN.search(word) and not word.isascii() else word
