"""Nobody acts above or at their own rank, whichever way they ask."""

from pathlib import Path
from typing import Any

import pytest

from relay_bot.plugin import Refuse, Role, Sender
from relay_bot.settings import RoleSettings, Settings
from relay_bot.testing import HallKit
from tests.plugins.hands.support import all_done, hall, queue, raised, refusal

ORDERS: list[tuple[str, dict[str, Any]]] = [
    ("guest_invite", {}),
    ("guest_promote", {}),
    ("guest_demote", {}),
    ("guest_remove", {}),
    ("hand_raise", {"raised": False}),
    ("hand_move", {"position": 1}),
]


@pytest.mark.parametrize(("kind", "fields"), ORDERS)
@pytest.mark.parametrize("target", ["host", "mo2"])
async def test_a_moderator_acts_on_nobody_of_their_rank_or_above(
    tmp_path: Path, kind: str, fields: dict[str, Any], target: str
) -> None:
    async with hall(tmp_path, stage_limit=5) as kit:
        mo = await kit.join("mo", role="moderator")
        await kit.join("mo2", role="moderator")
        await kit.join("host", role="host")
        await kit.room.guests[target].ask("hand_raise", {"raised": True})
        if kind in ("guest_demote", "guest_remove"):
            await kit.call("hands", "promote_to_stage", participant_id=target)
            await all_done(kit)
        before, effects = kit.fingerprints(), len(kit.room.effects)
        refused = await refusal(mo.ask(kind, {"participant_id": target} | fields))
        assert refused.code == "forbidden"
        assert "moderator" in refused.payload["message"]
        assert (kit.fingerprints(), len(kit.room.effects)) == (before, effects)


@pytest.mark.parametrize("line", ["/invite host", "/lower host", "/demote host"])
async def test_commands_neither(tmp_path: Path, line: str) -> None:
    async with hall(tmp_path) as kit:
        mo, host = await kit.join("mo", role="moderator"), await kit.join("host", role="host")
        await host.ask("hand_raise", {"raised": True})
        await kit.call("hands", "invite_to_stage", participant_id="host")
        assert (await refusal(mo.say(line))).code == "forbidden"
        assert await queue(kit) == ["host"]


async def test_clearing_the_queue_leaves_the_hands_of_those_above(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await raised(kit, "ann", "bob")
        mo, host = await kit.join("mo", role="moderator"), await kit.join("host", role="host")
        for guest in (host, mo):
            await guest.ask("hand_raise", {"raised": True})
        await mo.ask("hands_lower", {})
        assert await queue(kit) == ["host"]
        await kit.call("hands", "lower_hand", all=True)
        assert await queue(kit) == []


async def test_next_passes_over_those_above(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        mo, host = await kit.join("mo", role="moderator"), await kit.join("host", role="host")
        await host.ask("hand_raise", {"raised": True})
        assert (await refusal(mo.ask("hand_next", {}))).code == "forbidden"
        await raised(kit, "ann")
        assert await mo.ask("hand_next", {}) == {"participant_id": "ann"}
        assert await kit.call("hands", "next_in_line")


@pytest.mark.parametrize("restart", [False, True])
async def test_one_who_has_dropped_keeps_their_rank(tmp_path: Path, restart: bool) -> None:
    async with hall(tmp_path) as kit:
        mo, host = await kit.join("mo", role="moderator"), await kit.join("host", role="host")
        await host.ask("hand_raise", {"raised": True})
        await kit.call("hands", "promote_to_stage", participant_id="host")
        await host.ask("hand_raise", {"raised": True})
        await all_done(kit)
        host.leave()
        await kit.settle()
        if restart:
            await kit.restart()
        for kind, fields in (("guest_demote", {}), ("guest_remove", {}), ("hand_raise", {"raised": False})):
            assert (await refusal(mo.ask(kind, {"participant_id": "host"} | fields))).code == "forbidden"


async def test_the_one_rule(tmp_path: Path) -> None:
    settings = Settings(roles=RoleSettings(hosts=frozenset({"listed"})))
    async with HallKit.open(tmp_path, {}, settings=settings) as kit:
        for identity, role in (("vic", ""), ("sue", "speaker"), ("mo", "moderator"), ("host", "host")):
            await kit.join(identity, role=role)
        (await kit.join("was-host", role="host")).leave()
        await kit.settle()
        roster = kit.hall.roster
        senders = {each: Sender(each, "", roster.get(each).role) for each in ("vic", "sue", "mo", "host")}  # type: ignore[union-attr]
        senders[""] = Sender("", "", Role.BACKEND)
        above = {"vic": 0, "sue": 1, "mo": 2, "host": 3, "stranger": 0, "listed": 3, "was-host": 3}
        for who, sender in senders.items():
            for target, rank in above.items():
                expected = who in ("", target) or sender.role > rank
                assert _may(kit, sender, target) is expected, (who, target)
            assert not _may(kit, sender, "relay-bot")
        assert not _may(kit, senders["mo"], "stranger", last_role=Role.HOST)


def _may(kit: HallKit, sender: Sender, identity: str, **known: Any) -> bool:
    try:
        kit.hall.roster.may_act_on(sender, identity, **known)
    except Refuse as refusal:
        return refusal.code != "forbidden"
    return True
