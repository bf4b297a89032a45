"""Refusals: what the sender is told, and what may be tried again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from relay_bot.wire.refusal import TRANSIENT, Code, Refuse


def test_a_plain_refusal_has_its_code_and_words() -> None:
    assert Refuse("muted", "you are muted").payload("m1") == {"id": "m1", "code": "muted", "message": "you are muted"}


def test_a_message_without_an_id_is_refused_with_null() -> None:
    assert Refuse("muted", "you are muted").payload(None)["id"] is None


def test_the_field_and_the_time_to_wait_are_told_where_there_are_any() -> None:
    payload = Refuse("rate_limited", "too fast", field="payload.text", retry_after_ms=250).payload("m1")
    assert (payload["field"], payload["retry_after_ms"]) == ("payload.text", 250)


def test_a_wait_of_nothing_is_told_too() -> None:
    assert Refuse("busy", "again", retry_after_ms=0).payload(None)["retry_after_ms"] == 0


def test_only_what_time_can_mend_may_be_tried_again() -> None:
    assert {"busy", "rate_limited", "sender_unknown", "internal"} == TRANSIENT
    assert set(get_args(Code)) > TRANSIENT


def test_every_code_that_the_bot_uses_is_one_of_the_wire() -> None:
    root = Path(__file__).parents[2]
    used = {
        code
        for folder in ("relay_bot", "plugins")
        for path in (root / folder).rglob("*.py")
        for code in re.findall(r'Refuse\(\s*"([a-z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert used
    assert used <= set(get_args(Code))
