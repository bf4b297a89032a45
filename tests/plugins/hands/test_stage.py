"""The stage: invited, asked, promoted by LiveKit's word alone, and off it again."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.hall.debts import Debtor
from relay_bot.link import Lost, Reason
from relay_bot.plugin import Effect, SetPermissions
from relay_bot.testing import Guest, HallKit
from tests.plugins.hands.support import Clock, hall, queue, raised, refusal


async def stage(kit: HallKit) -> dict[str, Any]:
    return await kit.call("hands", "show_stage")


async def on_stage(kit: HallKit) -> list[str]:
    return [guest["participant_id"] for guest in (await stage(kit))["on_stage"]]


async def invited(kit: HallKit) -> list[str]:
    return [guest["participant_id"] for guest in (await stage(kit))["invited"]]


async def put_on_stage(kit: HallKit, *identities: str, **fields: Any) -> list[Guest]:
    guests = [await kit.join(identity, name=identity.title()) for identity in identities]
    for guest in guests:
        await kit.call("hands", "promote_to_stage", participant_id=guest.identity, **fields)
        await guest.wait("guest_promoted", lambda said, who=guest.identity: said["participant_id"] == who)
    await kit.settle()
    return guests


async def test_raise_invite_accept_speak_and_off_again(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host", can_publish=True, metadata='{"x":1}')
        (ann,) = await raised(kit, "ann")
        viewer = await kit.join("vic")
        before = (host.presence, viewer.presence)
        await host.ask("guest_invite", {"participant_id": "ann"})
        asked = await ann.wait("guest_invite")
        assert (asked["participant_id"], asked["invited_by"]) == ("ann", "host")
        assert await invited(kit) == ["ann"]
        assert not viewer.all("guest_invite")
        assert not ann.presence.can_publish
        await ann.ask("guest_invite_response", {"accepted": True})
        promoted = await viewer.wait("guest_promoted")
        assert (promoted["participant_id"], promoted["display_name"]) == ("ann", "Ann")
        assert ann.presence.can_publish
        assert host.last("guest_invite_response")["accepted"] is True
        assert (await on_stage(kit), await invited(kit), await queue(kit)) == (["ann"], [], [])
        await host.wait("hand_queue", lambda said: [each["participant_id"] for each in said["on_stage"]] == ["ann"])
        await host.ask("guest_demote", {"participant_id": "ann"})
        demoted = await viewer.wait("guest_demoted")
        assert (demoted["participant_id"], demoted["reason"]) == ("ann", "demoted")
        assert not ann.presence.can_publish
        assert await on_stage(kit) == []
        assert (host.presence, viewer.presence) == before


async def test_declining_takes_the_hand_down_and_tells_the_host(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host")
        (ann,) = await raised(kit, "ann")
        await host.ask("hand_next", {})
        await ann.ask("guest_invite_response", {"accepted": False})
        assert host.last("guest_invite_response") == {"participant_id": "ann", "display_name": "Ann", "accepted": False}
        assert (await invited(kit), await queue(kit), await on_stage(kit)) == ([], [], [])
        assert kit.room.effects == []


async def test_an_invitation_expires_also_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, invite_seconds=60) as kit:
        await kit.join("host", role="host")
        (ann,) = await raised(kit, "ann")
        await kit.call("hands", "invite_to_stage", participant_id="ann")
        await clock.advance(kit, 30)
        await kit.restart()
        assert await invited(kit) == ["ann"]
        await clock.advance(kit, 31)
        assert (await invited(kit), await queue(kit)) == ([], [])
        late = await refusal(ann.ask("guest_invite_response", {"accepted": True}))
        assert late.code == "invite_expired"
        assert not ann.presence.can_publish
        assert (await ann.wait("guest_invite_closed"))["outcome"] == "expired"


async def test_an_answer_in_the_moment_of_expiry_is_too_late(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, invite_seconds=60) as kit:
        ann = await kit.join("ann")
        await kit.call("hands", "invite_to_stage", participant_id="ann")
        clock.ahead += 60_000  # the timer is due, but the answer is taken up before it
        assert (await refusal(ann.ask("guest_invite_response", {"accepted": True}))).code == "invite_expired"
        assert await on_stage(kit) == []


async def test_nobody_comes_onto_the_stage_uninvited(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await raised(kit, "ann", "bob")
        await kit.call("hands", "invite_to_stage", participant_id="ann")
        assert (await refusal(bob.ask("guest_invite_response", {"accepted": True}))).code == "not_invited"
        for kind in ("guest_invite", "guest_promote", "guest_demote", "guest_remove"):
            assert (await refusal(bob.ask(kind, {"participant_id": "ann"}))).code == "forbidden"
        for kind, payload in (
            ("hand_next", {}),
            ("hands_lower", {}),
            ("hands_open", {"open": False}),
            ("hand_move", {"participant_id": "ann", "position": 2}),
            ("hands", {}),
        ):
            assert (await refusal(bob.ask(kind, payload))).code == "forbidden"
        assert (await invited(kit), await queue(kit)) == (["ann"], ["ann", "bob"])
        await ann.ask("guest_invite_response", {"accepted": True})


async def test_the_stage_has_a_limit(tmp_path: Path) -> None:
    async with hall(tmp_path, stage_limit=1) as kit:
        ann, bob, cy = [await kit.join(name) for name in ("ann", "bob", "cy")]
        for guest in (ann, bob):
            await kit.call("hands", "invite_to_stage", participant_id=guest.identity)
        await ann.ask("guest_invite_response", {"accepted": True})
        assert (await refusal(bob.ask("guest_invite_response", {"accepted": True}))).code == "stage_full"
        assert await invited(kit) == ["bob"]  # it holds until its time is over
        assert (await refusal(kit.call("hands", "invite_to_stage", participant_id="cy"))).code == "stage_full"
        assert (await refusal(kit.call("hands", "promote_to_stage", participant_id="cy"))).code == "stage_full"
        await cy.wait("guest_promoted")  # else nobody would hear that ann, who never was on it, is off the stage
        await ann.ask("guest_demote", {})
        await cy.wait("guest_demoted")
        await bob.ask("guest_invite_response", {"accepted": True})
        await cy.wait("guest_promoted", lambda said: said["participant_id"] == "bob")
        assert (await stage(kit))["limit"] == 1


async def test_a_route_may_ask_for_a_lower_limit(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await put_on_stage(kit, "ann")
        await kit.join("bob")
        full = await refusal(kit.call("hands", "promote_to_stage", participant_id="bob", limit=1))
        assert full.code == "stage_full"
        await kit.call("hands", "promote_to_stage", participant_id="bob", limit=2)


async def test_an_unknown_participant_is_named_as_the_wrong_field(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host", can_publish=True)
        for method in ("invite_to_stage", "promote_to_stage", "demote_from_stage", "remove_from_hall"):
            wrong = await refusal(kit.call("hands", method, participant_id="zoe"))
            assert (wrong.code, wrong.payload["field"]) == ("not_found", "participant_id")
        wrong = await refusal(host.ask("guest_invite", {"participant_id": "zoe"}))
        assert (wrong.code, wrong.payload["field"]) == ("not_found", "payload.participant_id")
        assert (await refusal(kit.call("hands", "demote_from_stage", participant_id="host"))).code == "forbidden"
        assert (await refusal(kit.call("hands", "promote_to_stage", participant_id="host"))).code == "forbidden"
        assert host.presence.can_publish


async def test_a_promotion_is_not_believed_until_livekit_has_done_it(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, report_seconds=10) as kit:
        host = await kit.join("host", role="host")
        ann = await kit.join("ann", name="Ann")
        kit.room.failing = True
        await kit.call("hands", "promote_to_stage", participant_id="ann")
        view = await stage(kit)
        assert view["on_stage"] == []
        assert view["pending"] == [{"participant_id": "ann", "display_name": "Ann", "status": "promoting"}]
        await clock.advance(kit, 11)
        assert "not on the stage yet" in (await host.wait("notice"))["text"]
        assert not ann.all("guest_promoted")
        kit.room.failing = False
        await ann.wait("guest_promoted")
        assert await on_stage(kit) == ["ann"]
        assert (await stage(kit))["pending"] == []


async def test_a_promotion_under_way_survives_a_restart(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        kit.room.failing = True
        await kit.call("hands", "promote_to_stage", participant_id="ann")
        await kit.restart()
        assert await on_stage(kit) == []
        kit.room.failing = False
        await ann.wait("guest_promoted")
        assert ann.presence.can_publish


async def test_a_demotion_overtakes_a_promotion_that_hangs(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        viewer = await kit.join("vic")
        kit.room.failing = True
        await kit.call("hands", "promote_to_stage", participant_id="ann")
        await kit.call("hands", "demote_from_stage", participant_id="ann")
        kit.room.failing = False
        await ann.wait("guest_demoted")
        assert not ann.presence.can_publish
        assert not viewer.all("guest_promoted")
        assert not viewer.all("guest_demoted")  # of what was never announced only those concerned hear
        assert (await stage(kit))["pending"] == []


async def test_a_change_that_was_overtaken_decides_nothing_when_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await put_on_stage(kit, "ann")
        rooms = kit._services.rooms  # pyright: ignore[reportPrivateUsage]
        perform, asked, go_on = rooms.perform, asyncio.Queue[Effect](), asyncio.Semaphore(0)

        async def slowly(name: str, effect: Effect) -> str | None:
            asked.put_nowait(effect)
            await go_on.acquire()
            return await perform(name, effect)

        monkeypatch.setattr(rooms, "perform", slowly)
        await kit.call("hands", "demote_from_stage", participant_id="ann")
        assert await asked.get() == SetPermissions("ann", can_publish=False)
        await kit.call("hands", "promote_to_stage", participant_id="ann")
        go_on.release()  # the demotion is done now, but it is not what is wanted any more
        assert await asked.get() == SetPermissions("ann", can_publish=True)
        await kit.settle()
        assert [each["status"] for each in (await stage(kit))["pending"]] == ["promoting"]
        await kit.call("hands", "demote_from_stage", participant_id="ann")
        go_on.release()  # and the same the other way round
        assert await asked.get() == SetPermissions("ann", can_publish=False)
        await kit.settle()
        assert [each["status"] for each in (await stage(kit))["pending"]] == ["demoting"]
        go_on.release()
        await ann.wait("guest_demoted")
        assert (await on_stage(kit), ann.presence.can_publish) == ([], False)


async def test_a_guest_who_drops_gets_the_right_again_on_return(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, grace_seconds=60) as kit:
        viewer = await kit.join("vic")
        (ann,) = await put_on_stage(kit, "ann")
        ann.leave()
        await kit.settle()
        assert (await stage(kit))["on_stage"][0]["away"] is True
        await clock.advance(kit, 30)
        ann = await kit.join("ann", name="Ann")  # with the viewer's token: no right to publish
        await kit.until(lambda: ann.presence.can_publish)
        await kit.settle()
        assert await on_stage(kit) == ["ann"]
        assert len(viewer.all("guest_promoted")) == 1
        ann.leave()
        await kit.settle()
        await clock.advance(kit, 61)
        assert await on_stage(kit) == []
        assert viewer.last("guest_demoted")["reason"] == "gone"


async def test_a_guest_who_left_while_the_bot_was_away_is_found_gone(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, grace_seconds=60) as kit:
        viewer = await kit.join("vic")
        (ann,) = await put_on_stage(kit, "ann")
        kit.room.sinks.clear()  # the bot does not hear of it
        ann.leave()
        await kit.restart()
        await kit.settle()
        assert await on_stage(kit) == ["ann"]
        await clock.advance(kit, 61)
        assert await on_stage(kit) == []
        assert (await viewer.wait("guest_demoted"))["reason"] == "gone"


async def test_a_former_guest_has_no_right_from_an_old_token(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await put_on_stage(kit, "ann")
        await kit.call("hands", "demote_from_stage", participant_id="ann")
        await ann.wait("guest_demoted")
        ann.leave()
        await kit.settle()
        ann = await kit.join("ann", can_publish=True)
        await kit.until(lambda: not ann.presence.can_publish)
        await kit.call("hands", "promote_to_stage", participant_id="ann")
        await ann.wait("guest_promoted")
        assert ann.presence.can_publish


async def test_the_stage_is_applied_again_after_a_restart(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await put_on_stage(kit, "ann")
        kit.room.sinks.clear()
        kit.room.presences["ann"] = msgspec.structs.replace(ann.presence, can_publish=False)
        await kit.restart()
        await kit.until(lambda: ann.presence.can_publish)
        await kit.settle()
        assert await on_stage(kit) == ["ann"]


async def test_the_stage_is_applied_again_after_livekit_was_restarted(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await put_on_stage(kit, "ann")
        sink = kit.room.sinks.pop()
        kit.room.presences["ann"] = msgspec.structs.replace(ann.presence, can_publish=False)
        sink.arrive([Lost(Reason.NETWORK, "the server went away")])
        await kit.until(lambda: kit.hall.status == "away")
        await kit.until(lambda: ann.presence.can_publish)
        await kit.until(lambda: kit.hall.active)
        await kit.settle()
        assert await on_stage(kit) == ["ann"]
        assert not ann.all("guest_demoted")


async def test_one_whose_right_somebody_else_took_is_not_fought_over(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await put_on_stage(kit, "ann")
        effects = len(kit.room.effects)
        ann._change(can_publish=False)  # pyright: ignore[reportPrivateUsage] - as an operator would at LiveKit
        await kit.settle()
        await clock.advance(kit, 3)
        assert await on_stage(kit) == []
        assert ann.last("guest_demoted")["reason"] == "taken"
        assert len(kit.room.effects) == effects


async def test_next_invites_the_first_who_is_here(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob, _ = await raised(kit, "ann", "bob", "cy")
        ann.leave()
        await kit.settle()
        assert [each["participant_id"] for each in (await kit.call("hands", "next_in_line"))["invited"]] == ["bob"]
        await bob.ask("guest_invite_response", {"accepted": True})
        await kit.call("hands", "next_in_line")
        assert await invited(kit) == ["cy"]
        assert (await refusal(kit.call("hands", "next_in_line"))).code == "not_raised"


async def test_auto_advance_invites_when_a_place_falls_free(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, stage_limit=1, auto_advance=True, invite_seconds=60) as kit:
        (zoe,) = await put_on_stage(kit, "zoe")
        ann, bob, _ = await raised(kit, "ann", "bob", "cy")
        await zoe.ask("guest_demote", {})
        await ann.wait("guest_invite")
        await ann.ask("guest_invite_response", {"accepted": False})
        await bob.wait("guest_invite")
        await clock.advance(kit, 61)
        assert await invited(kit) == ["cy"]


async def test_without_asking_an_invitation_puts_on_the_stage(tmp_path: Path) -> None:
    async with hall(tmp_path, ask_first=False) as kit:
        (ann,) = await raised(kit, "ann")
        await kit.call("hands", "invite_to_stage", participant_id="ann")
        await ann.wait("guest_promoted")
        assert not ann.all("guest_invite")
        assert await queue(kit) == []


async def test_speaking_time_is_warned_of_and_ends(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, speaking_seconds=120, warning_seconds=30) as kit:
        host = await kit.join("host", role="host")
        (ann,) = await put_on_stage(kit, "ann")
        assert "ends_at" in ann.last("guest_promoted")
        await clock.advance(kit, 80)
        assert not ann.all("stage_time")
        await clock.advance(kit, 11)
        assert 20 < (await ann.wait("stage_time"))["seconds_left"] <= 30
        await host.wait("stage_time")
        await kit.restart()
        await clock.advance(kit, 31)
        assert (await ann.wait("guest_demoted"))["reason"] == "time"
        assert not ann.presence.can_publish


async def test_an_invitation_may_name_its_own_speaking_time(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await put_on_stage(kit, "ann", speaking_seconds=10)
        await clock.advance(kit, 11)
        assert (await ann.wait("guest_demoted"))["reason"] == "time"


async def test_withdrawing_an_invitation_leaves_the_hand_up(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await raised(kit, "ann")
        await kit.call("hands", "invite_to_stage", participant_id="ann")
        await kit.call("hands", "demote_from_stage", participant_id="ann")
        assert (await ann.wait("guest_invite_closed"))["outcome"] == "withdrawn"
        assert (await invited(kit), await queue(kit)) == ([], ["ann"])
        assert (await refusal(ann.ask("guest_invite_response", {"accepted": True}))).code == "not_invited"


async def test_removing_a_guest_from_the_hall(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        viewer = await kit.join("vic")
        await put_on_stage(kit, "ann")
        await kit.call("hands", "remove_from_hall", participant_id="ann")
        assert (await viewer.wait("guest_demoted"))["reason"] == "removed"
        await kit.until(lambda: "ann" not in kit.room.presences)
        await kit.settle()
        assert (await on_stage(kit), (await stage(kit))["pending"]) == ([], [])


async def test_one_who_came_with_the_right_can_be_demoted(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann", can_publish=True)
        await kit.call("hands", "demote_from_stage", participant_id="ann")
        await ann.wait("guest_demoted")
        assert not ann.presence.can_publish


async def test_a_guest_who_leaves_for_good_while_the_promotion_hangs(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, grace_seconds=60) as kit:
        host = await kit.join("host", role="host")
        ann = await kit.join("ann", name="Ann")
        kit.room.failing = True
        await kit.call("hands", "promote_to_stage", participant_id="ann")
        ann.leave()
        kit.room.failing = False
        await kit.settle()
        await clock.advance(kit, 61)
        assert (await stage(kit))["pending"] == []
        assert any("could not be put on the stage" in said["text"] for said in host.all("notice"))


async def test_promoting_twice_is_once(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await put_on_stage(kit, "ann")
        await kit.call("hands", "promote_to_stage", participant_id="ann", limit=1)
        await kit.settle()
        assert len(ann.all("guest_promoted")) == 1
        assert kit.room.effects == [SetPermissions("ann", can_publish=True)]


async def test_late_joiners_hear_of_the_stage_and_of_their_invitation(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await put_on_stage(kit, "ann")
        bob = await kit.join("bob")
        await kit.call("hands", "invite_to_stage", participant_id="bob")
        bob.leave()
        bob = await kit.join("bob")
        told = bob.last("hall_state")["stage"]
        assert [guest["participant_id"] for guest in told["on_stage"]] == ["ann"]
        assert told["invited_until"] is not None
        await bob.ask("guest_invite_response", {"accepted": True})


async def test_a_backend_answers_for_the_participant_it_names(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await kit.backend("guest_invite", {"participant_id": "ann"})
        nobody = await refusal(kit.backend("guest_invite_response", {"accepted": True}))
        assert (nobody.code, nobody.payload["field"]) == ("malformed", "sender_id")
        await kit.backend("guest_invite_response", {"accepted": True}, sender_id="ann")
        await ann.wait("guest_promoted")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without the long waits between them."""
    module = __import__(Debtor.__module__, fromlist=["pause"])
    monkeypatch.setattr(module, "pause", lambda failures: 0.02)  # pyright: ignore
