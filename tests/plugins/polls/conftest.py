"""A hall with the polls plugin, a host and two viewers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from relay_bot.journal.writer import Journal
from relay_bot.settings import GateSettings, Rate, Settings
from relay_bot.testing import Guest, HallKit

UNLIMITED = Settings(gate=GateSettings(rates={name: Rate(1e6, 1_000_000) for name in ("default", "chat")}))


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with HallKit.open(tmp_path, {"polls": {"required": True}}, settings=UNLIMITED) as hall:
        yield hall
        await hall.settle()
        assert hall.fingerprints() == await hall.replayed()


@pytest.fixture
async def host(kit: HallKit) -> Guest:
    return await kit.join("host", role="host")


@pytest.fixture
async def ann(kit: HallKit, host: Guest) -> Guest:
    return await kit.join("ann", name="Ann")


@pytest.fixture
async def ben(kit: HallKit, host: Guest) -> Guest:
    return await kit.join("ben", name="Ben")


class Ground(msgspec.Struct):
    """One loop and one journal for all examples of a state machine."""

    runner: asyncio.Runner
    journal: Journal
    folder: Path


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Generator[Ground]:
    folder = tmp_path_factory.mktemp("machine")
    with asyncio.Runner() as runner:
        journal = Journal(f"sqlite:///{folder / 'relay.db'}")
        runner.run(_begin(journal))
        yield Ground(runner, journal, folder)
        runner.run(journal.stop())


async def _begin(journal: Journal) -> None:
    """Start the journal, and the one thread that reads it: none is to begin in a test."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    await asyncio.to_thread(lambda: None)
    await journal.start()
