"""A LiveKit, or a proxy before it, that takes a call and says nothing, or something else than LiveKit would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from livekit.protocol.room import CreateRoomRequest

from relay_bot.livekit import rooms as module
from relay_bot.livekit.rooms import LivekitRooms, RoomsError
from relay_bot.plugin import RemoveParticipant, SetPermissions
from relay_bot.settings import BotSettings, LivekitSettings

CALLS: dict[str, Callable[[LivekitRooms], Awaitable[object]]] = {
    "discovery": lambda rooms: rooms.list_rooms(),
    "rooms": lambda rooms: rooms.rooms(["a"]),
    "exists": lambda rooms: rooms.exists("a"),
    "name": lambda rooms: rooms.name_bot("a"),
    "create": lambda rooms: rooms.create(CreateRoomRequest(name="a")),
    "delete": lambda rooms: rooms.delete("a"),
    "participants": lambda rooms: rooms.participants("a"),
    "presences": lambda rooms: rooms.presences("a"),
    "kick": lambda rooms: rooms.perform("a", RemoveParticipant("ann")),
    "kick by HTTP": lambda rooms: rooms.remove_visible("a", "ann"),
    "mute": lambda rooms: rooms.perform("a", SetPermissions("ann", can_publish_data=False)),
}


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[LivekitRooms]:
    """Open a peer that takes connections and sends this to each request; empty = it says nothing."""
    ends = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        await ends.wait()
        writer.close()

    peer = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = peer.sockets[0].getsockname()[1]
    rooms = LivekitRooms(LivekitSettings(f"ws://127.0.0.1:{port}", "key", "s" * 32), BotSettings())
    try:
        yield rooms
    finally:
        ends.set()
        await rooms.close()
        peer.close()


@pytest.mark.parametrize("name", CALLS)
async def test_each_call_has_a_time_limit_of_our_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.2)
    async with answering(b"") as rooms, asyncio.timeout(10):
        with pytest.raises(RoomsError, match="did not answer within"):
            await CALLS[name](rooms)


async def test_a_wrong_key_or_secret_is_said_as_such() -> None:
    said = b'{"code":"unauthenticated","msg":"invalid token"}'
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(said)
    async with answering(head + said) as rooms:
        with pytest.raises(RoomsError, match="refuses the key or the secret"):
            await rooms.list_rooms()


@pytest.mark.parametrize("answer", [b"\xff\xff\xff", b"<html>hello"])
async def test_an_answer_that_is_not_livekits(answer: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(answer)
    async with answering(head + answer) as rooms:
        with pytest.raises(RoomsError, match="is not LiveKit"):
            await rooms.list_rooms()
