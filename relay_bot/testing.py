"""A hall without LiveKit, for the tests of plugins: everything is real but the link and the server API.

    async with HallKit.open(tmp_path, {"polls": {}}) as hall:
        alice = await hall.join("alice", role="host")
        await alice.ask("poll", {"question": "Tea?", "options": ["yes", "no"]})
        assert alice.last("poll")["options"] == ["yes", "no"]

Messages go through the gate, the journal (SQLite in `folder`) and the outbox as ever. `restart` ends the hall
as `kill -9` would and opens it again from its journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from relay_bot.hall.hall import Hall
from relay_bot.hall.message import Asked, BackendMessage, CommandCall, FutureWaiter, RouteCall
from relay_bot.hall.plugins import load_plugins
from relay_bot.hall.services import EffectFailed, Services
from relay_bot.hall.session import Loaded, Session
from relay_bot.hall.shelf import Shelf
from relay_bot.hall.watchdog import Watchdog
from relay_bot.journal.writer import Journal
from relay_bot.link import Arrival, Changed, Frame, Joined, Left, Link, LinkError, Lost, Presence, Reason, Seat, Sink
from relay_bot.link.packets import check_packet
from relay_bot.plugin import Effect, Refuse, RemoveParticipant, SetPermissions, Track
from relay_bot.settings import Settings

_names = itertools.count(1)


class Refused(Exception):
    """A message was refused; `payload` is that of the `error` envelope."""

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__(f"{payload.get('code')}: {payload.get('message')}")
        self.payload = payload
        self.code: str = payload.get("code", "")


class _Room:
    """What stands for LiveKit: who is in the room, and what was done to them."""

    def __init__(self) -> None:
        self.presences: dict[str, Presence] = {}
        self.guests: dict[str, Guest] = {}
        self.effects: list[Effect] = []
        self.failing = False
        """The server API answers with errors while this is set."""
        self.sinks: list[Sink] = []

    def tell(self, *arrivals: Arrival) -> None:
        for sink in self.sinks:
            sink.arrive(arrivals)


class _Seat:
    sid = "RM_kit"

    def __init__(self, room: _Room, sink: Sink) -> None:
        self._room = room
        self._sink = sink
        self._left = False

    async def publish(self, data: bytes, *, to: Sequence[str], topic: str, reliable: bool = True) -> None:
        if self._left:
            raise LinkError("the seat is gone")
        check_packet(len(data), to, topic)
        packet = msgspec.json.decode(data)
        for identity in dict.fromkeys(to or self._room.guests):
            guest = self._room.guests.get(identity)
            if guest is not None:
                guest.hear(packet)

    async def leave(self) -> None:
        self._left = True
        with contextlib.suppress(ValueError):
            self._room.sinks.remove(self._sink)


class _Link:
    name = "kit"

    def __init__(self, room: _Room) -> None:
        self._room = room

    async def join(self, url: str, token: str, sink: Sink) -> Seat:
        sink.arrive([Joined(presence, time.monotonic() - 60) for presence in self._room.presences.values()])
        self._room.sinks.append(sink)
        return _Seat(self._room, sink)

    async def close(self) -> None:
        pass


class _Rooms:
    def __init__(self, room: _Room) -> None:
        self._room = room

    def bot_token(self, hall: str) -> str:
        return "token"

    async def list_rooms(self) -> list[tuple[str, str]]:
        return []

    async def exists(self, hall: str) -> bool:
        return True

    async def name_bot(self, hall: str) -> None:
        pass

    async def presences(self, hall: str) -> list[Presence]:
        return list(self._room.presences.values())

    async def perform(self, hall: str, effect: Effect) -> str | None:
        if self._room.failing:
            raise EffectFailed("the kit was told to fail")
        self._room.effects.append(effect)
        if isinstance(effect, SetPermissions | RemoveParticipant):
            presence = self._room.presences.get(effect.identity)
            if presence is None:
                return "not_found"
            if isinstance(effect, SetPermissions):
                changes = {
                    name: value
                    for name in ("can_publish", "can_publish_data", "can_subscribe")
                    if (value := getattr(effect, name)) is not None
                }
                self._room.presences[effect.identity] = msgspec.structs.replace(presence, **changes)
                self._room.tell(Changed(self._room.presences[effect.identity]))
            elif effect.sid in ("", presence.sid):
                self._room.guests[effect.identity].leave()
        return None


class Guest:
    """A participant of the kit's hall; `received` holds every envelope that the bot sent them."""

    def __init__(self, kit: HallKit, room: _Room, identity: str) -> None:
        self._kit = kit
        self._room = room
        self.identity = identity
        self.received: list[dict[str, Any]] = []
        self._heard = asyncio.Event()

    def hear(self, packet: dict[str, Any]) -> None:
        """Take what the bot sent (called by the kit)."""
        self.received.append(packet)
        self._heard.set()

    def all(self, kind: str) -> list[dict[str, Any]]:
        """List the payloads of one type's envelopes, oldest first; a dialect's packets have none."""
        return [packet["payload"] for packet in self.received if packet.get("type") == kind and "payload" in packet]

    def last(self, kind: str) -> dict[str, Any]:
        """Give the newest payload of a type; raises `LookupError` where there is none."""
        payloads = self.all(kind)
        if not payloads:
            raise LookupError(f"{self.identity} has received no {kind}")
        return payloads[-1]

    async def wait(
        self, kind: str, matches: Callable[[dict[str, Any]], bool] = lambda payload: True, seconds: float = 5.0
    ) -> dict[str, Any]:
        """Wait for a payload of a type that matches, one received before included."""
        async with asyncio.timeout(seconds):
            while True:
                found = next((payload for payload in self.all(kind) if matches(payload)), None)
                if found is not None:
                    return found
                self._heard.clear()
                await self._heard.wait()

    def send(
        self,
        kind: str,
        payload: dict[str, Any],
        message_id: str | None = None,
        *,
        certain: bool = True,
        claims: str | None = None,
    ) -> None:
        """Send a data packet; not `certain`: without the SFU's stamp, as in the first seconds after a join.

        `claims`: another identity in the envelope's `sender_id`.
        """
        envelope: dict[str, Any] = {
            "relay_version": "1",
            "type": kind,
            "sender_id": claims or self.identity,
            "timestamp": "2026-01-31T10:00:00.000Z",
            "payload": payload,
        }
        if message_id is not None:
            envelope["id"] = message_id
        data = msgspec.json.encode(envelope)
        self._room.tell(Frame(data, self.identity if certain else "", time.monotonic()))

    async def ask(
        self, kind: str, payload: dict[str, Any], message_id: str | None = None, *, claims: str | None = None
    ) -> Any:
        """Send a message by RPC and wait for its answer: the result. Raises `Refused`."""
        reply = _Answer()
        envelope = {
            "relay_version": "1",
            "type": kind,
            "sender_id": claims or self.identity,
            "timestamp": "2026-01-31T10:00:00.000Z",
            "payload": payload,
            "id": message_id or str(uuid.uuid4()),
        }
        frame = Frame(msgspec.json.encode(envelope), self.identity, time.monotonic(), "rpc", reply=reply)
        self._room.tell(frame)
        async with asyncio.timeout(5.0):
            result = await reply.future
        await self._kit.settle()
        return result

    async def until_taken(self, kind: str, payload: dict[str, Any], seconds: float = 20.0) -> Any:
        """Send a message as a client does: with one id, again while it is answered `busy`; gives the result."""
        message_id = str(uuid.uuid4())
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await self.ask(kind, payload, message_id)
                except Refused as refusal:
                    if refusal.code != "busy":
                        raise
                    await asyncio.sleep(0.05)

    async def say(self, text: str) -> Any:
        """Send a chat message (or a command) by RPC; gives the result. Raises `Refused`."""
        return await self.ask("chat", {"text": text})

    def speak(self, *, muted: bool = False) -> None:
        """Publish a microphone track, or mute it."""
        self._change(tracks=(Track("TR_mic", "audio", "microphone", muted),))

    def _change(self, **changes: Any) -> None:
        presence = msgspec.structs.replace(self._room.presences[self.identity], **changes)
        self._room.presences[self.identity] = presence
        self._room.tell(Changed(presence))

    @property
    def presence(self) -> Presence:
        """How the SFU describes them now."""
        return self._room.presences[self.identity]

    def leave(self) -> None:
        """Leave the hall."""
        self._room.guests.pop(self.identity, None)
        if self._room.presences.pop(self.identity, None) is not None:
            self._room.tell(Left(self.identity))


