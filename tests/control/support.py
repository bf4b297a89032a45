"""The control endpoint for tests: the real server on a free port, a real journal, a hall whose link is the kit's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import CreateRoomRequest

from relay_bot.control.effects_api import EffectsApi
from relay_bot.control.events_api import EventsApi
from relay_bot.control.guard import Guard
from relay_bot.control.hall_api import HallApi
from relay_bot.control.held_api import HeldApi
from relay_bot.control.idempotency import IdempotencyLog
from relay_bot.control.openapi import describe
from relay_bot.control.operation import Operation
from relay_bot.control.privacy_api import PrivacyApi
from relay_bot.control.process_api import ProcessApi, webhook_handler
from relay_bot.control.rooms_api import RoomsApi, RoomService
from relay_bot.control.server import ControlServer
from relay_bot.control.shelf_api import ShelfApi
from relay_bot.control.show_api import ShowApi, ShowService
from relay_bot.hall.admission import Admission
from relay_bot.hall.hall import Hall
from relay_bot.hall.past import Past
from relay_bot.journal.writer import Journal
from relay_bot.livekit.rooms import RoomsError
from relay_bot.livekit.webhooks import Webhooks
from relay_bot.plugin import Refuse, Request, Route
from relay_bot.settings import ControlSettings, LivekitSettings, Settings
from relay_bot.testing import HallKit

TOKEN = "the-control-token-of-the-tests"
LIVEKIT = LivekitSettings("ws://127.0.0.1:7880", "devkey", "a-secret-of-more-than-32-characters")
PLUGINS: dict[str, Any] = {"path": [str(Path(__file__).with_name("plugins"))], "desk": {}}


class Answer(NamedTuple):
    """What the endpoint answered; `body` is parsed where it is JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, type and code of an error in the published form."""
        assert set(self.body) == {"error"}, self.body
        return self.status, self.body["error"]["type"], self.body["error"]["code"]


class KitHalls:
    """The set of halls: the kit's, and the names that were told."""

    def __init__(self, kit: HallKit) -> None:
        self._kit = kit
        self._past = Past()
        self._admission = Admission()
        self.told: list[tuple[str, str]] = []
        self.livekit_answers = True
        self.livekit_hangs = False

    def get(self, name: str) -> Hall | None:
        return self._kit.hall if name == self._kit.hall.name and self._kit.hall.status != "ended" else None

    def all(self) -> list[Hall]:
        hall = self.get(self._kit.hall.name)
        return [] if hall is None else [hall]

    async def ask_past(self, name: str, plugin: str, route: Route, request: Request) -> Any:
        return await self._past.ask(name, plugin, route, request, self._kit._services)

    async def refuses_join(self, name: str, identity: str) -> Refuse | None:
        hall = self.get(name)
        if hall is not None and hall.session is not None:
            return hall.refuses_join(identity)
        return await self._admission.refusal(name, identity, self._kit._services)

    def found(self, name: str, sid: str) -> None:
        self.told.append((name, sid))

    async def hears_livekit(self) -> bool:
        if self.livekit_hangs:
            await asyncio.sleep(30)
        return self.livekit_answers

    async def erase(self, identity: str) -> int:
        session = self._kit.hall.session
        here = await self._kit.hall.erase(identity) or 0
        done = [] if session is None else [session.info.id]
        return here + await self._kit.journal.erase(identity, self._kit._services.rules(), besides=done)


class FakeRooms:
    """LiveKit's rooms in memory; `rooms_contract.py` holds it to the real ones."""

    def __init__(self) -> None:
        self.open: dict[str, Room] = {}
        self.people: dict[str, list[ParticipantInfo]] = {}
        self.failing = False

    def enter(self, room: str, info: ParticipantInfo) -> None:
        """Put someone into a room."""
        self.people.setdefault(room, []).append(info)

    async def rooms(self, names: list[str] | None = None) -> list[Room]:
        self._work()
        return [room for name, room in self.open.items() if not names or name in names]

    async def create(self, request: CreateRoomRequest) -> Room:
        self._work()
        room = self.open.get(request.name)
        if room is None:
            room = self.open[request.name] = Room(
                name=request.name,
                sid=f"RM_{len(self.open)}",
                max_participants=request.max_participants,
                creation_time=int(time.time()),
                metadata=request.metadata,
                empty_timeout=request.empty_timeout,
                departure_timeout=request.departure_timeout,
            )
        return room

    async def delete(self, hall: str) -> None:
        self._work()
        self.open.pop(hall, None)
        self.people.pop(hall, None)

    async def participants(self, hall: str) -> list[ParticipantInfo]:
        self._work()
        return [info for info in self.people.get(hall, []) if not info.permission.hidden]

    async def remove_visible(self, hall: str, identity: str) -> None:
        self._work()
        found = [info for info in await self.participants(hall) if info.identity == identity]
        if not found:
            raise RoomsError("participant does not exist", not_found=True)
        self.people[hall].remove(found[0])

    def _work(self) -> None:
        if self.failing:
            raise RoomsError("LiveKit can't be reached: ClientConnectorError")


