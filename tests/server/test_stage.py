"""The stage on a real server: who is promoted can really be heard, and who is not can't publish."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.server.voices import hears, speaking
from tests.support.bot import Bot, StartBot, eventually
from tests.support.clients import Join, Participant, Participants, RefusedError
from tests.support.faulty_proxy import FaultyProxy
from tests.support.livekit_server import LiveKit, start_server

pytestmark = pytest.mark.server

VIEWER = {"can_publish": False, "can_subscribe": True, "can_publish_data": True}
OTHERS = ("host", "mo")


async def _listed(livekit: LiveKit, hall: str, *identities: str) -> dict[str, Any]:
    """What LiveKit itself says of these: everything that a change of someone else's rights must leave alone."""
    answer = await asyncio.to_thread(livekit.server.call, "ListParticipants", {"room": hall})
    people = {one["identity"]: one for one in answer.get("participants", [])}
    kept = ("metadata", "attributes", "permission", "name")
    return {identity: {key: people[identity].get(key) for key in kept} for identity in identities}


async def _stage(bot: Bot, hall: str) -> dict[str, Any]:
    return await bot.found(f"/v1/halls/{hall}/stage")


async def _cannot_publish(person: Participant, listener: Participant) -> None:
    try:
        async with speaking(person, limit=3.0):
            assert not await hears(listener, person.identity, limit=2.0)
    except (TimeoutError, Exception) as error:  # the SDK says so in one of several ways
        if isinstance(error, AssertionError):
            raise


async def test_raise_invite_accept_speak_demote(bot: Bot, join: Join, livekit: LiveKit) -> None:
    hall = await bot.open_hall()
    host, moderator, ann, listener = await asyncio.gather(
        join(hall, "host", role="host", role_in="metadata", attributes={"colour": "red"}),
        join(hall, "mo", role="moderator", metadata='{"shift":2}', grants={"can_publish": False}),
        join(hall, "ann", name="Ann", metadata='{"seat":7}', attributes={"team": "blue"}, grants=VIEWER),
        join(hall, "listener", grants=VIEWER),
    )
    await bot.live(hall, present=4)
    others = await _listed(livekit, hall, *OTHERS)
    before = await _listed(livekit, hall, "ann")
    await _cannot_publish(ann, listener)

    await ann.rpc("hand_raise", {"raised": True})
    queued = await moderator.wait_for("hand_queue", lambda item: bool(item.payload["queue"]))
    assert [hand["participant_id"] for hand in queued.payload["queue"]] == ["ann"]
    assert await _listed(livekit, hall, *OTHERS) == others
    await host.rpc("guest_invite", {"participant_id": "ann"})
    await ann.wait_for("guest_invite")
    assert await _listed(livekit, hall, "ann") == before  # nothing changes until they accept
    await ann.rpc("guest_invite_response", {"accepted": True})
    promoted = await listener.wait_for("guest_promoted")
    assert promoted.payload["participant_id"] == "ann"
    assert promoted.sfu_identity is None
    after = await _listed(livekit, hall, "ann")
    assert _without(after["ann"], "can_publish") == _without(before["ann"], "can_publish")
    assert await _listed(livekit, hall, *OTHERS) == others
    async with speaking(ann):
        assert await hears(listener, "ann")

    await host.rpc("guest_demote", {"participant_id": "ann"})
    await listener.wait_for("guest_demoted")
    assert await _listed(livekit, hall, "ann") == before
    assert await _listed(livekit, hall, *OTHERS) == others
    await _cannot_publish(ann, listener)
    stage = await _stage(bot, hall)
    assert (stage["on_stage"], stage["pending"], stage["invited"]) == ([], [], [])


def _without(person: dict[str, Any], right: str) -> dict[str, Any]:
    return person | {"permission": {name: value for name, value in person["permission"].items() if name != right}}


async def test_an_invitation_outlives_kill_9_and_still_runs_out(start_bot: StartBot, join: Join) -> None:
    bot = await start_bot(settings={"plugins": {"hands": {"invite_seconds": 12}}})
    hall = await bot.open_hall()
    ann, bob = await asyncio.gather(join(hall, "ann", grants=VIEWER), join(hall, "bob", grants=VIEWER))
    await bot.live(hall, present=2)
    for identity in ("ann", "bob"):
        answer = await bot.call("POST", f"/v1/halls/{hall}/stage/invite", {"participant_id": identity})
        assert answer.status == 200, answer
    await bot.restart()
    await bot.live(hall, present=2)
    assert len((await _stage(bot, hall))["invited"]) == 2
    await ann.request("guest_invite_response", {"accepted": True}, tries=6)
    await bob.wait_for("guest_promoted", lambda item: item.payload["participant_id"] == "ann")
    await bob.wait_for("guest_invite_closed", lambda item: item.payload["outcome"] == "expired", timeout=15)
    with pytest.raises(RefusedError) as late:
        await bob.rpc("guest_invite_response", {"accepted": True})
    assert late.value.code == "invite_expired"


async def test_a_raiser_who_reconnects_inside_the_grace_and_one_outside(start_bot: StartBot, join: Join) -> None:
    bot = await start_bot(settings={"plugins": {"hands": {"grace_seconds": 5}}})
    hall = await bot.open_hall()
    ann, bob = await asyncio.gather(join(hall, "ann", grants=VIEWER), join(hall, "bob", grants=VIEWER))
    await bot.live(hall, present=2)
    for one in (ann, bob):
        await one.rpc("hand_raise", {"raised": True})
    await ann.leave()
    again = await join(hall, "ann", grants=VIEWER)
    told = (await again.rpc("sync", {}))["result"]["hand"]
    assert (told["raised"], told["position"]) == (True, 1)
    await again.leave()

    async def only_bob() -> bool:
        queue = (await bot.found(f"/v1/halls/{hall}/hands"))["queue"]
        return [hand["participant_id"] for hand in queue] == ["bob"]

    await eventually(only_bob, "ann's place free", limit=15)


