"""Who is put out of the hall waits in no queue and keeps no place on the stage."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from plugins.hands.state import Hands
from relay_bot.plugin import RemoveParticipant
from relay_bot.testing import HallKit
from tests.plugins.hands.support import Clock, all_done, queue, raised, refusal

PUT_OUT = [("ban", "banned"), ("kick", "kicked")]


@asynccontextmanager
async def moderated(folder: Path, **settings: Any) -> AsyncGenerator[HallKit]:
    async with HallKit.open(folder, {"hands": settings, "moderation": {}}) as kit:
        yield kit
        await all_done(kit)
        live, replayed = await kit.live_and_replayed()
        assert live == replayed


def state(kit: HallKit) -> Hands:
    assert kit.hall.session is not None
    found = kit.hall.session.plugins["hands"].state
    assert isinstance(found, Hands)
    return found


async def moderate(kit: HallKit, action: str, identity: str) -> None:
    await kit.call("moderation", "decide", action=action, participant_id=identity)


async def on_stage(kit: HallKit, identity: str, **presence: Any) -> None:
    await kit.join(identity, **presence)
    await kit.call("hands", "promote_to_stage", participant_id=identity)
    await kit.until(lambda: state(kit).stage[identity].status == "on")
    await all_done(kit)


@pytest.mark.parametrize("action", ["ban", "kick"])
async def test_the_hand_goes_down(tmp_path: Path, action: str) -> None:
    async with moderated(tmp_path) as kit:
        await raised(kit, "mallory", "ann")
        await moderate(kit, action, "mallory")
        assert await queue(kit) == ["ann"]
        await kit.until(lambda: "mallory" not in kit.room.presences)
        await kit.restart()
        await kit.join("mallory")
        assert await queue(kit) == ["ann"]


@pytest.mark.parametrize("own_right", [False, True])
@pytest.mark.parametrize(("action", "reason"), PUT_OUT)
async def test_the_place_on_the_stage_is_free_and_does_not_wait(
    tmp_path: Path, action: str, reason: str, own_right: bool
) -> None:
    async with moderated(tmp_path, stage_limit=1) as kit:
        ann = await kit.join("ann")
        await on_stage(kit, "mallory", can_publish=own_right)
        await moderate(kit, action, "mallory")
        assert (await ann.wait("guest_demoted"))["reason"] == reason
        await kit.until(lambda: "mallory" not in kit.room.presences)
        await all_done(kit)
        assert state(kit).stage == {}
        await kit.restart()
        if action == "kick":
            await kit.join("mallory", can_publish=True)
            await all_done(kit)
            assert state(kit).stage == {}
            assert kit.room.presences["mallory"].can_publish is own_right, "an old token does not bring them back"
        await on_stage(kit, "bob")


@pytest.mark.parametrize("action", ["ban", "kick"])
async def test_who_left_before_the_api_answers_has_no_place_on_return(tmp_path: Path, action: str) -> None:
    async with moderated(tmp_path, stage_limit=1) as kit:
        await on_stage(kit, "mallory")
        kit.room.failing = True
        await moderate(kit, action, "mallory")
        kit.room.guests["mallory"].leave()
        await kit.settle()
        assert state(kit).stage == {}
        kit.room.failing = False


async def test_one_who_has_dropped_is_banned_from_the_stage_at_once(tmp_path: Path) -> None:
    async with moderated(tmp_path, stage_limit=1) as kit:
        await on_stage(kit, "mallory")
        mod = await kit.join("mod", role="moderator")
        kit.room.guests["mallory"].leave()
        await kit.settle()
        kit.room.failing = True
        await mod.say("/ban mallory")
        assert state(kit).stage == {}
        kit.room.failing = False


async def test_a_ban_in_absence_takes_a_viewers_hand(tmp_path: Path) -> None:
    async with moderated(tmp_path) as kit:
        mod = await kit.join("mod", role="moderator")
        await kit.backend("hand_raise", {"raised": True}, sender_id="carol")
        await mod.say("/ban carol")
        assert await queue(kit) == []


@pytest.mark.parametrize(("action", "reason"), [*PUT_OUT, ("mute", "muted")])
async def test_an_open_invitation_is_withdrawn(tmp_path: Path, action: str, reason: str) -> None:
    async with moderated(tmp_path) as kit:
        host = await kit.join("host", role="host")
        (mallory,) = await raised(kit, "mallory")
        await kit.call("hands", "invite_to_stage", participant_id="mallory")
        await moderate(kit, action, "mallory")
        assert state(kit).invited == {}
        for guest in (host, mallory) if action == "mute" else (host,):  # who is put out may be gone by then
            closed = await guest.wait("guest_invite_closed")
            assert (closed["outcome"], closed["reason"]) == ("withdrawn", reason)
        assert await queue(kit) == (["mallory"] if action == "mute" else [])
        await kit.restart()
        if action == "mute":
            assert (await refusal(mallory.ask("guest_invite_response", {"accepted": True}))).code == "muted"
            await moderate(kit, "unmute", "mallory")
            await all_done(kit)
            assert (await refusal(mallory.ask("guest_invite_response", {"accepted": True}))).code == "not_invited"


@pytest.mark.parametrize("action", ["ban", "kick"])
async def test_the_next_in_line_is_invited_in_place_of_one_who_is_put_out(tmp_path: Path, action: str) -> None:
    async with moderated(tmp_path, auto_advance=True, stage_limit=1) as kit:
        await raised(kit, "mallory", "ann")
        await kit.call("hands", "invite_to_stage", participant_id="mallory")
        await moderate(kit, action, "mallory")
        assert list(state(kit).invited) == ["ann"]


async def test_a_mute_leaves_the_place_on_the_stage_and_the_hand(tmp_path: Path) -> None:
    async with moderated(tmp_path) as kit:
        await on_stage(kit, "mallory")
        await raised(kit, "ann")
        await moderate(kit, "mute", "mallory")
        await moderate(kit, "mute", "ann")
        assert (list(state(kit).stage), await queue(kit)) == (["mallory"], ["ann"])


async def test_without_moderation_nothing_changes(tmp_path: Path, clock: Clock) -> None:
    async with HallKit.open(tmp_path, {"hands": {}}) as kit:
        await raised(kit, "ann")
        assert await queue(kit) == ["ann"]
        assert set(kit.loaded) == {"hands"}


@pytest.mark.parametrize("late", [False, True])
async def test_a_ban_stands_where_hands_fail_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    async with moderated(tmp_path) as kit:
        hands = kit.loaded["hands"].spec.plugin_type
        await raised(kit, "mallory")
        lower = hands._lower  # type: ignore[attr-defined]

        def fails(self: Any, identity: str, reason: str, ctx: Any) -> None:
            if late:
                lower(self, identity, reason, ctx)
            raise RuntimeError("a mistake in hands")

        monkeypatch.setattr(hands, "_lower", fails)
        await moderate(kit, "ban", "mallory")
        await kit.until(lambda: any(isinstance(each, RemoveParticipant) for each in kit.room.effects))
        monkeypatch.undo()
        await kit.until(lambda: kit.hall._decider is not None and kit.hall.status == "live")
        refused = kit.hall.refuses_join("mallory")
        assert refused is not None
        assert refused.code == "blocked"
