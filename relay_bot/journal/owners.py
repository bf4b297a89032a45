"""Whether sessions are still held: asked by many halls at once, answered by one query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from relay_bot.journal.batch import SessionInfo

Epochs = Mapping[int, int]
"""The epochs of the sessions that are not over, by their ids."""


class Owners:
    """Answers who asks while a query is under way with the next one: it says how things were after they asked."""

    def __init__(self, read: Callable[[Sequence[int]], Epochs]) -> None:
        self._read = read
        self._waiting: list[tuple[int, asyncio.Future[Epochs]]] = []
        self._task: asyncio.Task[None] | None = None

    async def hold(self, session: SessionInfo) -> bool:
        """Tell whether the owner with this epoch holds the session; raises what reading raises."""
        future: asyncio.Future[Epochs] = asyncio.get_running_loop().create_future()
        self._waiting.append((session.id, future))
        if self._task is None:
            self._task = asyncio.create_task(self._ask(), name="journal owners")
        return (await future).get(session.id) == session.epoch

    async def _ask(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, []
            try:
                epochs = await asyncio.to_thread(self._read, list({session for session, _ in asked}))
            except Exception as error:
                for _, future in asked:
                    if not future.done():
                        future.set_exception(error)
            else:
                for _, future in asked:
                    if not future.done():
                        future.set_result(epochs)
        self._task = None
