"""What is a command, and what stands behind it; no door lets one through to everybody."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from relay_bot.hall.commands import command_line
from relay_bot.link import Frame
from relay_bot.testing import Guest, HallKit, Refused


@pytest.mark.parametrize(
    "before",
    ["", " ", "\t", "\n", "\u00a0", "\u200b", "\ufeff", "\u2060 ", "\u2800", "\u3164", "\u202e", "\x00", "\u3000"],
)
@pytest.mark.parametrize("slash", ["/", "／", "\u2215", "\u2044"])
def test_what_stands_before_a_command_hides_it_not(before: str, slash: str) -> None:
    assert command_line(f"{before}{slash}mute x", "/") == "mute x"
    assert command_line(f"{before}{slash}\u200bmute x ", "/") == "mute x"


@pytest.mark.parametrize("text", ["//mute", " //mute", "／／mute", "a /mute", "1/2", "", " ", ".", "⁄⁄x"])
def test_what_is_no_command(text: str) -> None:
    assert command_line(text, "/") is None


@pytest.mark.parametrize(("prefix", "text"), [("!", "！mute"), ("!", " !mute"), ("／", "/mute"), ("!!", "！！mute")])
def test_another_prefix(prefix: str, text: str) -> None:
    assert command_line(text, prefix) == "mute"


@pytest.mark.parametrize(
    "line",
    [
        "/mute bob", "/Mute bob", "/MUTE\u00a0bob", "/mute\nbob", "/mute\tbob", "/mute\u200b bob",
        "/mute\u200b\u3000bob", "/mute\ufe0f bob", "/mute @bob", "／mute bob", " /mute bob", "/ｍｕｔｅ bob",
        "/mute@Moderation bob",
    ],
)  # fmt: skip
async def test_a_command_is_found_however_it_is_written(tmp_path: Path, line: str) -> None:
    async with HallKit.open(tmp_path, {"moderation": {}}) as kit:
        host, bob = await kit.join("host", role="host"), await kit.join("bob")
        assert (await host.say(line))["notice"] == "muted bob"
        assert bob.all("moderation")


def through_every_door(kit: HallKit, guest: Guest, text: str) -> None:
    """Say a text as clients of each kind do."""
    said = [
        Frame(json.dumps(packet).encode(), guest.identity, time.monotonic(), topic=topic)
        for packet, topic in (
            ({"relay_version": "1", "type": "chat", "payload": {"text": text}, "id": "a"}, "relay"),
            ({"relay_version": "1", "type": "chat", "payload": {"text": text, "to": ["host"]}, "id": "b"}, ""),
            ({"type": "chat", "id": "c", "text": text, "senderId": guest.identity, "senderName": "x"}, ""),
            ({"type": "chat_message", "message": text, "senderId": guest.identity, "timestamp": 1.5}, ""),
            ({"id": "d", "timestamp": 1, "message": text}, "lk-chat-topic"),
        )
    ]
    stream = Frame(text.encode(), guest.identity, time.monotonic(), "chat", "", True, "stream")
    kit.room.tell(*said, stream)


@pytest.mark.parametrize(
    "text",
    [
        "/mute host secret", " /mute host secret", "\u200b/mute host secret", "／mute host secret",
        "\u2800\n∕mute host secret",
    ],
)  # fmt: skip
async def test_a_command_goes_to_nobody_by_any_door(tmp_path: Path, text: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}, "moderation": {}}) as kit:
        host, bob = await kit.join("host", role="host"), await kit.join("bob")
        with pytest.raises(Refused, match="only a moderator"):
            await bob.say(text)
        through_every_door(kit, bob, text)
        await kit.settle()
        assert not any("secret" in json.dumps(packet) for packet in host.received)
        assert (await kit.call("chat", "list_messages"))["messages"] == []


@pytest.mark.parametrize("line", ["/lower ALL", "/Lower  all", "/lower\u00a0All\u200b", "/lower “Bob B. Hill”"])
async def test_hands_are_lowered_however_it_is_written(tmp_path: Path, line: str) -> None:
    async with HallKit.open(tmp_path, {"hands": {}}) as kit:
        host, bob = await kit.join("host", role="host"), await kit.join("bob", name="Bob B. Hill")
        await bob.ask("hand_raise", {"raised": True})
        assert (await host.say(line))["notice"] in ("lowered 1 hand", "lowered: Bob B. Hill (bob)")


@pytest.mark.parametrize(("ban", "lift"), [("/ban Bob", "/unban bob"), ("/ban u7 10 min rude", "/unban U7")])
async def test_who_was_sanctioned_is_found_though_they_left(tmp_path: Path, ban: str, lift: str) -> None:
    async with HallKit.open(tmp_path, {"moderation": {}}) as kit:
        host = await kit.join("host", role="host")
        await kit.join("u7", name="Bob")
        await host.say(ban)
        await kit.until(lambda: "u7" not in kit.room.presences)
        await kit.join("other", name="Bob")
        assert (await host.say(lift))["notice"] == "unbanned u7"
