"""Whether this process is the one that decides for a hall: once it is not, the hall stands back at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import structlog

from relay_bot.journal.batch import SessionInfo, Unavailable
from relay_bot.journal.writer import Journal
from relay_bot.wire.clock import now_ms

log = structlog.get_logger("hall")

CHECK_SECONDS: Final = 1.0
"""How often it is looked whether another bot has the session. All halls look at the same moment, with one query."""
SEEN_SECONDS: Final = 30.0
"""How often the journal is told that a session is held, at the least."""


class Ownership:
    """A hall's claim on its session. `lost` is a fact that never changes back: what the hall does ends with it.

    A commit finds it out by itself (`Fenced`). This finds it out where nothing is committed, and before what leaves
    the process without a commit: whoever acts on the world asks `holds` first.
    """

    def __init__(
        self, hall: str, journal: Journal, room_sid: Callable[[], str], stand_back: Callable[[], None]
    ) -> None:
        self._hall = hall
        self._journal = journal
        self._room_sid = room_sid
        self._stand_back = stand_back
        self._held: SessionInfo | None = None
        self._moved = asyncio.Event()
        self.lost = False

    def opening(self) -> None:
        """Hear that the session is being claimed: until then nothing is held."""
        self._held = None

    def took(self, session: SessionInfo) -> None:
        """Hear that the session was claimed."""
        self._held = session

    def moved(self) -> None:
        """Hear that the room has another sid than the journal knows."""
        self._moved.set()

    def lose(self) -> None:
        """Hear that another bot has the session; the first to tell makes the hall stand back."""
        if not self.lost:
            self.lost = True
            log.warning("hall.fenced", hall=self._hall)
            self._stand_back()

    async def holds(self) -> bool:
        """Tell whether the session is held now, by the journal; raises `Unavailable` where that can't be told."""
        held = self._held
        if self.lost or held is None:
            return False
        if await self._journal.holds(held):
            return not self.lost
        if self._held is held:  # else it was claimed anew meanwhile, by this hall
            self.lose()
        return False

    async def run(self, resume_seconds: float) -> None:
        """Look every second whether the session is held, and tell the journal every now and then that it is.

        At once where the room has another sid: a crash says nothing, and without this the session of such a room, or
        of one that the SFU has to make anew as well, would not be found again.
        """
        every = min(resume_seconds / 4, SEEN_SECONDS)
        tell_at = time.monotonic() + every
        while not self.lost:
            until_check = CHECK_SECONDS - time.monotonic() % CHECK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(until_check, tell_at - time.monotonic()))):
                    await self._moved.wait()
            with contextlib.suppress(Unavailable):
                if self._moved.is_set() or time.monotonic() >= tell_at:
                    self._moved.clear()
                    tell_at = time.monotonic() + every
                    await self._tell()
                elif self._held is not None:
                    await self.holds()

    async def _tell(self) -> None:
        held = self._held
        if held is None:
            return
        kept = await self._journal.release(held, now_ms(), ended=False, room_sid=self._room_sid())
        if not kept and self._held is held:
            self.lose()
