"""What the link's tests play with: rooms, a bot's sink that remembers, and guests on the bare SDK."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from livekit import rtc
from livekit.api import AccessToken, LiveKitAPI, VideoGrants
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    RoomParticipantIdentity,
    UpdateParticipantRequest,
)

from relay_bot.link import Arrival, Changed, Frame, Joined, Link, Presence, TextSeat
from relay_bot.observe import metrics

BOT = "relay-bot"
T = TypeVar("T", bound=Arrival)


class Server(Protocol):
    """What these tests need to know of a livekit-server."""

    @property
    def url(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def secret(self) -> str: ...


class Recorder:
    """A sink that keeps what arrives."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.batches: list[int] = []
        """How many arrivals came with each call."""
        self._arrived = asyncio.Event()

    def arrive(self, arrivals: Sequence[Arrival]) -> None:
        self.arrivals += arrivals
        self.batches.append(len(arrivals))
        self._arrived.set()
        self._arrived = asyncio.Event()

    def all_of(self, kind: type[T]) -> list[T]:
        return [arrival for arrival in self.arrivals if isinstance(arrival, kind)]

    @property
    def frames(self) -> list[Frame]:
        return self.all_of(Frame)

    async def until(self, condition: Callable[[], bool], limit: float = 30.0) -> None:
        """Wait until something that arrives makes the condition true."""
        end = time.monotonic() + limit
        while not condition():
            arrived = self._arrived
            try:
                await asyncio.wait_for(arrived.wait(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                kinds = [type(arrival).__name__ for arrival in self.arrivals[-30:]]
                raise TimeoutError(f"not within {limit:g} s; the last arrivals: {kinds}") from None

    async def first(self, kind: type[T], fits: Callable[[T], bool] = lambda arrival: True, limit: float = 30.0) -> T:
        """Give the first arrival of this kind that fits, whether it is here or is to come."""

        def found() -> list[T]:
            return [arrival for arrival in self.all_of(kind) if fits(arrival)]

        await self.until(lambda: bool(found()), limit)
        return found()[0]


class Guest:
    """A participant on LiveKit's own Python SDK."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.room = rtc.Room()
        self.packets: list[rtc.DataPacket] = []
        self.tasks: set[asyncio.Task[None]] = set()
        """What the guest is reading."""
        self.room.on("data_received", self.packets.append)  # pyright: ignore[reportUnknownMemberType] - untyped

    async def connect(self, url: str, token: str, *, encrypted: bool = False) -> None:
        options = rtc.RoomOptions(auto_subscribe=False)
        if encrypted:
            options.encryption = rtc.E2EEOptions(rtc.KeyProviderOptions(shared_key=b"a key that the bot has not"))
        await asyncio.wait_for(self.room.connect(url, token, options), 10)

    async def send(self, data: bytes, *, to: Sequence[str] = (BOT,), topic: str = "", reliable: bool = True) -> None:
        await self.room.local_participant.publish_data(
            data, reliable=reliable, destination_identities=list(to), topic=topic
        )

    async def call(self, payload: str, method: str = "relay") -> str:
        return await self.room.local_participant.perform_rpc(
            destination_identity=BOT, method=method, payload=payload, response_timeout=8.0
        )

    async def publish_audio(self) -> rtc.LocalTrackPublication:
        track = rtc.LocalAudioTrack.create_audio_track("voice", rtc.AudioSource(48000, 1))
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        return await self.room.local_participant.publish_track(track, options)

    async def received(self, count: int, limit: float = 30.0) -> list[bytes]:
        """Wait until so many packets have come; gives their data."""
        await eventually(lambda: len(self.packets) >= count, limit)
        return [packet.data for packet in self.packets]

    async def leave(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.room.disconnect(), 5)


@dataclass
class Hall:
    """A room that a test has for itself."""

    name: str
    server: Server
    api: LiveKitAPI
    link: Link
    guests: list[Guest]
    seats: list[TextSeat]

    def bot_token(self, identity: str = BOT) -> str:
        """The grants that a bot joins with: hidden, an agent, data only."""
        grants = VideoGrants(
            room_join=True,
            room=self.name,
            hidden=True,
            agent=True,
            can_publish=False,
            can_subscribe=False,
            can_publish_data=True,
        )
        return self._token(identity, grants).with_kind("agent").to_jwt()

    def _token(self, identity: str, grants: VideoGrants) -> AccessToken:
        return AccessToken(self.server.key, self.server.secret).with_identity(identity).with_grants(grants)

    async def bot(self, *, link: Link | None = None, url: str | None = None) -> tuple[TextSeat, Recorder]:
        """Take the bot's seat."""
        sink = Recorder()
        seat = cast("TextSeat", await (link or self.link).join(url or self.server.url, self.bot_token(), sink))
        self.seats.append(seat)
        return seat, sink

    async def guest(
        self,
        identity: str,
        *,
        name: str = "",
        metadata: str = "",
        attributes: dict[str, str] | None = None,
        announce: bool = True,
        encrypted: bool = False,
    ) -> Guest:
        """Let someone join who may do everything.

        The SFU tells of those who join every three seconds, but at once of those whom its API changes: with
        `announce` that is done to them.
        """
        token = self._token(identity, VideoGrants(room_join=True, room=self.name))
        token = token.with_name("" if announce else name).with_metadata(metadata).with_attributes(attributes or {})
        guest = Guest(identity)
        self.guests.append(guest)
        await guest.connect(self.server.url, token.to_jwt(), encrypted=encrypted)
        if announce:
            await self.update(identity, name=name or identity.title())
        return guest

    async def update(self, identity: str, **changes: Any) -> None:
        await self.api.room.update_participant(UpdateParticipantRequest(room=self.name, identity=identity, **changes))

    async def remove(self, identity: str) -> None:
        await self.api.room.remove_participant(RoomParticipantIdentity(room=self.name, identity=identity))

    async def identities(self) -> set[str]:
        """Who is in the room, as the server sees it."""
        found = await self.api.room.list_participants(ListParticipantsRequest(room=self.name))
        return {participant.identity for participant in found.participants}

    async def until_present(self, *identities: str, limit: float = 30.0) -> None:
        """Wait until just these are in the room, as the server sees it."""
        end = time.monotonic() + limit
        while (present := await self.identities()) != set(identities):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {limit:g} s; present are {present}")
            await asyncio.sleep(0.05)

    async def create(self, **options: Any) -> None:
        await self.api.room.create_room(CreateRoomRequest(name=self.name, **options))

    async def delete(self) -> None:
        await self.api.room.delete_room(DeleteRoomRequest(room=self.name))


@asynccontextmanager
async def hall_on(server: Server, name: str, link: Link) -> AsyncGenerator[Hall]:
    """A room, whose bot and guests leave at the end."""
    client = LiveKitAPI(server.url, server.key, server.secret)
    hall = Hall(name, server, client, link, [], [])
    try:
        yield hall
    finally:
        await asyncio.gather(*(seat.leave() for seat in hall.seats), *(guest.leave() for guest in hall.guests))
        await client.aclose()  # pyright: ignore[reportUnknownMemberType] - untyped in livekit-api


def counted(name: str, **labels: str) -> float:
    """What a metric of this process shows. The native link counts in its own process, and tells now and then."""
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


async def eventually(condition: Callable[[], bool], limit: float = 30.0) -> None:
    """Wait until something becomes true that nobody tells us of."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {limit:g} s")
        await asyncio.sleep(0.01)


def presence_of(sink: Recorder, identity: str) -> Presence:
    """What was last told of a participant."""
    told = [arrival.presence for arrival in sink.arrivals if isinstance(arrival, Joined | Changed)]
    return next(presence for presence in reversed(told) if presence.identity == identity)
