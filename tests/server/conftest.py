"""Bots for the tests of this folder, each with its own database, port and log."""

import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.support import links
from tests.support.bot import Bot, StartBot
from tests.support.livekit_server import LiveKit


@pytest.fixture
def link_kind(request: pytest.FixtureRequest) -> str:
    """The link that the test's bots stand on: see `tests/support/links.py` for how a test chooses."""
    return getattr(request, "param", links.DEFAULT)


@pytest.fixture
async def start_bot(livekit: LiveKit, link_kind: str, tmp_path: Path) -> AsyncGenerator[StartBot]:
    """Starts a bot that must end in time after the test and have logged no error that wasn't provoked."""
    bots: list[Bot] = []

    async def start(*halls: str, **options: Any) -> Bot:
        chosen: dict[str, Any] = {"livekit": livekit, "folder": tmp_path / f"bot{len(bots)}", "link": link_kind}
        chosen |= options
        bot = Bot(halls=halls or (f"h{uuid.uuid4().hex[:6]}-*",), **chosen)
        bots.append(bot)
        await bot.start()
        return bot

    yield start
    failures: list[str] = []
    for bot in bots:
        for check in (bot.stop, _checked(bot)):
            try:
                await check()
            except AssertionError as error:
                failures.append(str(error))
    if failures:
        pytest.fail("\n".join(failures), pytrace=False)


def _checked(bot: Bot) -> Any:
    async def check() -> None:
        bot.check_log()

    return check


@pytest.fixture
async def bot(start_bot: StartBot) -> Bot:
    """A bot with nothing special about it."""
    return await start_bot()
