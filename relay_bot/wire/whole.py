"""Whole numbers that came as floats: JSON knows one sort of number, and many programs write 50 as `50.0`."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

_MOST: Final = 100
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def convert_whole(values: dict[str, Any], kind: Any, *, strict: bool = True) -> Any:
    """Convert like `msgspec.convert`; a float that is whole is taken where an integer is expected.

    Nothing is changed where a float may stand. Raises `msgspec.ValidationError`.
    """
    for _ in range(_MOST):
        try:
            return msgspec.convert(values, kind, strict=strict)
        except msgspec.ValidationError as error:
            changed = _with_whole(values, str(error))
            if changed is None:
                raise
            values = changed
    return msgspec.convert(values, kind, strict=strict)


def _with_whole(values: dict[str, Any], error: str) -> dict[str, Any] | None:
    """Give the values with an integer in the place that an error names; `None` where that can't be done."""
    said, _, path = error.partition(" - at `$")
    expected, _, got = said.partition(", got ")
    steps = [name or int(index) for name, index in _STEP.findall(path.rstrip("`"))]
    if "int" not in expected or got != "`float`" or not steps:
        return None
    made: Any = dict(values)
    try:
        part = made
        for step in steps[:-1]:
            part[step] = part[step].copy()  # what the caller has stays as it is
            part = part[step]
        found = part[steps[-1]]
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    if not isinstance(found, float) or not found.is_integer():
        return None
    part[steps[-1]] = int(found)
    return made