class _Answer:
    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def ok(self, payload: bytes) -> None:
        if not self.future.done():
            self.future.set_result(msgspec.json.decode(payload).get("result"))

    def fail(self, message: str, payload: bytes) -> None:
        if not self.future.done():
            self.future.set_exception(Refused(msgspec.json.decode(payload)))


class HallKit:
    """One hall with its journal; make it with `open`."""

    def __init__(self, journal: Journal, loaded: dict[str, Loaded], settings: Settings, shelf: Shelf) -> None:
        self.room = _Room()
        link: Link = _Link(self.room)
        self.shelf = shelf
        self._services = Services(settings, journal, link, _Rooms(self.room), loaded, Watchdog(), self.shelf)
        self._name = f"kit-{next(_names)}"
        self.loaded = loaded
        self.settings = settings
        self._task: asyncio.Task[Any] | None = None
        self.journal = journal
        self.hall = Hall(self._name, "RM_kit", self._services)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        plugins: dict[str, Any],
        *,
        settings: Settings | None = None,
        journal: Journal | None = None,
        shelf: Shelf | None = None,
    ) -> AsyncGenerator[HallKit]:
        """Open a hall with these plugins (the `plugins` section; the others are off).

        `journal`: one that runs already, shared by several kits; without it, one in `folder`. `shelf`: the same.
        """
        settings = settings or Settings()
        from relay_bot.hall.plugins import builtin_folder

        section = {name.stem: {"enabled": False} for name in builtin_folder().iterdir() if _is_plugin(name)}
        loaded = load_plugins(section | plugins, folder)
        own = journal is None
        journal = journal or Journal(f"sqlite:///{folder / 'relay.db'}")
        if own:
            await journal.start()
        kit = cls(journal, loaded, settings, shelf or Shelf(journal, settings.storage.max_shelved))
        await kit.start()
        try:
            yield kit
        finally:
            await kit.stop()
            if own:
                await journal.stop()

    async def start(self) -> None:
        """Open the hall and wait until it is live."""
        self.hall = Hall(self._name, "RM_kit", self._services)
        self._task = asyncio.create_task(self.hall.run(), name=f"hall {self._name}")
        await self.until(lambda: self.hall.status == "live")

    async def stop(self) -> None:
        """Stop the hall in order."""
        if self._task is not None:
            self.hall.stop()
            await self._task
            self._task = None

    def take_over(self, other: HallKit) -> None:
        """Serve the same hall as another kit from `start` on: a second bot with the same journal."""
        self._name = other._name

    async def restart(self) -> None:
        """Kill the hall where it stands, and open it again from its journal."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.room.sinks.clear()
        await self.start()

    def close_room(self) -> None:
        """End the room, as when the last human has left."""
        self.room.tell(Lost(Reason.ROOM_ENDED, "ROOM_CLOSED"))

    async def join(
        self,
        identity: str,
        *,
        role: str = "",
        name: str = "",
        known: bool = True,
        **presence: Any,
    ) -> Guest:
        """Have someone join; not `known`: the link has not heard of them yet (see `Guest.send`)."""
        guest = Guest(self, self.room, identity)
        fields: dict[str, Any] = {
            "metadata": "",
            "attributes": {"relay.role": role} if role else {},
            "active": True,
            "hidden": False,
            "can_publish": False,
            "can_publish_data": True,
            "can_subscribe": True,
            "can_update_metadata": False,
            "sid": f"PA_{next(_names)}",
        }
        self.room.presences[identity] = Presence(identity, name, **(fields | presence))
        self.room.guests[identity] = guest
        if known:
            self.announce(identity)
            await self.settle()
        return guest

    def announce(self, identity: str) -> None:
        """Let the link hear of someone who joined."""
        self.room.tell(Joined(self.room.presences[identity], time.monotonic()))

    async def backend(
        self,
        kind: str,
        payload: dict[str, Any],
        *,
        sender_id: str | None = None,
        to: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Send an interaction from a backend; gives its answer. Raises `Refused`."""
        audience = None if to is None else tuple(to)
        item = BackendMessage(
            kind,
            msgspec.Raw(msgspec.json.encode(payload)),
            sender_id,
            audience,
            FutureWaiter(),
            None,
            "",
            time.monotonic(),
        )
        return await self._request(item)

    async def command(self, text: str) -> str:
        """Run a command as a backend; gives the notice. Raises `Refused`."""
        item = CommandCall(text, FutureWaiter(), None, "", time.monotonic())
        return (await self._request(item))["notice"]

    async def call(self, plugin: str, method: str, **parameters: Any) -> Any:
        """Call a plugin's route by the name of its method; gives its answer as JSON would. Raises `Refused`."""
        route = next(r for r in self._services.plugins[plugin].spec.routes if r.method == method)
        request = msgspec.convert(parameters, route.request_type)
        item = RouteCall(plugin, route, request, FutureWaiter(), None, "", time.monotonic())
        result = await self._request(item)
        return msgspec.to_builtins(result)

    async def _request(self, item: Asked) -> Any:
        try:
            async with asyncio.timeout(5.0):
                answer = await self.hall.request(item)
        except Refuse as refusal:
            raise Refused(refusal.payload(None)) from None
        if answer.error is not None:
            raise Refused(answer.error)
        return answer.result

    async def settle(self) -> None:
        """Wait until what was sent is decided, durable and said (throttled snapshots may still wait)."""
        await self.until(self.hall.is_settled)

    async def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  (what is waited for has no event of its own)
                await asyncio.sleep(0.001)

    def fingerprints(self) -> dict[str, bytes]:
        """Encode the live state of every plugin."""
        session = self.hall.session
        assert session is not None
        return session.fingerprints()

    async def live_and_replayed(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Give `fingerprints` and `replayed` of the same moment, though effects and timers go on meanwhile."""
        async with asyncio.timeout(10.0):
            while True:
                await self.settle()
                seq, live = self.hall.seq, self.fingerprints()
                replayed = await self.replayed()
                if seq == self.hall.seq and self.hall.is_settled():
                    return live, replayed

    async def replayed(self) -> dict[str, bytes]:
        """Encode the states that the journal alone gives."""
        live = self.hall.session
        assert live is not None
        session = Session(live.info, self._services.plugins, self.hall)
        await session.replay(self.journal)
        return session.fingerprints()


def _is_plugin(path: Path) -> bool:
    return path.is_dir() and (path / "__init__.py").is_file()
