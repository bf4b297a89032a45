"""What a backend passes on has its author's rights; its own orders have the backend's."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from relay_bot.testing import HallKit, Refused

BUILT_IN: dict[str, Any] = {"chat": {}, "moderation": {}, "hands": {}, "polls": {}, "announcements": {}}
BAN = {"action": "ban", "participant_id": "bob"}


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with HallKit.open(tmp_path, BUILT_IN) as made:
        yield made


async def code(awaitable: Any) -> str:
    with pytest.raises(Refused) as refused:
        await awaitable
    return refused.value.code


def banned(kit: HallKit) -> int:
    return kit.hall.summary()["moderation"]["banned"]


@pytest.mark.parametrize("text", ["/ban bob", "/help", "//ban bob", " /mute bob", "/ no command"])
@pytest.mark.parametrize("sender", ["mallory", "host", "nobody", None])
async def test_a_relayed_text_is_never_a_command(kit: HallKit, text: str, sender: str | None) -> None:
    bob, _ = await kit.join("bob"), await kit.join("host", role="host")
    await kit.join("mallory")
    answer = await kit.backend("chat", {"text": text, "display_name": "M"}, sender_id=sender)
    assert answer["sent"] is True
    assert "result" not in answer
    assert (await bob.wait("chat"))["text"] == text
    assert banned(kit) == 0
    assert bob in kit.room.guests.values()


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("poll", {"question": "Tea?", "options": ["yes", "no"]}),
        ("moderation", BAN),
        ("guest_promote", {"participant_id": "bob"}),
        ("announcement", {"text": "listen"}),
        ("chat_mode", {"mode": "hosts"}),
        ("hands_open", {"open": False}),
        ("hand_raise", {"raised": False, "participant_id": "bob"}),
    ],
)
async def test_a_relayed_order_needs_its_authors_role(kit: HallKit, kind: str, payload: dict[str, Any]) -> None:
    bob = await kit.join("bob")
    await bob.ask("hand_raise", {"raised": True})
    await kit.join("ann")
    await kit.join("host", role="host")
    for sender in ("ann", "not here"):
        before = kit.fingerprints()
        assert await code(kit.backend(kind, payload, sender_id=sender)) == "forbidden"
        assert kit.fingerprints() == before
    await kit.backend(kind, payload, sender_id="host")


async def test_a_relayed_moderator_acts_within_their_rank(kit: HallKit) -> None:
    for identity, role in (("mo", "moderator"), ("host", "host"), ("bob", "")):
        await kit.join(identity, role=role)
    assert await code(kit.backend("moderation", BAN | {"participant_id": "host"}, sender_id="mo")) == "forbidden"
    await kit.backend("moderation", BAN, sender_id="mo")
    assert banned(kit) == 1
    sanctions = (await kit.call("moderation", "list_sanctions"))["sanctions"]
    assert sanctions[0]["by"] == "mo"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("chat", {"text": "hello"}),
        ("reaction", {"emoji": "🔥"}),
        ("hand_raise", {"raised": True}),
        ("custom", {"x": 1}),
        ("poll_response", {"poll_id": "p", "option": 0}),
    ],
)
async def test_the_guards_are_those_of_the_author(kit: HallKit, kind: str, payload: dict[str, Any]) -> None:
    bob = await kit.join("bob")
    await kit.join("ann")
    await kit.backend("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"]})
    await kit.call("moderation", "decide", action="mute", participant_id="ann")
    await kit.call("moderation", "decide", action="ban", participant_id="gone")
    assert await code(kit.backend(kind, payload, sender_id="ann")) == "muted"
    assert await code(kit.backend(kind, payload, sender_id="gone")) == "blocked"
    await kit.settle()
    assert bob.all(kind) == []
    await kit.call("moderation", "decide", action="unmute", participant_id="ann")
    await kit.backend(kind, payload, sender_id="ann")


async def test_a_relayed_vote_is_their_vote(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await kit.backend("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"]})
    await kit.backend("poll_response", {"poll_id": "p", "option": 0}, sender_id="ann")
    await ann.ask("poll_response", {"poll_id": "p", "option": 1})
    poll = await kit.call("polls", "get_poll", poll_id="p")
    assert (poll["counts"], poll["total_voters"]) == ([0, 1], 1)
    assert await code(kit.backend("poll_response", {"poll_id": "p", "option": 0})) == "forbidden"


async def test_the_payload_is_delivered_as_provided_also_where_a_plugin_says_it(kit: HallKit) -> None:
    bob = await kit.join("bob")
    said = {"text": "  Great presentation! ", "display_name": "Alice", "color": "red", "nested": {"a": [1, None]}}
    await kit.backend("chat", said, sender_id="user_abc123")
    heard = await bob.wait("chat")
    assert {name: heard[name] for name in said} == said
    envelope = next(packet for packet in bob.received if packet["type"] == "chat")
    assert envelope["sender_id"] == "user_abc123"
    await kit.backend("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"], "theme": "dark"})
    assert (await bob.wait("poll"))["theme"] == "dark"


async def test_what_a_plugin_keeps_to_itself_is_not_sent_on_as_unknown(kit: HallKit) -> None:
    bob = await kit.join("bob")
    quiz = {"poll_id": "q", "question": "2+2?", "options": ["3", "4"], "kind": "quiz", "correct": [1]}
    await kit.backend("poll", quiz)
    assert "correct" not in await bob.wait("poll")


async def test_the_dialects_get_the_unknown_fields_as_well(kit: HallKit) -> None:
    kit.hall.hear_dialect("chat")
    bob = await kit.join("bob")
    await kit.backend("chat", {"text": "hi", "color": "red"}, sender_id="ann")
    await kit.until(lambda: any("text" in packet for packet in bob.received))
    packet = next(packet for packet in bob.received if "text" in packet)
    assert (packet["text"], packet["senderId"], packet["color"]) == ("hi", "ann", "red")


async def test_nobody_speaks_in_the_bots_name(kit: HallKit) -> None:
    bob = await kit.join("bob")
    assert await code(kit.backend("custom", {"x": 1}, sender_id="relay-bot")) == "malformed"
    await kit.settle()
    assert bob.all("custom") == []


async def test_a_backends_own_order_has_its_rights(kit: HallKit) -> None:
    await kit.join("host", role="host")
    await kit.backend("moderation", {"action": "mute", "participant_id": "host"})
    assert kit.hall.summary()["moderation"]["muted"] == 1


async def test_a_backend_runs_commands_by_a_door_of_its_own(kit: HallKit) -> None:
    ann, host = await kit.join("ann", name="Ana"), await kit.join("host", role="host")
    assert (await kit.command("/mute ana 10m")).startswith("muted Ana until ")
    assert (await kit.command("unmute ana")) == "unmuted Ana"
    assert "/mute NAME" in await kit.command("/help")
    assert await code(kit.command("/nonsense")) == "not_found"
    assert await code(kit.command(" / ")) == "malformed"
    assert (ann.all("notice"), host.all("notice")) == ([], [])
