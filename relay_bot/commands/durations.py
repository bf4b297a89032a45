"""How long: `90s`, `10m`, `1h30m`, `2 days`, `1.5 h`, `2h30`."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import Final, NamedTuple

import regex

ACCEPTED: Final = "30s, 10m, 1.5h, 1h 30m, 2 days or 1w"
"""What is accepted, for those who wrote something else."""

_UNITS: Final = {
    604_800: ("w", "wk", "wks", "week", "weeks"),
    86_400: ("d", "day", "days"),
    3_600: ("h", "hr", "hrs", "hour", "hours"),
    60: ("m", "min", "mins", "minute", "minutes"),
    1: ("s", "sec", "secs", "second", "seconds"),
}
_SECONDS: Final = {name: seconds for seconds, names in _UNITS.items() for name in names}
_NEXT: Final = {604_800: 86_400, 86_400: 3_600, 3_600: 60}
_NUMBER: Final = r"(?:\d{1,9}(?:[.,]\d{1,6})?|[.]\d{1,6})"
_PART: Final = regex.compile(
    rf"(?:\s+and\s+|\s*,\s+|\s*)({_NUMBER})\s*({'|'.join(_SECONDS)})(?![^\W\d_])", regex.IGNORECASE
)
_BARE: Final = regex.compile(r"(\d{1,2})(?![\w.,:%-])")
_ENDS: Final = regex.compile(r"(?=\s|$)|[,;:](?=\s|$)")
_LIKE_NUMBER: Final = regex.compile(r"[-+\u2212\u2013\u2014]?[.]?\p{N}")


class Duration(NamedTuple):
    """Seconds, and where the text goes on behind them."""

    seconds: int
    end: int


def looks_like_number(text: str) -> bool:
    """Tell whether a text begins as a number does, in any script, with a sign or without."""
    return _LIKE_NUMBER.match(text) is not None


def duration_at(text: str, start: int = 0) -> Duration | None:
    """Read the duration that begins at `start`; `None` where there is none, or what follows makes it unsure."""
    plain = _plain(text)
    at, total, last = start, Decimal(0), 0
    while found := _PART.match(plain, at):
        unit = _SECONDS[found[2].casefold()]
        if (last and unit >= last) or (at == start and found.start(1) != start):
            break
        total += Decimal(found[1].replace(",", ".")) * unit
        at, last = found.end(), unit
    if not last:
        return None
    if last in _NEXT and (bare := _BARE.match(plain, at)):  # 2h30
        total, at = total + int(bare[1]) * _NEXT[last], bare.end()
    elif found is not None:
        return None  # 10m 1h: a larger unit behind a smaller one
    ends = _ENDS.match(plain, at)
    return None if ends is None else Duration(round(total), ends.end())


def parse_duration(text: str) -> int | None:
    """Read a text that is a duration and nothing else, in seconds; `None` for anything else."""
    stripped = text.strip()
    found = duration_at(stripped)
    return found.seconds if found is not None and found.end == len(stripped) else None


def _plain(text: str) -> str:
    """Give full-width letters and digits, and those of other scripts, as ASCII, each in its place."""
    return text if text.isascii() else "".join(map(_plain_character, text))


def _plain_character(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 else character
