"""Timers: at their time, once, and over a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from relay_bot.testing import HallKit
from tests.support.halls import open_hall


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, "errands") as made:
        yield made


def rang(kit: HallKit) -> list[str]:
    return msgspec.json.decode(kit.fingerprints()["errands"])["rang"]


async def test_a_timer_rings_at_its_time_and_once(kit: HallKit) -> None:
    ann = await kit.join("ann")
    started = time.monotonic()
    await ann.ask("remind", {"key": "tea", "in_ms": 100})
    await ann.wait("rang")
    assert 0.09 <= time.monotonic() - started < 1
    await asyncio.sleep(0.05)
    await kit.settle()
    assert rang(kit) == ["tea"]
    assert kit.fingerprints() == await kit.replayed()


async def test_timers_ring_in_the_order_of_their_times(kit: HallKit) -> None:
    ann = await kit.join("ann")
    for key, in_ms in (("last", 80), ("first", 20), ("second", 50)):
        await ann.ask("remind", {"key": key, "in_ms": in_ms})
    await kit.until(lambda: len(rang(kit)) == 3)
    assert rang(kit) == ["first", "second", "last"]


async def test_the_same_timer_again_is_moved(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await ann.ask("remind", {"key": "tea", "in_ms": 30})
    await ann.ask("remind", {"key": "tea", "in_ms": 120})
    await asyncio.sleep(0.06)
    assert rang(kit) == []
    await kit.until(lambda: rang(kit) == ["tea"])
    await asyncio.sleep(0.05)
    assert rang(kit) == ["tea"]


async def test_a_timer_that_was_called_off_does_not_ring(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await ann.ask("remind", {"key": "tea", "in_ms": 40})
    await ann.ask("call_off", {"key": "tea"})
    await ann.ask("call_off", {"key": "never set"})
    await asyncio.sleep(0.08)
    assert rang(kit) == []


async def test_a_timer_survives_a_restart(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await ann.ask("remind", {"key": "tea", "in_ms": 150})
    await kit.restart()
    assert rang(kit) == []
    await kit.until(lambda: rang(kit) == ["tea"])


async def test_timers_that_fell_due_meanwhile_ring_at_once(kit: HallKit) -> None:
    ann = await kit.join("ann")
    for key in ("b", "a"):
        await ann.ask("remind", {"key": key, "in_ms": 30 if key == "a" else 20})
    await kit.stop()
    await asyncio.sleep(0.06)
    await kit.start()
    started = time.monotonic()
    await kit.until(lambda: len(rang(kit)) == 2)
    assert time.monotonic() - started < 0.5
    assert rang(kit) == ["b", "a"]
    await kit.restart()
    await asyncio.sleep(0.02)
    assert rang(kit) == ["b", "a"], "and not again after another restart"


async def test_keys_may_hold_anything(kit: HallKit) -> None:
    ann = await kit.join("ann")
    for key in ("a\nb", "", "é👍"):
        await ann.ask("remind", {"key": key})
    await kit.until(lambda: len(rang(kit)) == 3)
    assert sorted(rang(kit)) == sorted(["a\nb", "", "é👍"])
