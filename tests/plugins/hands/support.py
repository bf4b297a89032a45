"""What the tests of hands share: a hall whose clock they turn, and short ways to ask."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import relay_bot.hall.hall as hall_module
from relay_bot.testing import Guest, HallKit, Refused
from relay_bot.wire.clock import now_ms


class Clock:
    """The bot's clock in the tests: the real one, put forward by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0
        for module in modules_with_clock():
            monkeypatch.setattr(module, "now_ms", self.now)

    def now(self) -> int:
        return now_ms() + self.ahead

    async def advance(self, kit: HallKit, seconds: float) -> None:
        """Put the clock forward and let what has fallen due happen."""
        self.ahead += round(seconds * 1000)
        kit.room.tell()  # nothing arrived, but the hall wakes and looks at its timers
        await kit.until(lambda: _nothing_due(kit, self.now()))
        await kit.settle()


def modules_with_clock() -> list[Any]:
    import importlib

    names = ("hall", "deciding", "committing")
    found = [hall_module, *(importlib.import_module(f"relay_bot.hall.{name}") for name in names[1:])]
    return [module for module in found if hasattr(module, "now_ms")]


def _nothing_due(kit: HallKit, now: int) -> bool:
    session = kit.hall.session
    return session is not None and not session.core.due(now)


@asynccontextmanager
async def hall(folder: Path, **settings: Any) -> AsyncGenerator[HallKit]:
    async with HallKit.open(folder, {"hands": settings}) as kit:
        yield kit
        await all_done(kit)
        assert kit.fingerprints() == await kit.replayed()


async def all_done(kit: HallKit) -> None:
    """Wait until LiveKit has done what was asked of it, and the hall has heard so."""
    session = kit.hall.session
    assert session is not None
    await kit.settle()
    await kit.until(lambda: kit.room.failing or not session.core.owed)
    await kit.settle()


async def raised(kit: HallKit, *identities: str, **fields: Any) -> list[Guest]:
    """Have these join and raise their hands, in this order."""
    guests = [await kit.join(identity, name=identity.title()) for identity in identities]
    for guest in guests:
        await guest.ask("hand_raise", {"raised": True} | fields)
    return guests


async def queue(kit: HallKit) -> list[str]:
    return [hand["participant_id"] for hand in (await kit.call("hands", "list_hands"))["queue"]]


async def refusal(awaitable: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await awaitable
    return caught.value
