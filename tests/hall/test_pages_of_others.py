"""What the published chat snippet and LiveKit's stock chat show of what the bot says, and the envelope's own pages."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from relay_bot.link import Frame
from relay_bot.settings import HallsSettings, Settings
from relay_bot.testing import Guest, HallKit

STOCK = {"id": "s1", "message": "from stock"}
SNIPPET = {"type": "chat", "id": "n1", "text": "from a snippet", "senderId": "ann", "senderName": "Ann", "timestamp": 1}


class Snippet:
    """The published page (reference: chat): what it has on the screen after these packets."""

    def __init__(self, packets: list[dict[str, Any]]) -> None:
        self.messages: list[dict[str, Any]] = []
        for packet in packets:
            if packet.get("type") == "chat":
                self.messages.append({**packet, "reactions": {}})
            if packet.get("type") == "reaction":
                for message in self.messages:
                    if message.get("id") == packet.get("targetMessageId"):
                        message["reactions"].setdefault(packet["emoji"], []).append(packet.get("senderName"))

    @property
    def shown(self) -> list[tuple[Any, ...]]:
        fields = ("id", "text", "senderName", "senderId", "isPrivate")
        return [(*(each.get(name) for name in fields), each["reactions"]) for each in self.messages]


def stock(guest: Guest) -> list[tuple[str, str]]:
    """What LiveKit's stock chat shows: packets on its own topic."""
    return [(packet["id"], packet["message"]) for packet in guest.received if packet["type"] == "chatMessage"]


def tell(kit: HallKit, identity: str, packet: dict[str, Any], topic: str = "") -> None:
    kit.room.tell(Frame(json.dumps(packet).encode(), identity, time.monotonic(), topic=topic))


async def test_a_snippet_page_shows_each_message_once(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann, bob = await kit.join("ann", name="Ann"), await kit.join("bob", name="Bob")
        await ann.ask("chat", {"text": "hello"}, "m1")
        await kit.backend("reaction", {"emoji": "🔥", "x": 0.5})
        await ann.ask("reaction", {"emoji": "🔥"})
        await bob.ask("reaction", {"emoji": "👍", "message_id": "m1"})
        await bob.ask("reaction", {"emoji": "👍", "message_id": "m1"})
        await ann.ask("chat", {"text": "psst", "to": ["bob"]}, "m2")
        await kit.backend("chat", {"text": "welcome"})
        await kit.settle()
        shown = Snippet(bob.received).shown
        assert shown[:2] == [
            ("m1", "hello", "Ann", "ann", False, {"👍": ["Bob"]}),
            ("m2", "psst", "Ann", "ann", True, {}),
        ]
        assert (len(shown), shown[2][1:]) == (3, ("welcome", "Relay", "relay-bot", False, {}))
        assert [each["text"] for each in bob.all("chat")] == ["hello", "psst", "welcome"]


async def test_it_is_one_packet_where_a_snippet_was_heard_too(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann, bob = await kit.join("ann", name="Ann"), await kit.join("bob")
        tell(kit, "ann", SNIPPET)
        await ann.ask("chat", {"text": "hello"}, "m1")
        await kit.settle()
        assert [each[:2] for each in Snippet(bob.received).shown] == [("m1", "hello")]


async def test_what_everybody_gets_has_only_its_own_fields_where_the_dialect_is_off(tmp_path: Path) -> None:
    settings = Settings(halls=HallsSettings(dialects=()))
    async with HallKit.open(tmp_path, {"chat": {}}, settings=settings) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("chat", {"text": "hello"}, "m1")
        await kit.settle()
        [packet] = [packet for packet in bob.received if packet.get("type") == "chat"]
        assert set(packet) == {"relay_version", "type", "sender_id", "timestamp", "payload"}


@pytest.mark.parametrize("text", ["x" * 4_000, "\U0001f600" * 3_000, '"' * 4_000])
async def test_what_has_no_room_twice_is_cut_for_the_snippet_alone(tmp_path: Path, text: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("chat", {"text": text}, "m1")
        await kit.settle()
        [packet] = [packet for packet in bob.received if packet.get("type") == "chat"]
        assert packet["payload"]["text"] == text
        assert len(packet["text"]) > 400
        assert text.startswith(packet["text"].rstrip("…"))
        assert len(json.dumps(packet, ensure_ascii=False, separators=(",", ":")).encode()) <= 15_000


async def test_stock_chat_shows_what_others_say_by_rpc_and_backend(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann, bob, cid = await kit.join("ann", name="Ann"), await kit.join("bob"), await kit.join("cid")
        await ann.ask("chat", {"text": "hello"}, "m1")
        await ann.ask("chat", {"text": "psst", "to": ["bob"]}, "m2")
        await kit.backend("chat", {"text": "welcome"})
        tell(kit, "ann", STOCK, "lk-chat-topic")  # all have it from its sender
        await kit.settle()
        assert stock(bob)[:2] == [("m1", "Ann: hello"), ("m2", "Ann: psst")]
        assert [text for _, text in stock(cid)] == ["Ann: hello", "Relay: welcome"]


async def test_who_comes_late_is_told_what_was_said(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann = await kit.join("ann", name="Ann")
        tell(kit, "ann", SNIPPET)
        tell(kit, "ann", STOCK, "lk-chat-topic")
        await ann.ask("chat", {"text": "psst", "to": ["bob"]}, "m1")
        for guest, private in ((await kit.join("bob"), True), (await kit.join("cid"), False)):
            await guest.wait("hall_state")
            await kit.settle()
            seen = ["from a snippet", "from stock", *["psst"] * private]
            shown = Snippet(guest.received).shown
            assert [each[1] for each in shown] == seen
            assert {each[2:4] for each in shown} == {("Ann", "ann")}
            assert [each[4] for each in shown] == [text == "psst" for text in seen]
            assert [text for _, text in stock(guest)] == [f"Ann: {text}" for text in seen]
            assert [each["text"] for each in guest.all("chat")] == seen, "the envelope's pages read them as well"


async def test_nobody_is_told_twice_where_all_know_the_envelope(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann = await kit.join("ann")
        await ann.ask("chat", {"text": "hello"}, "m1")
        bob = await kit.join("bob")
        await bob.wait("hall_state")
        await bob.ask("sync", {})
        bob.send("sync", {})
        await kit.settle()
        assert [packet["type"] for packet in bob.received] == ["hall_state", "hall_state"]
