"""What was committed but had not left when the process died is said after the restart, where it still matters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from relay_bot.hall import saying
from relay_bot.testing import Guest, HallKit


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with HallKit.open(tmp_path, {"polls": {}, "chat": {}, "announcements": {}}) as made:
        yield made


@pytest.fixture
async def ann(kit: HallKit) -> Guest:
    return await kit.join("ann")


def block(kit: HallKit) -> None:
    """Let nothing leave any more until the hall is restarted."""

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    kit.hall._outbox._publish = never  # type: ignore[method-assign]


def noted(kit: HallKit) -> int | None:
    assert kit.journal._store is not None
    assert kit.hall.session is not None
    rows = kit.journal._store.snapshots(kit.hall.session.info.id)
    return next((seq for _, name, seq, _, _ in rows if name == saying.SAID), None)


async def test_a_backends_chat_that_was_acked(kit: HallKit, ann: Guest) -> None:
    await kit.backend("chat", {"text": "before"})
    await ann.wait("chat")
    block(kit)
    await kit.backend("chat", {"text": "kept"})
    assert [each["text"] for each in ann.all("chat")] == ["before"]
    await kit.restart()
    await ann.wait("chat", lambda payload: payload["text"] == "kept")
    ids = [each["message_id"] for each in ann.all("chat") if each["text"] == "kept"]
    assert len(ids) == 1


async def test_an_announcement(kit: HallKit, ann: Guest) -> None:
    block(kit)
    await kit.backend("announcement", {"text": "kept"})
    await kit.restart()
    assert (await ann.wait("announcement"))["text"] == "kept"


async def test_the_end_of_a_poll(kit: HallKit, ann: Guest) -> None:
    await kit.backend("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"]})
    await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    block(kit)
    await kit.backend("poll_close", {"poll_id": "p"})
    await kit.restart()
    closed = await ann.wait("poll_closed")
    assert (closed["poll_id"], closed["status"]) == ("p", "closed")


async def test_not_what_was_opened_again_or_deleted_since(kit: HallKit, ann: Guest) -> None:
    await kit.backend("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"]})
    block(kit)
    await kit.backend("poll_close", {"poll_id": "p"})
    await kit.call("polls", "reopen_poll", poll_id="p")
    await kit.backend("chat", {"text": "deleted"})
    messages = await kit.call("chat", "list_messages")
    await kit.call("chat", "delete_message", message_id=messages["messages"][0]["message_id"])
    await kit.restart()
    await ann.wait("chat_deleted")
    await kit.settle()
    assert ann.all("poll_closed") == []
    assert ann.all("chat") == []


async def test_what_has_left_is_noted_and_not_said_again(
    kit: HallKit, ann: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saying, "_NOTE_SECONDS", 0.0)
    await kit.backend("chat", {"text": "said"})
    await ann.wait("chat")
    await kit.until(lambda: noted(kit) == kit.hall.seq)
    await kit.restart()
    await kit.settle()
    assert len(ann.all("chat")) == 1


async def test_a_busy_hall_notes_it_with_its_commits(kit: HallKit, ann: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No row for each packet, and no commit of its own."""
    monkeypatch.setattr(saying, "_NOTE_SECONDS", 60.0)
    await kit.backend("chat", {"text": "one"})
    await kit.settle()
    before = kit.hall.seq
    await kit.backend("chat", {"text": "two"})
    await kit.settle()
    assert noted(kit) == before


async def test_a_hall_that_ends_in_order_says_nothing_twice(kit: HallKit, ann: Guest) -> None:
    await kit.backend("chat", {"text": "said"})
    await kit.stop()
    await kit.start()
    await kit.settle()
    assert len(ann.all("chat")) == 1


async def test_what_is_long_past_is_not_said(kit: HallKit) -> None:
    rows = kit.hall.session
    assert rows is not None
    unsaid = saying.Unsaid(rows.plugins)
    unsaid.noted = 0
    unsaid.see((1, 1, 1_000_000, "chat.message_said", b"{}"))
    unsaid.see((1, 2, 1_500_000, "chat.message_said", b"{}"))
    unsaid.see((1, 3, 1_500_000, "hands.hand_raised", b"{}"))
    assert [row[1] for row in unsaid.take(1_650_000)] == [2]
    assert unsaid.take(1_650_000) == [], "once"


async def test_it_is_said_by_who_was_here_before_a_snapshot_of_the_state(
    kit: HallKit, ann: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state's snapshot has the event already: it is read for being said all the same."""
    monkeypatch.setattr(saying, "_NOTE_SECONDS", 0.0)
    await kit.backend("chat", {"text": "said"})
    await kit.until(lambda: noted(kit) == kit.hall.seq)
    block(kit)
    monkeypatch.setattr("relay_bot.hall.session.SNAPSHOT_EVERY", 1)
    await kit.backend("chat", {"text": "kept"})
    await kit.restart()
    await ann.wait("chat", lambda payload: payload["text"] == "kept")
