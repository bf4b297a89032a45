"""Small words around numbers."""

from __future__ import annotations


def counted(number: float, noun: str) -> str:
    """Give a number with its noun: `1 voter`, `2 voters`."""
    return f"{number:,g} {noun}{'' if number == 1 else 's'}".replace(",", "")
