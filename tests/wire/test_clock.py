"""Times: ISO 8601 on the wire, milliseconds inside, the same both ways."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay_bot.wire.clock import iso, iso_or_none, now_ms, parse_iso

YEAR_9999 = 253_402_300_799_999


@given(st.integers(0, YEAR_9999))
@example(0)
@example(1_769_853_600_001)
@example(95_678_440_422_683)  # no float of seconds has this millisecond
def test_a_time_comes_back_as_it_went(ms: int) -> None:
    assert parse_iso(iso(ms)) == ms


def test_the_published_form() -> None:
    assert iso(1_769_853_600_000) == "2026-01-31T10:00:00.000Z"
    assert iso_or_none(None) is None
    assert iso_or_none(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T10:00:00Z", "2026-01-31T10:00Z", "2026-01-31T12:00:00.000+02:00", "2026-01-31T10:00:00.000000Z"],
)
def test_other_forms_of_the_same_time(text: str) -> None:
    assert parse_iso(text) == 1_769_853_600_000


@pytest.mark.parametrize("text", ["", "soon", "2026-01-31", "1769853600", "2026-13-01T00:00:00Z", "2026-01-31T25:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_iso(text)


@given(st.text(max_size=30) | st.from_regex(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d[-+:.0-9Z]{0,12}\Z"))
@example("0001-01-01T00:00+23:59")
@example("9999-12-31T23:59-23:59")
@example("9999-12-31T23:59:59.9999")
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        ms = parse_iso(text)
    except ValueError:
        return
    assert parse_iso(iso(ms)) == ms


def test_now_is_the_clock_in_milliseconds() -> None:
    assert abs(now_ms() - time.time() * 1000) < 1000
