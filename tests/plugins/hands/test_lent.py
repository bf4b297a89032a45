"""The stage takes again exactly what it gave, whatever a token says meanwhile."""

from pathlib import Path

import pytest

from relay_bot.testing import Guest, HallKit
from tests.plugins.hands.support import all_done, hall, refusal


async def again(kit: HallKit, guest: Guest, *, can_publish: bool) -> Guest:
    """Have someone make a full reconnect, with a token that has this right now."""
    guest.leave()
    await kit.settle()
    came = await kit.join(guest.identity, can_publish=can_publish)
    await all_done(kit)
    return came


async def on_and_off(kit: HallKit, ann: Guest) -> None:
    await kit.call("hands", "invite_to_stage", participant_id="ann")
    await ann.ask("guest_invite_response", {"accepted": True})
    await all_done(kit)
    await ann.ask("guest_demote", {})
    await all_done(kit)


async def test_a_right_of_ones_own_is_kept(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann", can_publish=True)
        await on_and_off(kit, ann)
        assert ann.last("guest_demoted")["reason"] == "own"
        assert ann.presence.can_publish
        ann = await again(kit, ann, can_publish=True)
        assert ann.presence.can_publish


@pytest.mark.parametrize("reason", ["time", "gone", "by a host"])
async def test_however_they_leave_it(tmp_path: Path, reason: str) -> None:
    async with hall(tmp_path, grace_seconds=0.05) as kit:
        ann = await kit.join("ann", can_publish=True)
        seconds = 0.05 if reason == "time" else None
        await kit.call("hands", "promote_to_stage", participant_id="ann", speaking_seconds=seconds)
        await ann.wait("guest_promoted")
        if reason == "by a host":
            await kit.call("hands", "demote_from_stage", participant_id="ann")
        if reason == "gone":
            ann.leave()
        await kit.until(lambda: kit.hall.summary()["hands"]["on_stage"] == 0)
        if reason == "gone":
            ann = await kit.join("ann", can_publish=True)
        await all_done(kit)
        assert ann.presence.can_publish


@pytest.mark.parametrize("how", ["reconnect", "restart", "both"])
async def test_what_it_gave_is_taken_though_the_token_has_it_now(tmp_path: Path, how: str) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await kit.call("hands", "promote_to_stage", participant_id="ann")
        await all_done(kit)
        if how != "reconnect":
            await kit.restart()
        if how != "restart":
            ann = await again(kit, ann, can_publish=True)  # LiveKit signed what they may do now
        await ann.ask("guest_demote", {})
        await all_done(kit)
        assert not ann.presence.can_publish
        ann = await again(kit, ann, can_publish=True)
        assert not ann.presence.can_publish


async def test_a_token_from_the_stage_is_good_for_nothing_in_the_next_session(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"hands": {}}) as kit:
        await kit.join("ann")
        await kit.call("hands", "promote_to_stage", participant_id="ann")
        await all_done(kit)
        kit.close_room()
        await kit.until(lambda: kit.hall.status == "ended")
        await kit.stop()
        kit.room.presences.clear()
        kit.room.sinks.clear()
        await kit.start()
        ann = await kit.join("ann", can_publish=True)
        await all_done(kit)
        assert not ann.presence.can_publish


async def test_whoever_was_demoted_with_a_right_of_their_own_has_lost_it(tmp_path: Path) -> None:
    """A host's order to take it: they were on no stage, so there is nothing to give back but this."""
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann", can_publish=True)
        await kit.call("hands", "demote_from_stage", participant_id="ann")
        await all_done(kit)
        ann = await again(kit, ann, can_publish=True)
        assert not ann.presence.can_publish


async def test_accepting_twice_is_once(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await kit.call("hands", "invite_to_stage", participant_id="ann")
        await ann.ask("guest_invite_response", {"accepted": True})
        await ann.ask("guest_invite_response", {"accepted": True})
        await all_done(kit)
        await ann.ask("guest_invite_response", {"accepted": True})
        assert len(ann.all("guest_promoted")) == 1
        await kit.call("hands", "demote_from_stage", participant_id="ann")
        await all_done(kit)
        assert (await refusal(ann.ask("guest_invite_response", {"accepted": True}))).code == "not_invited"
