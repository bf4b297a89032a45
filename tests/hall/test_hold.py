"""Invariant 5 at its weakest spot: packets of the first seconds after a join, which come without a sender."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relay_bot.hall.hold import FRESH_SECONDS, Hold
from relay_bot.link import Joined
from relay_bot.testing import Guest, HallKit
from tests.support.halls import acks, envelope, errors, joined, open_hall, send_raw, unlimited, votes

HOLD_SECONDS = 0.2


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, settings=unlimited(hold_seconds=HOLD_SECONDS)) as made:
        yield made


async def decided(kit: HallKit) -> None:
    """Give the hall a moment for what may not happen at all."""
    await asyncio.sleep(0.02)
    await kit.settle()


async def test_a_nameless_packet_waits_for_its_sender_to_join(kit: HallKit) -> None:
    ann = await kit.join("ann", known=False)
    ann.send("vote", {}, "m1", certain=False)
    await decided(kit)
    assert await votes(kit) == {}
    kit.announce("ann")
    await kit.settle()
    assert await votes(kit) == {"ann": "yes"}
    assert acks(ann, "m1") == 1
    assert (await kit.call("tally", "all_votes"))["inferred"] == ["ann"]


async def test_an_inferred_sender_is_a_viewer_whatever_their_token_says(kit: HallKit) -> None:
    host = await kit.join("ann", role="host", known=False)
    host.send("who_am_i", {}, "m1", certain=False)
    kit.announce("ann")
    answer = await host.wait("ack")
    assert answer["result"] == {"identity": "ann", "role": "viewer", "inferred": True}


async def test_a_claim_of_somebody_long_here_is_refused(kit: HallKit) -> None:
    ann = await kit.join("ann", known=False)
    joined(kit, "ann", seconds_ago=FRESH_SECONDS + 0.1)
    ann.send("vote", {}, "m1", certain=False)
    assert (await ann.wait("error"))["id"] == "m1"
    assert errors(ann) == ["sender_unknown"]
    assert await votes(kit) == {}
    assert acks(ann, "m1") == 0


async def test_a_claim_of_somebody_here_for_a_moment_is_taken(kit: HallKit) -> None:
    ann = await kit.join("ann", known=False)
    joined(kit, "ann", seconds_ago=FRESH_SECONDS - 0.1)
    ann.send("vote", {}, "m1", certain=False)
    await kit.settle()
    assert await votes(kit) == {"ann": "yes"}


async def test_the_tolerance_ends_at_half_a_second(kit: HallKit) -> None:
    """The packet's own stamp counts, and not when it is looked at."""
    await kit.join("ann", known=False)
    await kit.join("bob", known=False)
    for identity, known_for in (("ann", 0.5), ("bob", 0.5 + 1 / 1024)):
        kit.room.tell(Joined(kit.room.presences[identity], 1024.0))
        send_raw(kit, envelope("vote", {}, sender_id=identity), stamp=1024.0 + known_for)
    await kit.settle()
    assert await votes(kit) == {"ann": "yes"}


async def test_a_sender_who_never_joins_is_given_up(kit: HallKit) -> None:
    send_raw(kit, envelope("vote", {}, sender_id="ghost", id="m1"))
    await decided(kit)
    gate = kit.hall._gate
    assert len(gate.nameless) == 1
    await kit.until(lambda: len(gate.nameless) == 0, HOLD_SECONDS * 5)
    ghost = await kit.join("ghost")
    await decided(kit)
    assert await votes(kit) == {}
    assert acks(ghost, "m1") == 0


async def test_who_joins_too_late_is_not_taken(kit: HallKit) -> None:
    send_raw(kit, envelope("vote", {}, sender_id="ann"))
    await asyncio.sleep(HOLD_SECONDS + 0.1)
    await kit.join("ann")
    await kit.settle()
    assert await votes(kit) == {}


async def test_a_nameless_packet_that_claims_nobody_is_dropped(kit: HallKit) -> None:
    await kit.join("ann")
    send_raw(kit, envelope("vote", {}, id="m1"))
    send_raw(kit, envelope("vote", {}, id="m2", sender_id=None))
    send_raw(kit, envelope("vote", {}, id="m3", sender_id=""))
    await decided(kit)
    assert len(kit.hall._gate.nameless) == 0
    assert await votes(kit) == {}


