"""Moderation, chat, hands and announcements in their first form, through the real server."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from livekit import rtc

from tests.support.bot import Bot, eventually
from tests.support.clients import Join, Participant, RefusedError, join_token, new_id
from tests.support.livekit_server import LiveKit

pytestmark = pytest.mark.server


async def _command(person: Participant, line: str) -> str:
    """Type a command; gives the notice that answers it. By RPC, so that the sender is certain at once."""
    answer = await person.rpc("chat", {"text": line})
    return str(answer["result"]["notice"])


async def _is_thrown_out(person: Participant) -> None:
    async def out() -> bool:
        return rtc.DisconnectReason.PARTICIPANT_REMOVED in person.disconnects

    await eventually(out, f"{person.identity} removed")


# -- moderation ------------------------------------------------------------------------------------------


async def test_a_viewers_ban_is_refused_by_every_door(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, bob, mallory = await asyncio.gather(join(hall, "host", role="host"), join(hall, "bob"), join(hall, "mallory"))
    await bot.live(hall, present=3)
    for ask in (mallory.rpc, mallory.request):
        for kind, payload in (
            ("chat", {"text": "/ban bob"}),
            ("moderation", {"action": "ban", "participant_id": "bob"}),
        ):
            with pytest.raises(RefusedError) as refused:
                await ask(kind, payload)
            assert refused.value.code == "forbidden"
    mark = mallory.mark()
    await mallory.chat_stream("/ban bob", [bot.identity])
    notice = await mallory.wait_for("notice", since=mark)
    assert "/ban" in notice.payload["text"]
    assert (await bot.found(f"/v1/halls/{hall}/moderation"))["sanctions"] == []
    assert bob.connected
    assert not bob.disconnects
    assert not host.all_of("notice"), "only the issuer hears"


@asynccontextmanager
async def _with_token(livekit: LiveKit, hall: str, identity: str, token: str) -> AsyncGenerator[Participant]:
    person = Participant(hall, identity)
    try:
        await person.connect(livekit.url, token)
        yield person
    finally:
        await person.leave()


async def _is_kept_out(livekit: LiveKit, hall: str, identity: str, token: str) -> None:
    """Join with this token: the door is open, but nothing that is said is taken, and one is out at once."""
    async with _with_token(livekit, hall, identity, token) as banned:
        with suppress(rtc.RpcError):  # out before it could be answered
            with pytest.raises(RefusedError) as refused:
                await banned.rpc("chat", {"text": "let me in"}, timeout=5)
            assert refused.value.code == "blocked"
        await _is_thrown_out(banned)


async def test_a_hosts_ban_holds_against_the_same_token_and_a_restart(livekit: LiveKit, bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host = await join(hall, "host", role="host")
    token = join_token(livekit.access, hall, "bob")
    async with _with_token(livekit, hall, "bob", token) as bob:
        await bot.live(hall, present=2)
        assert "banned" in await _command(host, "/ban bob")
        await _is_thrown_out(bob)
        [told] = bob.all_of("moderation")
        assert (told.payload["action"], told.payload["participant_id"]) == ("ban", "bob")

    await _is_kept_out(livekit, hall, "bob", token)
    await bot.restart()
    await bot.live(hall, present=1)
    await _is_kept_out(livekit, hall, "bob", token)
    asked = {"participant_id": "bob", "display_name": "Bob", "role": "subscriber"}
    refused = await bot.call("POST", f"/v1/halls/{hall}/join", asked)
    assert (refused.status // 100, refused.body["error"]["code"]) == (4, "blocked")
    assert (await bot.found(f"/v1/halls/{hall}/messages"))["messages"] == []

    assert "unbanned" in await _command(host, "/unban bob")
    async with _with_token(livekit, hall, "bob", token) as free:
        await free.rpc("chat", {"text": "thank you"})
        assert not free.disconnects


async def test_a_muted_participants_packets_stop_arriving(livekit: LiveKit, bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, ann, bob = await asyncio.gather(join(hall, "host", role="host"), join(hall, "ann"), join(hall, "bob"))
    await bot.live(hall, present=3)
    await ann.sees("bob", "host")

    async def may_send(person: Participant, *, wanted: bool) -> None:
        async def is_so() -> bool:
            listed = await asyncio.to_thread(livekit.server.call, "ListParticipants", {"room": hall})
            [info] = [one for one in listed["participants"] if one["identity"] == person.identity]
            return bool(info["permission"].get("can_publish_data", info["permission"].get("canPublishData"))) is wanted

        await eventually(is_so, f"{person.identity} {'may' if wanted else 'may not'} send")

    await bob.send("wave", {"n": 1}, to_bot=False)
    await ann.wait_for("wave")
    assert "muted" in await _command(host, "/mute bob")
    told = await bob.wait_for("moderation")
    assert (told.payload["action"], told.payload["participant_id"]) == ("mute", "bob")
    assert not ann.all_of("moderation"), "it concerns bob and the hosts"
    await may_send(bob, wanted=False)
    mark = ann.mark()
    for number in range(2, 12):
        await bob.send("wave", {"n": number}, to_bot=False)
        await bob.send("wave", {"n": number}, to_bot=False, reliable=False)
    await host.send("sign", {}, to_bot=False)  # sent later by somebody else, it arrives
    await ann.wait_for("sign", since=mark)
    await ann.expect_none("wave", 1.0, since=mark)

    await bot.restart()
    await bot.live(hall, present=3)
    await bob.leave()
    again = await join(hall, "bob")
    await may_send(again, wanted=False)
    state = await again.wait_for("hall_state")
    assert "muted" in state.payload
    assert "unmuted" in await _command(host, "/unmute bob")
    await may_send(again, wanted=True)
    mark = ann.mark()
    await again.send("wave", {"n": 99}, to_bot=False)
    await ann.wait_for("wave", lambda item: item.payload == {"n": 99}, since=mark)


async def test_a_kicked_participant_may_come_again(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, bob = await asyncio.gather(join(hall, "host", role="moderator"), join(hall, "bob"))
    await bot.live(hall, present=2)
    assert "kicked" in await _command(host, "/kick bob")
    await _is_thrown_out(bob)
    again = await join(hall, "bob")
    await again.rpc("chat", {"text": "here I am"})
    assert again.connected
    assert not again.disconnects


async def test_help_lists_what_one_may_do(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, ann = await asyncio.gather(join(hall, "host", role="host"), join(hall, "ann"))
    for_host, for_ann = await asyncio.gather(_command(host, "/help"), _command(ann, "/help"))
    assert "/ban" in for_host
    assert "/ban" not in for_ann


# -- chat ------------------------------------------------------------------------------------------------


async def _messages(bot: Bot, hall: str) -> list[dict[str, Any]]:
    return (await bot.found(f"/v1/halls/{hall}/messages"))["messages"]


async def _some_messages(bot: Bot, hall: str, count: int) -> list[dict[str, Any]]:
    async def there() -> list[dict[str, Any]] | None:
        messages = await _messages(bot, hall)
        return messages if len(messages) >= count else None

    return await eventually(there, f"{count} messages in the log")


@pytest.mark.parametrize("clients", ["newer", "older"])
async def test_livekits_own_chat_is_logged_once_with_its_sender(bot: Bot, join: Join, clients: str) -> None:
    """`useChat` sends a text stream and a packet with the stream's id; older clients send the packet alone."""
    hall = await bot.open_hall()
    ann, bob = await asyncio.gather(join(hall, "ann", name="Ann"), join(hall, "bob"))
    await bot.live(hall, present=2)
    message_id = new_id()
    if clients == "newer":
        sent = await ann.room.local_participant.send_text("hello all", topic="lk.chat")
        message_id = sent.stream_id
    packet = {"id": message_id, "timestamp": 1, "message": "hello all", "ignoreLegacy": clients == "newer"}
    for _ in range(2):  # twice: a connection that was mended may deliver it again
        await ann.send_raw(json.dumps(packet).encode(), topic="lk-chat-topic")
    await _some_messages(bot, hall, 1)
    await ann.request("sync", {})  # answered after all that ann sent before it
    await bob.rpc("chat", {"text": "after it"})
    hello, after = await _some_messages(bot, hall, 2)
    assert (hello["sender_id"], hello["display_name"], hello["text"]) == ("ann", "Ann", "hello all")
    assert (after["sender_id"], after["text"]) == ("bob", "after it")
    assert not hello.get("inferred")


