"""The bare bots: a sink that parses and counts, an echo that answers each packet to its sender.

Both are written as well as the SDK's documentation lets one write them: callbacks that only put, one
worker that answers in order (many `publish_data` calls pending at once would make the SDK quadratic, and
the comparison too easy). They join with the same grants as relay-bot: hidden, an agent, data only.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

import orjson
from livekit import api, rtc

Behaviour = Literal["sink", "echo"]

# The SDK takes twice the memory for a room when it joins eight at a time: one by one it is at its best.
_JOINS_AT_ONCE = 1
_JOIN_SECONDS = 20.0
_LEAVE_SECONDS = 5.0


@dataclass(slots=True)
class Counts:
    """What a bot has seen so far, over all its rooms."""

    received: int = 0  # packets that parse, from a sender the SDK could name
    nameless: int = 0  # packets without a sender: the server's, hidden participants', early ones
    answered: int = 0
    failed: int = 0


class BareBot:
    """One process's bare bot, in as many rooms as it is told to join."""

    def __init__(self, behaviour: Behaviour, identity: str, url: str, key: str, secret: str) -> None:
        self.counts = Counts()
        self._behaviour = behaviour
        self._identity = identity
        self._url, self._key, self._secret = url, key, secret
        self._rooms: dict[str, rtc.Room] = {}
        self._answers: asyncio.Queue[tuple[rtc.Room, bytes, str]] = asyncio.Queue()
        self._worker = asyncio.create_task(self._answer()) if behaviour == "echo" else None

    async def join(self, halls: list[str]) -> int:
        """Join halls, one after the other; returns in how many rooms the bot is now."""
        slots = asyncio.Semaphore(_JOINS_AT_ONCE)

        async def one(hall: str) -> None:
            async with slots:
                await self._join(hall)

        await asyncio.gather(*(one(hall) for hall in halls))
        return len(self._rooms)

    async def _join(self, hall: str) -> None:
        room = rtc.Room()
        if self._behaviour == "echo":

            def on_data(packet: rtc.DataPacket) -> None:
                self._echo(room, packet)
        else:
            on_data = self._sink
        room.on("data_received", on_data)  # pyright: ignore[reportUnknownMemberType] (the SDK's own gap)
        options = rtc.RoomOptions(auto_subscribe=False)
        async with asyncio.timeout(_JOIN_SECONDS):
            await room.connect(self._url, self._token(hall), options)
        self._rooms[hall] = room

    def _token(self, hall: str) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=hall,
            hidden=True,
            agent=True,
            can_publish=False,
            can_subscribe=False,
            can_publish_data=True,
        )
        token = api.AccessToken(self._key, self._secret).with_identity(self._identity)
        return token.with_kind("agent").with_grants(grants).to_jwt()

    def _sink(self, packet: rtc.DataPacket) -> None:
        orjson.loads(packet.data)
        if packet.participant is None:
            self.counts.nameless += 1
        else:
            self.counts.received += 1

    def _echo(self, room: rtc.Room, packet: rtc.DataPacket) -> None:
        if packet.participant is None:
            self.counts.nameless += 1
            return
        self.counts.received += 1
        self._answers.put_nowait((room, packet.data, packet.participant.identity))

    async def _answer(self) -> None:
        while True:
            room, data, identity = await self._answers.get()
            try:
                await room.local_participant.publish_data(data, reliable=True, destination_identities=[identity])
                self.counts.answered += 1
            except rtc.participant.PublishDataError:
                self.counts.failed += 1

    async def leave(self) -> None:
        """Leave every room; one that doesn't let go in time is left to the process's end."""
        if self._worker is not None:
            self._worker.cancel()
        leaving = [asyncio.wait_for(room.disconnect(), _LEAVE_SECONDS) for room in self._rooms.values()]
        await asyncio.gather(*leaving, return_exceptions=True)
        self._rooms.clear()
