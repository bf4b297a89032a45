"""Percentages and leaders."""

from __future__ import annotations

from collections.abc import Sequence


def percentages(counts: Sequence[int]) -> list[int]:
    """Give whole percentages that add up to 100, by largest remainder; all 0 where nothing was counted."""
    total = sum(counts)
    if total <= 0:
        return [0] * len(counts)
    shares = [divmod(count * 100, total) for count in counts]
    found = [whole for whole, _ in shares]
    left = 100 - sum(found)
    for index in sorted(range(len(counts)), key=lambda index: (-shares[index][1], index))[:left]:
        found[index] += 1
    return found


def of_voters(counts: Sequence[int], voters: int) -> list[int]:
    """Give how many percent of the voters chose each option, rounded; with several choices they exceed 100."""
    return [(count * 200 + voters) // (2 * voters) if voters else 0 for count in counts]


def leaders(counts: Sequence[int]) -> list[int]:
    """List the options that have the most: several for a tie, none where nothing was counted."""
    most = max(counts, default=0)
    return [index for index, count in enumerate(counts) if count == most] if most > 0 else []


def exact(counts: Sequence[int], whole: int | None = None) -> list[float]:
    """Give percentages to one decimal, each rounded for itself: equals are equal, and they may not add up to 100.

    They are shares of `whole` (the voters, say), else of all that was counted.
    """
    total = sum(counts) if whole is None else whole
    return [(count * 2000 + total) // (2 * total) / 10 if total > 0 else 0.0 for count in counts]
