"""The set of halls: which rooms get a hall, and what LiveKit's silence means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from relay_bot.hall.halls import Halls
from relay_bot.hall.services import EffectFailed
from relay_bot.hall.shelf import Shelf
from relay_bot.link import Lost, Reason
from relay_bot.settings import HallsSettings, Settings, StorageSettings
from relay_bot.testing import HallKit
from relay_bot.wire.clock import now_ms
from tests.support.halls import open_journal


class Livekit:
    """What LiveKit lists; each time it is asked is counted."""

    def __init__(self) -> None:
        self.rooms: list[tuple[str, str]] = []
        self.failing = False
        self.asked = 0

    async def list_rooms(self) -> list[tuple[str, str]]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.failing:
            raise EffectFailed("LiveKit was told to fail")
        return self.rooms


class World:
    """A set of halls on the kit's link, and what its LiveKit lists."""

    def __init__(self, kit: HallKit) -> None:
        self._kit = kit
        self.journal = kit.journal
        self.room = kit.room
        self.livekit = Livekit()
        rooms = kit._services.rooms
        rooms.list_rooms = self.livekit.list_rooms  # type: ignore[method-assign]  (the rest is the kit's)
        self.halls = Halls(msgspec.structs.replace(kit._services, rooms=rooms))

    async def until_live(self, name: str) -> None:
        await self._kit.until(lambda: (hall := self.halls.get(name)) is not None and hall.status == "live")

    async def until_over(self, name: str) -> None:
        await self._kit.until(lambda: self.halls.get(name) is None)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    async with open_journal(tmp_path) as journal:
        settings = Settings(halls=HallsSettings(reconcile_seconds=3600), storage=StorageSettings(retention_days=0))
        made = World(HallKit(journal, {}, settings, Shelf(journal, 1)))
        yield made
        await made.halls.stop()


async def test_a_room_made_anew_under_the_name_of_one_that_ends_is_served(world: World) -> None:
    """Though the listing names the new room before the bot hears that the old one is closed."""
    halls = world.halls
    halls.found("hall", "RM_kit")
    await world.until_live("hall")
    halls.found("hall", "RM_next")
    world.room.tell(Lost(Reason.ROOM_ENDED, "ROOM_DELETED"))
    await world.until_over("hall")
    halls.found("hall", "RM_kit")
    assert halls.get("hall") is None, "a stale listing made the closed room anew"
    halls.found("hall", "RM_next")
    assert halls.get("hall") is not None


async def test_livekit_answers_for_as_long_as_a_listing_is_fresh(world: World) -> None:
    await world.halls.reconcile()
    assert await world.halls.hears_livekit()
    assert world.livekit.asked == 1


async def test_an_old_listing_has_livekit_asked_again(world: World) -> None:
    """Where webhooks find the halls, the listings may be an hour apart."""
    await world.halls.reconcile()
    age(world.halls)
    assert await world.halls.hears_livekit()
    assert world.livekit.asked == 2
    age(world.halls)
    world.livekit.failing = True
    assert not await world.halls.hears_livekit()


def age(halls: Halls) -> None:
    """Let a minute pass since LiveKit was asked and since it answered."""
    halls._listed_at -= 60
    halls._asked_at -= 60


async def test_a_silent_livekit_is_asked_once_for_all_who_want_to_know(world: World) -> None:
    world.livekit.failing = True
    answers = await asyncio.gather(*(world.halls.hears_livekit() for _ in range(5)))
    assert (answers, world.livekit.asked) == ([False] * 5, 1)


async def test_answers_to_no_hall_are_kept_for_a_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the sessions are kept for ever."""
    asked: list[int] = []

    async def forget_answers(before: int) -> int:
        asked.append(before)
        return 0

    monkeypatch.setattr(world.journal, "forget_answers", forget_answers)
    for _ in range(2):
        await world.halls._forget_old()
    assert len(asked) == 1, "once an hour"
    assert 86_000_000 < now_ms() - asked[0] < 87_000_000


async def test_a_late_hint_begins_nothing(world: World) -> None:
    """A webhook that comes after its room has closed: joining would make the room anew."""
    finder = asyncio.create_task(world.halls.run())
    await world._kit.until(lambda: world.livekit.asked == 1)
    world.halls.hinted("hall", "RM_gone")
    await world._kit.until(lambda: world.livekit.asked == 2)
    assert world.halls.get("hall") is None
    world.livekit.rooms = [("hall", "RM_kit")]
    world.halls.hinted("hall", "RM_kit")
    await world.until_live("hall")
    finder.cancel()
    await asyncio.gather(finder, return_exceptions=True)
