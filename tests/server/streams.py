"""Participants who send one message after the other, for tests that break something meanwhile."""

import asyncio
from typing import Any

from livekit import rtc

from tests.support.bot import eventually
from tests.support.clients import Participant, new_id


class Stream:
    """A participant who sends one message after the other, each until it is answered."""

    def __init__(self, person: Participant, kind: str, payloads: Any, *, rpc: bool) -> None:
        self.person = person
        self.kind = kind
        self.acked: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        """id, payload and the ack's payload, in the order of sending."""
        self._payloads = payloads
        self._rpc = rpc

    async def run(self, stop: asyncio.Event) -> None:
        for payload in self._payloads:
            if stop.is_set():
                return
            message_id = new_id()
            self.acked.append((message_id, payload, await self.send(payload, message_id)))

    async def send(self, payload: dict[str, Any], message_id: str) -> dict[str, Any]:
        if not self._rpc:
            return await self.person.request(self.kind, payload, message_id, tries=20)
        for _ in range(10):
            try:
                return await self.person.rpc(self.kind, payload, message_id, timeout=4)
            except rtc.RpcError:  # nobody answered: the bot is gone, or was when it came
                await asyncio.sleep(0.2)
        raise TimeoutError(f"{self.person.identity} had no answer to an RPC in ten tries")


async def more(acks: Any, count: int, running: list[asyncio.Task[None]]) -> None:
    """Wait for so many more acks."""
    goal = acks() + count

    async def reached() -> bool:
        for task in running:
            if task.done():
                task.result()
        return acks() >= goal

    await eventually(reached, f"{count} more acks", limit=40, pause=0.001)
