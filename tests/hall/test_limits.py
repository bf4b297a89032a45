"""Rate limits: by participant and type, told with the time to wait, and no trouble for anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relay_bot.hall import limits
from relay_bot.hall.limits import Limiter
from relay_bot.settings import GateSettings, Rate, Settings
from relay_bot.testing import HallKit, Refused
from tests.support.halls import acks, envelope, errors, joined, open_hall, send_raw, votes

SLOW = GateSettings(rates={"vote": Rate(per_second=1, burst=2), "default": Rate(1000, 1000)})


def limiter(**rates: Rate) -> Limiter:
    return Limiter(GateSettings(rates=rates))


def test_a_burst_passes_and_then_one_for_each_interval() -> None:
    made = limiter(vote=Rate(per_second=4, burst=3))
    assert [made.wait("ann", "vote", 0.0) for _ in range(4)] == [0, 0, 0, 0.25]
    assert made.wait("ann", "vote", 0.125) == 0.125
    assert made.wait("ann", "vote", 0.25) == 0
    assert made.wait("ann", "vote", 0.25) == 0.25


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    made = limiter(vote=Rate(per_second=4, burst=3))
    made.wait("ann", "vote", 0.0)
    assert [made.wait("ann", "vote", 1000.0) > 0 for _ in range(4)] == [False, False, False, True]


def test_participants_and_types_have_buckets_of_their_own() -> None:
    made = limiter(vote=Rate(1, 1), wave=Rate(1, 1))
    assert [made.wait(*key, 0.0) for key in (("ann", "vote"), ("bob", "vote"), ("ann", "wave"))] == [0, 0, 0]
    assert made.wait("ann", "vote", 0.0) > 0


def test_types_that_are_not_named_share_one_bucket() -> None:
    """Else a flood of invented types would be without limit."""
    made = limiter(default=Rate(1, 1))
    assert made.wait("ann", "one", 0.0) == 0
    assert made.wait("ann", "two", 0.0) > 0


def test_chat_and_reactions_have_a_limit_though_the_configuration_names_none() -> None:
    made = limiter()
    assert [sum(made.wait("ann", kind, 0.0) == 0 for _ in range(200)) for kind in ("chat", "reaction", "x")] == [
        30,
        50,
        100,
    ]


def test_the_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MAX_BUCKETS", 10)
    made = limiter(default=Rate(1, 1))
    for number in range(100):
        made.wait(f"p{number}", "x", float(number))
    assert len(made._buckets) <= 10


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, settings=Settings(gate=SLOW)) as made:
        yield made


async def test_too_fast_is_refused_with_the_time_to_wait(kit: HallKit) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    for _ in range(2):
        await ann.ask("vote", {})
    with pytest.raises(Refused) as refusal:
        await ann.ask("vote", {}, "m1")
    assert refusal.value.code == "rate_limited"
    assert 0 < refusal.value.payload["retry_after_ms"] <= 1001
    assert refusal.value.payload["id"] == "m1"
    await bob.ask("vote", {})
    await ann.ask("who_am_i", {})
    assert await votes(kit) == {"ann": "yes", "bob": "yes"}


async def test_what_was_too_fast_may_come_again_with_its_id(tmp_path: Path) -> None:
    fast = Settings(gate=GateSettings(rates={"vote": Rate(per_second=50, burst=1)}))
    async with open_hall(tmp_path, settings=fast) as kit:
        ann = await kit.join("ann")
        await ann.ask("vote", {"option": "a"})
        with pytest.raises(Refused, match="rate_limited") as refusal:
            await ann.ask("vote", {"option": "b"}, "m1")
        await asyncio.sleep(refusal.value.payload["retry_after_ms"] / 1000)
        await ann.ask("vote", {"option": "b"}, "m1")
        assert await votes(kit) == {"ann": "b"}


async def test_a_burst_that_is_refused_is_answered_message_by_message(kit: HallKit) -> None:
    ann = await kit.join("ann")
    ids = [f"m{number}" for number in range(150)]
    for each in ids:
        send_raw(kit, envelope("vote", {}, relay_version="7", id=each), "ann")
    await kit.settle()
    assert [errors(ann, each) for each in ids] == [["unsupported_version"]] * len(ids)


async def test_one_who_floods_hears_few_refusals_and_harms_nobody(kit: HallKit) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    for number in range(500):
        ann.send("vote", {}, f"m{number}")
        send_raw(kit, b"{", "ann")
    bob.send("vote", {}, "m1")
    await kit.settle()
    assert acks(bob, "m1") == 1
    assert 0 < len(errors(ann)) <= limits.REFUSALS.burst + limits.REFUSALS.per_second * 5
    assert (await kit.call("tally", "all_votes"))["recorded"] == 3


async def test_a_claimed_name_is_not_charged_for_what_others_send(kit: HallKit) -> None:
    """A forger must not use up the victim's refusals, nor their votes."""
    ann = await kit.join("ann", known=False)
    joined(kit, "ann", seconds_ago=10)
    for _ in range(100):
        send_raw(kit, envelope("vote", {}, sender_id="ann"))
    await kit.settle()
    forged = len(errors(ann))
    assert forged <= limits.REFUSALS.burst + limits.REFUSALS.per_second * 5
    send_raw(kit, envelope("vote", {}, relay_version="7", id="m1"), "ann")
    await kit.settle()
    assert errors(ann, "m1") == ["unsupported_version"]