async def test_the_log_has_the_true_sender_whatever_is_claimed(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    ann, mallory = await asyncio.gather(join(hall, "ann"), join(hall, "mallory"))
    await bot.live(hall, present=2)
    await mallory.request("chat", {"text": "one", "display_name": "ann"}, to_bot=False)
    claimed = new_id()
    await mallory.send("chat", {"text": "two"}, claimed, sender_id="ann")
    await mallory.answer_to(claimed)
    await mallory.rpc("chat", {"text": "three"}, sender_id="ann")
    dialect = {"id": new_id(), "type": "chat", "text": "four", "senderName": "ann", "senderId": "ann", "timestamp": 1}
    await mallory.send_raw(json.dumps(dialect | {"isPrivate": False}).encode())
    messages = await _some_messages(bot, hall, 4)
    assert [(one["sender_id"], one["text"]) for one in messages] == [
        ("mallory", text) for text in ("one", "two", "three", "four")
    ]
    passed_on = await ann.wait_for("chat", lambda item: item.payload.get("text") == "three")
    assert passed_on.sender_id == "mallory"


async def test_chat_outlives_a_crash_and_is_told_to_late_joiners(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    ann = await join(hall, "ann")
    await bot.live(hall, present=1)
    for number in range(3):
        await ann.rpc("chat", {"text": f"message {number}"})
    await bot.restart()
    await bot.live(hall, present=1)
    late = await join(hall, "late")
    state = await late.wait_for("hall_state")
    assert [one["text"] for one in state.payload["messages"]] == [f"message {number}" for number in range(3)]
    assert {one["sender_id"] for one in state.payload["messages"]} == {"ann"}
    exported = await bot.get(f"/v1/halls/{hall}/messages/export?format=csv")
    assert exported.status == 200
    assert all(f"message {number}" in exported.body["text"] for number in range(3))


# -- hands -----------------------------------------------------------------------------------------------


async def test_hands_queue_up_and_outlive_a_crash(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, ann, bob = await asyncio.gather(join(hall, "host", role="host"), join(hall, "ann"), join(hall, "bob"))
    await bot.live(hall, present=3)

    def queue(item: Any) -> list[tuple[str, int]]:
        return [(hand["participant_id"], hand["position"]) for hand in item.payload["queue"]]

    async def told_to_host(expected: list[tuple[str, int]], since: int = 0) -> None:
        await host.wait_for("hand_queue", lambda item: queue(item) == expected, since=since)

    assert (await bob.rpc("hand_raise", {"raised": True}))["result"]["position"] == 1
    await told_to_host([("bob", 1)])
    await ann.request("hand_raise", {"raised": True})
    await told_to_host([("bob", 1), ("ann", 2)])
    assert not ann.all_of("hand_queue"), "the queue is for hosts"
    own = await ann.wait_for("hand_position", lambda item: item.payload["position"] == 2)
    assert own.payload["raised"] is True

    await bot.restart()
    await bot.live(hall, present=3)
    listed = (await bot.found(f"/v1/halls/{hall}/hands"))["queue"]
    assert [(hand["participant_id"], hand["position"]) for hand in listed] == [("bob", 1), ("ann", 2)]
    with pytest.raises(RefusedError) as refused:
        await ann.rpc("hand_raise", {"raised": False, "participant_id": "bob"})
    assert refused.value.code == "forbidden"
    mark, anns_mark = host.mark(), ann.mark()
    await host.rpc("hand_raise", {"raised": False, "participant_id": "bob"})
    await told_to_host([("ann", 1)], since=mark)
    await ann.wait_for("hand_position", lambda item: item.payload["position"] == 1, since=anns_mark)
    await ann.rpc("hand_raise", {"raised": False})
    await told_to_host([], since=mark)


async def test_a_forged_hand_in_the_shows_dialect_is_the_forgers_own(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    await asyncio.gather(join(hall, "victim"))
    mallory = await join(hall, "mallory")
    await bot.live(hall, present=2)
    packet = {"type": "hand_raise", "senderId": "victim", "senderName": "Victim", "timestamp": 1}
    await mallory.send_raw(json.dumps(packet).encode(), [bot.identity])

    async def raised() -> list[str]:
        return [hand["participant_id"] for hand in (await bot.found(f"/v1/halls/{hall}/hands"))["queue"]]

    assert await eventually(raised, "a raised hand") == ["mallory"]


# -- announcements ---------------------------------------------------------------------------------------


async def test_announcements_come_from_hosts_and_backends_only(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host, ann = await asyncio.gather(join(hall, "host", role="host"), join(hall, "ann"))
    await bot.live(hall, present=2)
    await _command(host, "/announce The break is over")
    heard = await ann.wait_for("announcement", lambda item: item.payload["text"] == "The break is over")
    assert heard.sender_id == "host"
    assert heard.sfu_identity is None, "said by the hidden bot"
    await bot.interact(hall, "announcement", {"text": "By the backend"})
    for one in (host, ann):
        heard = await one.wait_for("announcement", lambda item: item.payload["text"] == "By the backend")
        assert heard.sender_id is None
        assert len([item for item in one.all_of("announcement") if item.payload["text"] == "By the backend"]) == 1
    with pytest.raises(RefusedError) as refused:
        await ann.rpc("chat", {"text": "/announce By a viewer"})
    assert refused.value.code == "forbidden"
    await bot.restart()
    late = await join(hall, "late")
    state = await late.wait_for("hall_state", lambda item: "announcement" in item.payload, timeout=15)
    assert state.payload["announcement"]["text"] == "By the backend"
