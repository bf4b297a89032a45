"""What clients of all ages put on the data channel, and packets that are none of our business."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from relay_bot.link import Frame
from relay_bot.settings import GateSettings, Rate, Settings
from relay_bot.testing import Guest, HallKit, Refused

ALL_DIALECTS = Settings()


def send(kit: HallKit, guest: Guest, data: bytes | dict[str, Any], topic: str = "") -> None:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    kit.room.tell(Frame(raw, guest.identity, time.monotonic(), topic=topic))


def tell(kit: HallKit, guest: Guest, packet: Any, to: tuple[str, ...]) -> None:
    """Send a packet, or a stock text stream, that is addressed."""
    stock = packet is STOCK
    frame = Frame(json.dumps(packet).encode(), guest.identity, time.monotonic(), topic="lk-chat-topic" * stock, to=to)
    if packet == "stream":
        frame = Frame(b"hello", guest.identity, time.monotonic(), "chat", "lk.chat", stream_id="s1", to=to)
    kit.room.tell(frame)


async def texts(kit: HallKit) -> list[str]:
    return [each["text"] for each in (await kit.call("chat", "list_messages"))["messages"]]


@pytest.mark.parametrize(
    ("topic", "packet", "text"),
    [
        ("lk-chat-topic", {"message": "Hello"}, "Hello"),
        ("lk-chat-topic", {"id": "", "message": "Hello", "timestamp": "now"}, "Hello"),
        ("lk-chat-topic", {"id": 7, "message": "Hello"}, "Hello"),
        ("lk-chat-topic", {"id": None, "message": "Hello", "senderName": None}, "Hello"),
        ("lk-chat-topic", {"id": "a", "message": "Hello", "ignoreLegacy": False}, "Hello"),
        ("lk-chat-topic", b'\xef\xbb\xbf{"message": "Hello"}', "Hello"),
        ("lk-chat-topic", b'{"message": "cut \\ud83d"}', "cut \ufffd"),
        ("lk-chat-topic", b'{"message": "whole \\ud83d\\ude00"}', "whole \U0001f600"),
        ("lk-chat-topic", b'{"message": "bad \xff"}', "bad \ufffd"),
        ("", {"type": "chat", "id": 5, "text": "Hi", "senderId": "bob"}, "Hi"),
        ("", {"type": "chat", "id": "", "text": "Hi", "senderId": "", "senderName": None, "isPrivate": None}, "Hi"),
        ("", {"type": "chat", "id": "x", "text": "Hi", "senderId": 5, "timestamp": [], "isPrivate": "no"}, "Hi"),
        ("", {"type": "chat_message", "message": "Hi", "senderId": "", "timestamp": None}, "Hi"),
        ("", {"type": "chat_message", "message": "Hi", "senderId": "bob", "timestamp": "1", "accepted": 0}, "Hi"),
        ("", b'\xef\xbb\xbf{"relay_version": "1", "type": "chat", "payload": {"text": "Hi"}}', "Hi"),
        (
            "relay",
            b'{"relay_version": "1", "type": "chat", "payload": {"text": "cut \\ud83d"}, "id": "a"}',
            "cut \ufffd",
        ),
    ],
)
async def test_what_clients_show_is_kept(tmp_path: Path, topic: str, packet: Any, text: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}, settings=ALL_DIALECTS) as kit:
        bob = await kit.join("bob")
        send(kit, bob, packet, topic)
        await kit.settle()
        assert (await texts(kit), bob.all("error")) == ([text], [])


async def test_the_public_copy_of_a_text_stream_is_no_message(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob")
        send(kit, bob, {"id": "a", "timestamp": 1, "message": "for ann alone", "ignoreLegacy": True}, "lk-chat-topic")
        await kit.settle()
        assert (await texts(kit), bob.all("error")) == ([], [])


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        ("cursor", {"x": 1}),
        ("", {"x": 1}),
        ("cursor", b"\x00\x01"),
        ("cursor", b"x" * 20_000),
        ("cursor", b"[[[["),
        ("game", {"type": "chat_x", "payload": 5}),
        ("", {"type": "move", "id": "a"}),
    ],
)
async def test_packets_of_the_application_are_answered_by_silence(tmp_path: Path, topic: str, data: Any) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob")
        for _ in range(20):
            send(kit, bob, data, topic)
        await kit.settle()
        assert bob.all("error") == []


@pytest.mark.parametrize(
    ("topic", "data"),
    [("", {"relay_version": "1", "type": 5}), ("cursor", {"relay_version": "2", "type": "x"}), ("relay", b"{"),
     ("relay", {"x": 1}), ("", {"relay_version": "1", "type": "chat", "payload": [], "id": "a"})],
)  # fmt: skip
async def test_envelopes_are_answered(tmp_path: Path, topic: str, data: Any) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob")
        send(kit, bob, data, topic)
        await kit.settle()
        assert bob.last("error")["code"] in ("malformed", "unsupported_version")


async def test_a_copy_costs_nothing(tmp_path: Path) -> None:
    settings = Settings(gate=GateSettings())
    async with HallKit.open(tmp_path, {"chat": {}}, settings=settings) as kit:
        bob = await kit.join("bob")
        for number in range(16):
            for _ in range(3):
                send(kit, bob, {"id": f"m{number}", "message": f"text {number}"}, "lk-chat-topic")
        await kit.settle()
        assert len(await texts(kit)) == 16


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("poll_respons", "poll_response"), ("chat_delte", "chat_delete"), ("hand_rais", "hand_raise"), ("sinc", "sync")],
)
async def test_a_mistyped_type_that_nobody_else_hears(tmp_path: Path, typo: str, meant: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}, "polls": {}, "hands": {}}) as kit:
        bob = await kit.join("bob")
        with pytest.raises(Refused, match=f"did you mean '{meant}'") as refused:
            await bob.ask(typo, {})
        assert (refused.value.code, refused.value.payload["field"]) == ("unknown_type", "type")
        bob.send(typo, {}, "m1")  # others may have heard it
        await kit.settle()
        assert bob.last("ack")["ids"] == ["m1"]


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (("chat_history", {"before": "x"}), "payload.before"),
        (("chat_delete", {"message_id": "x"}), "payload.message_id"),
    ],
)
async def test_errors_name_the_field_that_is_there(tmp_path: Path, ask: tuple[str, dict[str, Any]], field: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob")
        with pytest.raises(Refused) as refused:
            await bob.ask(*ask)
        assert refused.value.payload["field"] == field
        with pytest.raises(Refused) as refused:
            await kit.call("chat", "list_messages", before="x")
        assert refused.value.payload["field"] == "before"


@pytest.mark.parametrize("message_id", [".", ".."])
async def test_every_message_can_be_addressed(tmp_path: Path, message_id: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob")
        kept = (await bob.ask("chat", {"text": "hello"}, message_id))["message_id"]
        assert kept not in (".", "..")
        assert (await kit.call("chat", "delete_message", message_id=kept)) == {"message_id": kept}


async def test_the_room_of_hall_state_is_spread_fairly(tmp_path: Path) -> None:
    settings = Settings(gate=GateSettings(rates={"default": Rate(1_000, 1_000), "chat": Rate(1_000, 1_000)}))
    async with HallKit.open(tmp_path, {"chat": {}, "polls": {}}, settings=settings) as kit:
        host, bob = await kit.join("host", role="host"), await kit.join("bob")
        for number in range(20):
            poll = {"question": f"Question {number}? " + "?" * 100, "options": ["yes" * 10, "no" * 10]}
            poll_id = (await host.ask("poll", poll))["poll_id"]
            await bob.ask("poll_response", {"poll_id": poll_id, "option": 0})
        for number in range(40):
            await bob.ask("chat", {"text": f"{number} " + "x" * 300})
        state = await bob.ask("sync", {})
        assert len(state["polls"]) == 20 or len(json.dumps(state["messages"])) < 4_000
        assert len(state["messages"]) >= 4
        assert state["messages"][-1]["text"].startswith("39 ")


@pytest.mark.parametrize("text", ["/shrug ok", "//x", "/ /", "/unheard-of\nline"])
async def test_what_everybody_saw_is_kept_though_it_begins_like_a_command(tmp_path: Path, text: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob")
        send(kit, bob, {"id": "a", "message": text}, "lk-chat-topic")
        await kit.settle()
        assert await texts(kit) == [text]
        with pytest.raises(Refused, match="there is no command"):
            await bob.say("/shrug to the bot alone")
        assert await texts(kit) == [text]


@pytest.mark.parametrize(
    "text", ["x" * 4_001, "x" * 14_000, "x" * 40_000, "é" * 5_000, "\U0001f600" * 4_000, '"' * 9_000]
)
@pytest.mark.parametrize("dialect", ["stock", "snippet", "show"])
async def test_what_everybody_saw_is_kept_cut_and_flagged(tmp_path: Path, text: str, dialect: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob")
        packets = {
            "stock": {"id": "a", "message": text},
            "snippet": {"type": "chat", "id": "a", "text": text, "senderId": "bob"},
            "show": {"type": "chat_message", "message": text, "senderId": "bob", "timestamp": 1},
        }
        send(kit, bob, packets[dialect], "lk-chat-topic" if dialect == "stock" else "")
        await kit.settle()
        [kept] = (await kit.call("chat", "list_messages"))["messages"]
        assert kept["truncated"]
        assert text.startswith(kept["text"])
        assert len(kept["text"]) >= 2_000
        assert kit.fingerprints() == await kit.replayed()


@pytest.mark.parametrize(
    ("payload", "more", "sent", "count", "not_here"),
    [
        ({"text": "x"}, {}, True, None, []),
        ({"text": "x", "to": ["bob"]}, {}, True, 1, []),
        ({"text": "x", "to": ["bob"]}, {"sender_id": "ann"}, True, 1, []),
        ({"text": "x", "to": ["bob", "ghost"]}, {}, True, 2, ["ghost"]),
        ({"text": "x"}, {"to": ["ghost"]}, False, 1, ["ghost"]),
        ({"text": "x", "to": ["ghost"]}, {"sender_id": "bob"}, False, 1, ["ghost"]),
        ({"text": "x"}, {"to": []}, False, 0, []),
    ],
)
async def test_an_interaction_is_answered_with_those_whom_it_went_to(
    tmp_path: Path, payload: dict[str, Any], more: dict[str, Any], sent: bool, count: int | None, not_here: list[str]
) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        await kit.join("bob")
        answer = await kit.backend("chat", payload, **more)
        assert (answer["sent"], answer["broadcast"], answer["recipient_count"]) == (sent, count is None, count)
        assert answer.get("not_here", []) == not_here


@pytest.mark.parametrize("kind", ["scene_change", "reaction"])
async def test_an_interaction_that_no_plugin_says_is_answered_alike(tmp_path: Path, kind: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        await kit.join("bob")
        answer = await kit.backend(kind, {"emoji": "👍"}, to=["ghost", "bob"])
        assert (answer["sent"], answer["recipient_count"], answer["not_here"]) == (True, 2, ["ghost"])
        answer = await kit.backend(kind, {"emoji": "👍"}, to=["ghost"])
        assert (answer["sent"], answer["recipient_count"], answer["not_here"]) == (False, 1, ["ghost"])


async def test_an_order_that_says_nothing_was_not_sent(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}, "polls": {}}) as kit:
        await kit.join("bob")
        poll = {"question": "Tea?", "options": ["yes", "no"]}
        assert (await kit.backend("poll", poll))["sent"]
        assert not (await kit.backend("poll", poll | {"state": "draft"}))["sent"]
        await kit.join("host", role="host")
        assert (await kit.backend("poll", poll | {"state": "draft"}))["sent"], "hosts hear of it"
        assert (await kit.backend("chat_mode", {"mode": "hosts"}))["sent"]


async def test_a_message_says_who_of_its_addressees_is_not_here(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann, _ = await kit.join("ann"), await kit.join("bob")
        assert (await ann.ask("chat", {"text": "x", "to": ["bob"]}, "m1")) is None
        assert (await ann.ask("chat", {"text": "x", "to": ["ghost", "bob"]}, "m2")) == {"not_here": ["ghost"]}
        ann.send("chat", {"text": "x", "to": ["ghost"]}, "m3")
        await kit.settle()
        assert ann.last("ack") == {"ids": ["m3"], "result": {"not_here": ["ghost"]}}


async def test_a_client_cannot_say_that_everybody_has_heard_it(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob")
        bob.send("chat", {"text": "x" * 5_000, "heard": True}, "m1")
        await kit.settle()
        assert bob.last("error")["code"] == "malformed"
        assert await texts(kit) == []


STOCK = {"id": "m1", "message": "hello"}
SNIPPET = {"type": "chat", "id": "m1", "text": "hello", "senderId": "ann", "senderName": "Ann", "isPrivate": True}
ENVELOPE = {"relay_version": "1", "type": "chat", "id": "m1", "payload": {"text": "hello"}}


@pytest.mark.parametrize("packet", [STOCK, SNIPPET, ENVELOPE, "stream"])
async def test_what_is_addressed_to_some_is_private_to_those(tmp_path: Path, packet: Any) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}, settings=ALL_DIALECTS) as kit:
        ann, bob, cid = await kit.join("ann"), await kit.join("bob"), await kit.join("cid")
        tell(kit, ann, packet, ("bob", "relay-bot"))
        await kit.settle()
        assert (await kit.call("chat", "list_messages"))["messages"][0]["to"] == ("bob",)
        assert [guest.all("chat") for guest in (bob, cid)] == [[], []], "they have it from its sender"
        seen = [len((await guest.ask("sync", {}))["messages"]) for guest in (ann, bob, cid)]
        assert seen == [1, 1, 0]
        assert kit.fingerprints() == await kit.replayed()


@pytest.mark.parametrize("packet", [STOCK, ENVELOPE, "stream"])
async def test_what_is_addressed_to_the_bot_alone_is_relayed(tmp_path: Path, packet: Any) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        tell(kit, ann, packet, ("relay-bot",))
        await kit.settle()
        assert [each["text"] for each in bob.all("chat")] == ["hello"]
        assert await texts(kit) == ["hello"]


async def test_what_is_private_to_the_bot_alone_reaches_nobody_else(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}, settings=ALL_DIALECTS) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        tell(kit, ann, SNIPPET, ("relay-bot",))
        await kit.settle()
        assert (bob.all("chat"), (await bob.ask("sync", {}))["messages"]) == ([], [])


async def test_a_mistyped_type_to_the_bot_alone(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        ann = await kit.join("ann")
        envelope: dict[str, Any] = {"relay_version": "1", "type": "poll_respons", "id": "m1", "payload": {}}
        tell(kit, ann, envelope, ("relay-bot",))
        tell(kit, ann, envelope | {"id": "m2"}, ("relay-bot", "bob"))
        await kit.settle()
        assert (ann.last("error")["id"], ann.last("error")["code"]) == ("m1", "unknown_type")
        assert ann.last("ack")["ids"] == ["m2"]


@pytest.mark.parametrize("text", ["/shrug ok", "x" * 40_000])
async def test_what_everybody_saw_in_a_stream_is_kept(tmp_path: Path, text: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        ann = await kit.join("ann")
        kit.room.tell(Frame(text.encode(), "ann", time.monotonic(), "chat", "lk.chat", stream_id="s1"))
        await kit.settle()
        [kept] = (await kit.call("chat", "list_messages"))["messages"]
        assert (text.startswith(kept["text"]), kept.get("truncated", False)) == (True, len(text) > 4_000)
        kit.room.tell(Frame(b"/shrug", "ann", time.monotonic(), "chat", "lk.chat", stream_id="s2", to=("relay-bot",)))
        await kit.settle()
        assert "there is no command" in ann.last("notice")["text"]
        assert len(await texts(kit)) == 1