async def test_a_certain_message_overrides_an_inferred_one(kit: HallKit) -> None:
    ann = await kit.join("ann", known=False)
    ann.send("vote", {"option": "forged"}, certain=False)
    kit.announce("ann")
    await kit.settle()
    ann.send("vote", {"option": "mine"})
    await kit.settle()
    assert await votes(kit) == {"ann": "mine"}
    assert (await kit.call("tally", "all_votes"))["inferred"] == []


async def test_a_certain_message_is_taken_though_a_forger_used_its_id_first(kit: HallKit) -> None:
    """Else a forger who guesses an id makes the bot ack a vote that it never counted."""
    ann = await kit.join("ann", known=False)
    ann.send("vote", {"option": "forged"}, "m1", certain=False)
    kit.announce("ann")
    await kit.settle()
    ann.send("vote", {"option": "mine"}, "m1")
    await kit.settle()
    assert await votes(kit) == {"ann": "mine"}


async def test_the_same_message_once_nameless_and_once_certain_is_counted_once(kit: HallKit) -> None:
    ann = await kit.join("ann", known=False)
    ann.send("vote", {}, "m1", certain=False)
    ann.send("vote", {}, "m1", certain=True)
    kit.announce("ann")
    await kit.settle()
    assert await votes(kit) == {"ann": "yes"}
    assert (await kit.call("tally", "all_votes"))["inferred"] == []


async def test_a_claimed_name_never_speaks_for_a_certain_sender(kit: HallKit) -> None:
    """What the SFU says goes before what the packet says."""
    await kit.join("ann", role="host")
    mallory = await kit.join("mallory")
    data = envelope("who_am_i", {}, sender_id="ann", id="m1")
    send_raw(kit, data, "mallory")
    assert (await mallory.wait("ack"))["result"]["identity"] == "mallory"


async def polls_hall(folder: Path) -> AsyncGenerator[tuple[HallKit, Guest]]:
    async with HallKit.open(folder, {"polls": {}}, settings=unlimited(hold_seconds=HOLD_SECONDS)) as kit:
        await kit.backend("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"]})
        yield kit, await kit.join("ann", known=False)


@pytest.mark.parametrize("certain_first", [True, False])
async def test_in_a_poll_the_certain_vote_stands(tmp_path: Path, certain_first: bool) -> None:
    async for kit, ann in polls_hall(tmp_path):
        joined(kit, "ann")
        for certain in (certain_first, not certain_first):
            ann.send("poll_response", {"poll_id": "p", "option": 0 if certain else 1}, certain=certain)
        await kit.settle()
        poll = await kit.call("polls", "get_poll", poll_id="p")
        assert (poll["counts"], poll["total_voters"]) == ([1, 0], 1)


# -- the bound ----------------------------------------------------------------------------------------


def test_a_hold_keeps_at_most_32_of_one_and_5000_of_all() -> None:
    hold: Hold[int] = Hold(4.0)
    assert [hold.add("ann", number, 0.0) for number in range(33)] == [True] * 32 + [False]
    for number in range(5000 - 32):
        assert hold.add(f"p{number}", number, 0.0)
    assert not hold.add("late", 0, 0.0)
    assert len(hold) == 5000
    assert hold.take("ann") == list(range(32))
    assert hold.add("late", 0, 0.0)


def test_a_hold_gives_up_each_message_in_its_time() -> None:
    hold: Hold[str] = Hold(4.0)
    hold.add("ann", "first", 0.0)
    hold.add("ann", "second", 1.0)
    hold.add("bob", "third", 2.0)
    assert hold.next_expiry() == 4.0
    assert hold.expired(3.9) == []
    assert hold.expired(4.0) == [("ann", "first")]
    assert hold.next_expiry() == 5.0
    assert sorted(hold.expired(6.0)) == [("ann", "second"), ("bob", "third")]
    assert (len(hold), hold.next_expiry()) == (0, None)


async def test_what_the_hold_has_no_room_for_is_not_counted(kit: HallKit) -> None:
    for number in range(40):
        send_raw(kit, envelope("vote", {"option": str(number)}, sender_id="ann"))
    await kit.join("ann")
    await kit.settle()
    assert (await kit.call("tally", "all_votes"))["recorded"] == 32
