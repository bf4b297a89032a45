"""Quotes of every kind, as keyboards and telephones make them; a backslash says that a quote is meant as it is."""

from __future__ import annotations

from typing import Final, NamedTuple

import regex

LEAD: Final = regex.compile(r"[\s\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\p{Cs}]+")
"""Spaces of all kinds, and what is invisible, before the next word."""

_CLOSING: Final = {
    '"': '"',
    "\uff02": "\uff02",
    "“": "”“",
    "”": "”",
    "„": "“”„",
    "‟": "”‟",
    "〝": "〞〟",
    "«": "»",
    "»": "«»",
    "「": "」",
    "『": "』",
    "｢": "｣",
    "'": "'",
    "\uff07": "\uff07",
    "‘": "’‘",
    "’": "’",
    "‚": "‘’",
    "‹": "›",
    "›": "‹›",
    "`": "`´",
}
_DOUBLE: Final = '"\uff02“”„‟〝〞〟'
_SINGLE: Final = "'\uff07‘’‚`´"
"""Also an apostrophe: one of these closes only where a word ends."""
_ESCAPED: Final = regex.compile(r"""\\([\\|"'“”„‟«»‹›「」『』‘’‚`\uff02\uff07〝〞〟])""")


class Quoted(NamedTuple):
    """What stood in quotes, and where the text goes on behind them."""

    text: str
    end: int


def quoted_at(text: str, start: int = 0) -> Quoted | None:
    """Read quotes that open at `start`; `None` where none open or none close."""
    opening = text[start : start + 1]
    closing = _CLOSING.get(opening)
    if closing is None:
        return None
    family = next((family for family in (_DOUBLE, _SINGLE) if opening in family), "")
    for allowed in (closing, family):  # the other kind closes them only where their own doesn't
        end = _closed_at(text, start + 1, allowed, single=opening in _SINGLE)
        if end is not None:
            return Quoted(unescaped(text[start + 1 : end]), end + 1)
    return None


def _closed_at(text: str, start: int, closing: str, *, single: bool) -> int | None:
    at = start
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] in closing and (not single or at + 1 == len(text) or not text[at + 1].isalnum()):
            return at
        at += 1
    return None


def unescaped(text: str) -> str:
    """Take the backslash away before quotes, bars and backslashes; before anything else it is one itself."""
    return _ESCAPED.sub(r"\1", text)


def split_at_bars(text: str) -> list[str]:
    """Split `A | "B | C" | D` at the bars that stand neither in quotes nor behind a backslash; parts as written."""
    parts: list[str] = []
    begin, at, fresh = 0, 0, True
    while at < len(text):
        found = quoted_at(text, at) if fresh else None
        if found is not None and _ends_part(text, found.end):
            at, fresh = found.end, False
        elif text[at] == "\\":
            at, fresh = at + 2, False
        elif text[at] == "|":
            parts.append(text[begin:at])
            begin, at, fresh = at + 1, at + 1, True
        else:
            fresh = fresh and LEAD.match(text[at]) is not None
            at += 1
    return [*parts, text[begin:]]


def _ends_part(text: str, end: int) -> bool:
    """Tell whether quotes that close at `end` hold a whole part: a bar, the end or a last word (a time) follows."""
    rest = text[end:]
    return not rest or rest[0] == "|" or rest[0].isspace()


def unquoted(text: str) -> str:
    """Give a text without the spaces around it, and without quotes where the whole of it stands in them."""
    text = LEAD.sub("", text, count=1).strip() if LEAD.match(text) else text.strip()
    found = quoted_at(text)
    return found.text.strip() if found is not None and found.end == len(text) else unescaped(text)