async def test_a_failing_server_api_is_not_believed_and_the_promotion_comes(
    livekit: LiveKit, start_bot: StartBot, join: Join
) -> None:
    async with FaultyProxy(livekit).serving() as proxy:
        bot = await start_bot(livekit=proxy, settings={"plugins": {"hands": {"report_seconds": 1}}})
        hall = await bot.open_hall()
        host, ann = await asyncio.gather(join(hall, "host", role="host"), join(hall, "ann", grants=VIEWER))
        await bot.live(hall, present=2)
        proxy.broken = {"UpdateParticipant"}
        answer = await bot.call("POST", f"/v1/halls/{hall}/stage/promote", {"participant_id": "ann"})
        assert answer.status == 200, answer
        await host.wait_for("notice", lambda item: "not on the stage yet" in item.payload["text"], timeout=10)
        stage = await _stage(bot, hall)
        assert stage["on_stage"] == []
        assert [one["participant_id"] for one in stage["pending"]] == ["ann"]
        assert not ann.all_of("guest_promoted")
        assert proxy.refused
        proxy.broken = set()
        await ann.wait_for("guest_promoted", timeout=15)
        async with speaking(ann):
            assert await hears(host, "ann")
        await bot.stop()


async def test_the_stage_is_applied_again_after_livekit_was_killed(tmp_path: Path, start_bot: StartBot) -> None:
    server = start_server(tmp_path / "livekit")
    livekit = LiveKit(server)
    present = Participants(livekit.access)
    try:
        bot = await start_bot(livekit=livekit)
        hall = await bot.open_hall()
        ann, listener = [await present.join(hall, identity, grants=VIEWER) for identity in ("ann", "listener")]
        await bot.live(hall, present=2)
        answer = await bot.call("POST", f"/v1/halls/{hall}/stage/promote", {"participant_id": "ann"})
        assert answer.status == 200, answer
        await ann.wait_for("guest_promoted")
        await asyncio.to_thread(server.restart)

        async def may_publish() -> bool:
            listed = await asyncio.to_thread(server.call, "ListParticipants", {"room": hall})
            return any(
                one["identity"] == "ann" and one["permission"].get("can_publish")
                for one in listed.get("participants", [])
            )

        await eventually(may_publish, "ann's right given again", limit=45, pause=0.2)
        await bot.live(hall, present=2)
        assert [one["participant_id"] for one in (await _stage(bot, hall))["on_stage"]] == ["ann"]
        assert not listener.all_of("guest_demoted")
        await present.leave()
        await bot.stop()
    finally:
        await present.leave()
        server.stop()


async def test_the_same_through_the_shows_api(bot: Bot, join: Join, livekit: LiveKit) -> None:
    hall = await bot.open_hall()
    join_host = {"roomName": hall, "participantName": "host-456", "role": "host"}
    joined = await bot.call("POST", "/api/rooms/join", join_host)
    assert joined.status == 200, joined
    assert joined.body.keys() == {"token", "wsUrl", "roomName", "role"}
    host, listener = Participant(hall, "host-456"), await join(hall, "listener", grants=VIEWER)
    viewer = Participant(hall, "viewer-123")
    try:
        await host.connect(joined.body["wsUrl"], joined.body["token"])
        token = await bot.call(
            "POST", "/api/rooms/join", join_host | {"participantName": "viewer-123", "role": "viewer"}
        )
        await viewer.connect(token.body["wsUrl"], token.body["token"])
        await bot.live(hall, present=3)
        others = await _listed(livekit, hall, "host-456", "listener")
        other = await bot.call("POST", "/api/rooms/join", join_host | {"participantName": "other"})
        assert (other.status, other.body) == (409, {"error": "Room already has a host"})
        raised = await bot.call(
            "POST", f"/api/rooms/{hall}/hand-raise", {"participantIdentity": "viewer-123", "raised": True}
        )
        assert raised.body == {"success": True, "handRaised": True}
        invite = {"viewerIdentity": "viewer-123", "hostIdentity": "host-456"}
        invited = await bot.call("POST", f"/api/rooms/{hall}/invite", invite)
        assert invited.status == 200, invited
        assert invited.body["message"] == "viewer-123 has been promoted to guest"
        async with speaking(viewer):
            assert await hears(listener, "viewer-123")
        room = (await bot.found(f"/api/rooms/{hall}"))["room"]
        assert (room["hasHost"], room["hasGuest"]) == (True, True)
        demote = {"guestIdentity": "viewer-123", "hostIdentity": "host-456"}
        demoted = await bot.call("POST", f"/api/rooms/{hall}/demote", demote)
        assert demoted.body["message"] == "viewer-123 has been demoted to viewer"
        await _cannot_publish(viewer, listener)
        assert await _listed(livekit, hall, "host-456", "listener") == others
        # The guest's token from before is still good to join with, but not to publish with.
        await viewer.leave()
        viewer = Participant(hall, "viewer-123")
        await viewer.connect(invited.body["wsUrl"], invited.body["token"])

        async def has_no_right() -> bool:
            permission = (await _listed(livekit, hall, "viewer-123"))["viewer-123"]["permission"]
            return not permission.get("can_publish", False)

        await eventually(has_no_right, "the old guest's right taken", limit=10)
        gone = await bot.call("DELETE", f"/api/rooms/{hall}/participants/viewer-123")
        assert gone.body == {"success": True}
        assert (await bot.call("DELETE", f"/api/rooms/{hall}")).body == {"success": True}
    finally:
        await viewer.leave()
        await host.leave()
