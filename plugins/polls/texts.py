"""What people write, made safe to show: no control characters, nothing that reorders or hides text."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from relay_bot.plugin import words_of

_BREAKS: Final = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
_JOINERS: Final = frozenset("\u200c\u200d")
"""Persian words and composed emoji need these; alone they are nothing."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_MAX_WORD: Final = 40


_DISTURBING: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def disturbs(text: str) -> bool:
    """Tell whether a text has control characters, or marks that change the direction of what is read."""
    return _DISTURBING.search(text) is not None


def clean(text: str) -> str:
    """Give the text as it may be shown; empty where nothing visible is left.

    Line breaks and tabs become spaces; control characters, right-to-left marks and overrides, zero-width
    and private characters are taken out; what is left is in normal form C.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = [
        character
        for character in _BREAKS.sub(" ", text)
        if character in _JOINERS or unicodedata.category(character) not in _HIDDEN
    ]
    found = unicodedata.normalize("NFC", "".join(kept)).strip()
    return found if found.strip("\u200c\u200d ") else ""


def words(text: str) -> frozenset[str]:
    """List the words of an answer, each once."""
    return frozenset(word[:_MAX_WORD] for word in words_of(text))


_COMMON: Final = (
    "a about all also am an and any are as at be because been but by can could did do does for from had has have"
    " he her his how i i'm if in into is it it's its just me more my no not of on or our out she so some than that"
    " the their them then there they this to too up us very was we were what when where which who why will with"
    " would yes you your"
    " aber als am an auch auf aus bei bin das dass dem den der des die ein eine einen er es für hat ich ihr im in"
    " ist ja mit nicht noch nur oder sehr sich sie sind so und uns von war was wie wir zu zum zur"
    " au aux avec ce ces dans de des du elle en est et il je la le les mais ne nous on ou par pas pour que qui sur"
    " un une vous"
    " al como con de del el ella en es la las lo los más no para pero por que se su un una y yo"
)
COMMON: Final = frozenset(_COMMON.split())
"""Words that say nothing in a word cloud: English, German, French, Spanish."""
