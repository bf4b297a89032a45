"""Closed by default: a ban holds at the token desk whether its hall is served, begins, or is over."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relay_bot.control.errors import ApiError
from relay_bot.control.token_desk import check_may_join
from relay_bot.journal.batch import Unavailable
from relay_bot.journal.writer import Journal
from relay_bot.testing import HallKit
from tests.control.support import KitHalls


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with HallKit.open(tmp_path, {"moderation": {}}) as made:
        yield made


async def refused(kit: HallKit, identity: str) -> tuple[int, str] | None:
    """Ask as the desk does, with nothing kept from before."""
    try:
        await check_may_join(KitHalls(kit), kit.hall.name, identity)
    except ApiError as error:
        return error.status, error.code
    return None


async def ban(kit: HallKit, identity: str, seconds: float | None = None) -> None:
    await kit.call("moderation", "decide", action="ban", participant_id=identity, duration_seconds=seconds)


async def test_while_it_is_not_served(kit: HallKit) -> None:
    await ban(kit, "ann")
    await ban(kit, "bob", 600)
    await ban(kit, "cy", 0.05)
    assert [await refused(kit, each) for each in ("ann", "bob")] == [(403, "blocked")] * 2
    await kit.stop()
    assert kit.hall.status == "ended"
    assert [await refused(kit, each) for each in ("ann", "bob")] == [(403, "blocked")] * 2
    assert await refused(kit, "dan") is None
    await kit.start()
    assert await refused(kit, "bob") == (403, "blocked")


async def test_a_ban_that_has_run_out_meanwhile_does_not_hold(kit: HallKit) -> None:
    await ban(kit, "ann", 0.2)
    await kit.stop()
    assert await refused(kit, "ann") == (403, "blocked")
    async with asyncio.timeout(5):
        while await refused(kit, "ann") is not None:
            pass


async def test_when_its_session_is_over(kit: HallKit) -> None:
    await ban(kit, "for the session")
    await ban(kit, "for ten minutes", 600)
    kit.close_room()
    await kit.until(lambda: kit.hall.status == "ended")
    await kit.stop()
    assert await refused(kit, "for the session") is None
    assert await refused(kit, "for ten minutes") == (403, "blocked")


async def test_before_its_session_is_open(kit: HallKit) -> None:
    await ban(kit, "ann", 600)
    kit.hall._session = None  # pyright: ignore[reportPrivateUsage] - as at the first instant
    assert await refused(kit, "ann") == (403, "blocked")


async def test_a_journal_that_can_t_be_read_lets_nobody_in(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    await kit.stop()

    async def fails(self: Journal, hall: str) -> None:
        raise Unavailable("the disk is gone")

    monkeypatch.setattr(Journal, "latest_session", fails)
    assert await refused(kit, "ann") == (503, "busy")


async def test_a_session_that_can_t_be_read_neither(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    await ban(kit, "ann", 600)
    await kit.stop()

    async def fails(self: Journal, session: int, answers: int) -> None:
        raise ValueError("not an event of ours")

    monkeypatch.setattr(Journal, "load", fails)
    assert await refused(kit, "ann") == (503, "busy")
