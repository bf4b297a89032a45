"""Idempotency keys of requests that belong to no hall; those to a hall are kept in its own session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from relay_bot.control.errors import ApiError
from relay_bot.hall.answers import ANSWER_GONE, ANSWER_GONE_TEXT, AnswerMemory, seal
from relay_bot.hall.message import ROW_BYTES, Answered, answer_key
from relay_bot.journal.batch import OF_THE_PROCESS, Batch, Fenced, JournalError, Lots, SessionInfo, settle
from relay_bot.journal.writer import Journal
from relay_bot.wire.clock import now_ms

BACKEND: Final = "\0backend"
"""Stands for the backend where an identity stands for a participant: no identity is like it."""
_FOR_EVER_MS: Final = 10 * 365 * 86_400_000
_MAX_LOADED: Final = 100_000


class _Turnstile:
    """Lets requests with the same key through one after the other, for as long as there are any."""

    __slots__ = ("lock", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


class IdempotencyLog:
    """Remembers the answers of keyed requests, also over a restart: for a day (see `Halls`)."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._name = OF_THE_PROCESS + name
        self._session: SessionInfo | None = None
        self._answers = AnswerMemory()
        self._lots = Lots()
        self._running: dict[bytes, _Turnstile] = {}

    async def start(self) -> None:
        """Read what was answered before."""
        self._session = await self._journal.claim(self._name, "", now_ms(), _FOR_EVER_MS)
        kept = await self._journal.load(self._session.id, _MAX_LOADED)
        for key, answer in kept.answers:
            self._answers.put(key, answer)
        self._lots.begin(kept.last_lot)

    async def once(self, key: str, digest: str, run: Callable[[], Awaitable[Any]]) -> Any:
        """Run a request whose key is new and keep its JSON answer; else give the kept one.

        Raises `ApiError` (422) where the key came with another body before. Errors are not kept.
        """
        name = answer_key(BACKEND, key)
        turnstile = self._running.setdefault(name, _Turnstile())
        turnstile.waiting += 1
        try:
            async with turnstile.lock:
                kept = self._answers.get(name)
                if kept is None:
                    kept = Answered(result=await run(), digest=digest)
                    await self._keep(name, kept)
                elif kept is ANSWER_GONE:
                    raise ApiError(422, "invalid_request", ANSWER_GONE_TEXT)
                elif kept.digest != digest:
                    raise ApiError(422, "invalid_request", "this Idempotency-Key came with another body before")
                return kept.result
        finally:
            turnstile.waiting -= 1
            if not turnstile.waiting:
                del self._running[name]

    async def _keep(self, name: bytes, answer: Answered) -> None:
        sealed = seal(answer, name)
        error = await self._write(name, sealed)
        if isinstance(error, Fenced):  # another bot with our address and our database: both may keep answers
            await self.start()
            error = await self._write(name, sealed)
        if error is not None:
            raise ApiError(503, "busy", f"not taken: {error}")
        self._answers.put(name, sealed)

    async def _write(self, name: bytes, sealed: bytes) -> JournalError | None:
        assert self._session is not None
        done: asyncio.Future[JournalError | None] = asyncio.get_running_loop().create_future()
        batch = Batch(self._session, settle(done))
        batch.answers.append((self._session.id, self._lots.next(now_ms()), name[:ROW_BYTES], sealed))
        batch.evicted = self._answers.take_evicted()
        self._journal.submit(batch)
        return await done
