"""What the terminal shows of a poll."""

import io
from typing import Any

import pytest
from rich.console import Console

from scripts.devstack import bars
from scripts.devstack.bars import Bars, Tally

OPTIONS = ("Pizza", "Salad")


def _shown(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80, color_system=None)
    with Bars("Lunch?", 4, console) as shown:
        shown.show(Tally(OPTIONS))
        shown.show(Tally(OPTIONS, (1, 0), 1))
        shown.show(Tally(OPTIONS, (2, 1), 3))
        shown.show(Tally(OPTIONS, (2, 2), 4, closed=True))
    return out.getvalue()


def test_plain_lines_elsewhere_than_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "_PLAIN_PAUSE", 0.0)
    assert _shown(terminal=False).splitlines() == [
        "Lunch?",
        "Pizza 0 · Salad 0   (0 of 4 have voted)",
        "Pizza 1 · Salad 0   (1 of 4 have voted)",
        "Pizza 2 · Salad 1   (3 of 4 have voted)",
        "Pizza 2 · Salad 2   (4 of 4 have voted, closed)",
    ]


def test_plain_lines_are_few_and_the_last_is_the_result() -> None:
    lines = _shown(terminal=False).splitlines()
    assert lines == [lines[0], lines[1], "Pizza 2 · Salad 2   (4 of 4 have voted, closed)"]


def test_bars_on_a_terminal() -> None:
    last = _shown(terminal=True).split("Lunch?")[-1]
    assert "4 of 4 have voted · closed" in last
    assert "━" in last
    assert last.count("50%") == 2


def test_the_newest_results_count_whatever_comes_last() -> None:
    from scripts.devstack.crowd import latest_tally
    from tests.support.clients import Received

    def told(kind: str, seq: int, voters: int) -> Received:
        payload: dict[str, Any] = {"poll_id": "p", "seq": seq, "counts": [voters, 0], "total_voters": voters}
        return Received(kind, payload, None, {}, b"", "", None, 0.0)

    received = [told("poll_results", 3, 3), told("poll_results", 2, 2), told("ack", 9, 9)]
    assert latest_tally(received, "p").total_voters == 3
    assert latest_tally(received, "other").total_voters == 0
    assert not latest_tally(received, "p").closed
    assert latest_tally([*received, told("poll_closed", 4, 4)], "p").closed