class Endpoint:
    """The endpoint with one hall; `call` asks it like a backend that has the token."""

    def __init__(
        self,
        settings: Settings,
        kit: HallKit,
        journal: Journal,
        client: aiohttp.ClientSession,
        rooms: RoomService | None = None,
        *,
        show: ShowService | None = None,
    ) -> None:
        self.settings = settings
        self._show = show
        self.kit = kit
        self.journal = journal
        self.client = client
        self.halls = KitHalls(kit)
        self.rooms = FakeRooms()
        self._service: RoomService = rooms or self.rooms
        self.once = IdempotencyLog(journal, "control")
        self.operations: list[Operation] = []
        self.server: ControlServer | None = None

    @property
    def hall(self) -> str:
        """The path of the hall."""
        return f"/v1/halls/{self.kit.hall.name}"

    @property
    def url(self) -> str:
        """Where the endpoint is."""
        assert self.server is not None
        return self.server.address

    async def start(self) -> None:
        """Open the endpoint, as a process that has just started."""
        await self.once.start()
        plugins = self.kit.loaded
        self.operations = [
            *HallApi(self.settings, self.halls, plugins, self.once).operations(),
            *RoomsApi(self.settings, self._service, self.halls, self.once).operations(),
            *EventsApi(self.halls, self.journal, lambda hall: hall.feed).operations(),
            *EffectsApi(self.halls).operations(),
            *HeldApi(self.halls).operations(),
            *ShelfApi(self.kit.shelf, plugins, self.once).operations(),
            *PrivacyApi(self.halls).operations(),
        ]
        if self._show is not None:
            self.operations += ShowApi(self.settings, self._show, self.halls, plugins, self.once).operations()
        self.operations += ProcessApi(self.halls, self.journal, lambda: describe(self.operations, "0.0.0")).operations()
        webhook = webhook_handler(Webhooks(self.settings.livekit), self.halls)
        guard = Guard(self.settings.control, TOKEN)
        server = ControlServer(self.settings.control, guard, self.operations, webhook)
        await server.start()
        self.server = server

    async def stop(self) -> None:
        """Close the endpoint."""
        if self.server is not None:
            await self.server.stop()
            self.server = None

    async def restart(self) -> None:
        """Kill the hall, and begin the endpoint anew with what the journal kept."""
        await self.stop()
        await self.kit.restart()
        self.once = IdempotencyLog(self.journal, "control")
        await self.start()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> Answer:
        """Send one request: `body` as JSON, or `data` as it is."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        if key is not None:
            sent["Idempotency-Key"] = key
        if body is not None:
            data = msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        async with self.client.request(method, self.url + path, data=data, headers=sent) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return Answer(answer.status, json.loads(text) if is_json and text else text, answer.headers)

    async def interact(self, kind: str, payload: Any, **more: Any) -> Answer:
        """Send an interaction."""
        key = more.pop("key", None)
        return await self.call("POST", f"{self.hall}/interactions", {"type": kind, "payload": payload} | more, key=key)


@asynccontextmanager
async def open_endpoint(
    folder: Path,
    *,
    rooms: RoomService | None = None,
    livekit: LivekitSettings = LIVEKIT,
    plugins: dict[str, Any] = PLUGINS,
    show: Callable[[HallKit], ShowService] | None = None,
    **control: Any,
) -> AsyncGenerator[Endpoint]:
    """Open an endpoint with a live hall; `control` are settings of that section, `rooms` a real LiveKit's.

    With `show`, which makes LiveKit's rooms for it, the Interactive Show is served as well.
    """
    settings = Settings(livekit=livekit, control=msgspec.convert({"port": 0} | control, ControlSettings))
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a test's own folder
    journal = Journal(f"sqlite:///{folder / 'relay.db'}")
    await journal.start()
    try:
        async with (
            HallKit.open(folder, plugins, settings=settings, journal=journal) as kit,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client,
        ):
            endpoint = Endpoint(settings, kit, journal, client, rooms, show=show(kit) if show else None)
            try:
                await endpoint.start()
                yield endpoint
            finally:
                await endpoint.stop()
    finally:
        await journal.stop()
