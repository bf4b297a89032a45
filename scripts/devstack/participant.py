"""A participant who speaks the Relay envelope, written against the protocol and not on the bot's code.

The crowd of the dev stack and the tests use it, so what the bot says is read by a second hand.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self, cast

from livekit import rtc
from livekit.api import AccessToken, VideoGrants

BOT = "relay-bot"
CHAT_TOPIC = "lk.chat"
RPC_METHOD = "relay"
RESEND_SECONDS = 2.0  # a client without an answer after about this time sends again


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a LiveKit server and make tokens for it."""

    url: str
    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """One packet that arrived, parsed as far as it could be."""

    type: str
    """The envelope's type; empty if the packet is no JSON object with one."""
    payload: dict[str, Any]
    sender_id: str | None
    envelope: dict[str, Any]
    """All of it, as it came: for the other dialects, which have no `payload`."""
    data: bytes = field(repr=False)
    topic: str
    sfu_identity: str | None
    """Who sent it according to the SFU; `None` for the hidden bot and for SendData."""
    at: float
    """When it arrived, on the monotonic clock."""


class RefusedError(Exception):
    """The bot's error answer to a request, by whichever door it came."""

    def __init__(self, data: dict[str, Any], rpc_code: int | None = None) -> None:
        super().__init__(f"{data.get('code', 'error')}: {data.get('message', '')}")
        self.data = data
        self.code = str(data.get("code", ""))
        self.rpc_code = rpc_code


def new_id() -> str:
    """A message id that nobody else uses."""
    return uuid.uuid4().hex


def envelope(
    kind: str, payload: Mapping[str, object], *, sender_id: str | None, message_id: str | None = None
) -> dict[str, object]:
    """A Relay v1 envelope, stamped now."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    made: dict[str, object] = {
        "relay_version": "1",
        "type": kind,
        "sender_id": sender_id,
        "timestamp": stamp,
        "payload": dict(payload),
    }
    return made if message_id is None else made | {"id": message_id}


def join_token(
    access: Access,
    hall: str,
    identity: str,
    *,
    name: str | None = None,
    role: str | None = None,
    role_in: Literal["attribute", "metadata"] = "attribute",
    metadata: str | None = None,
    attributes: Mapping[str, str] | None = None,
    grants: Mapping[str, object] | None = None,
) -> str:
    """A token to join a hall.

    Args:
        access: The server and its keys.
        hall: The room's name.
        identity: Who joins.
        name: The name that others see.
        role: `host`, `moderator`, `speaker` or `viewer`; none if left out.
        role_in: Where the role stands: attribute `relay.role`, or metadata `{"role": …}`.
        metadata: The participant's metadata as it is (not together with `role_in="metadata"`).
        attributes: More attributes.
        grants: More of `VideoGrants`, e.g. `{"can_publish_data": False}`.
    """
    given: dict[str, Any] = {"room_join": True, "room": hall} | dict(grants or {})
    token = AccessToken(access.key, access.secret).with_identity(identity).with_grants(VideoGrants(**given))
    carried = dict(attributes or {})
    if role is not None and role_in == "attribute":
        carried["relay.role"] = role
    elif role is not None:
        metadata = json.dumps({"role": role})
    if name is not None:
        token = token.with_name(name)
    if metadata is not None:
        token = token.with_metadata(metadata)
    return (token.with_attributes(carried) if carried else token).to_jwt()


class Participant:
    """One participant in one hall. Use `Participant.join`, and `leave` when done."""

    def __init__(self, hall: str, identity: str, *, bot: str = BOT) -> None:
        self.hall = hall
        self.identity = identity
        self.bot = bot
        self.room = rtc.Room()
        self.received: list[Received] = []
        """Every data packet, in the order of arrival."""
        self.streams: list[tuple[str, str]] = []
        """Every chat text stream: who sent it according to the SFU, and its text."""
        self.answers: list[str] = []
        """Every answer to an RPC as it came, those of errors too."""
        self.disconnects: list[int] = []
        """The reason of each disconnect (`rtc.DisconnectReason`)."""
        self._arrived = asyncio.Event()
        self._readers: set[asyncio.Task[None]] = set()
        self._listen()

    @classmethod
    async def join(
        cls,
        access: Access,
        hall: str,
        identity: str,
        *,
        bot: str = BOT,
        limit: float = 10.0,
        **token: Any,
    ) -> Self:
        """Join a hall. Further keywords are those of `join_token`."""
        person = cls(hall, identity, bot=bot)
        await person.connect(access.url, join_token(access, hall, identity, **token), limit)
        return person

    async def connect(self, url: str, token: str, limit: float = 10.0) -> None:
        """Connect with a token from elsewhere. Raises `rtc.ConnectError` or `TimeoutError`."""
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=limit)
        await asyncio.wait_for(self.room.connect(url, token, options), limit)

    async def leave(self, limit: float = 5.0) -> None:
        """Leave the hall. Can be called again."""
        for reader in list(self._readers):
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await asyncio.wait_for(self.room.disconnect(), limit)

    @property
    def connected(self) -> bool:
        return self.room.isconnected()

    # What others say

    async def sees(self, *identities: str, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        """Wait until the SDK knows these participants.

        Until then (up to 3 s after they joined) their packets come without a sender.
        """
        end = time.monotonic() + timeout
        while missing := set(identities) - set(self.room.remote_participants):
            try:
                await asyncio.wait_for(self._arrived.wait(), end - time.monotonic())
            except TimeoutError:
                text = f"{self.identity} saw nothing of {sorted(missing)} in {timeout:g} s"
                raise TimeoutError(text) from None

    def mark(self) -> int:
        """A point in `received`: pass it as `since` to look only at what comes after it."""
        return len(self.received)

    def all_of(self, kind: str, *, since: int = 0) -> list[Received]:
        """What has arrived of one type so far."""
        return [item for item in self.received[since:] if item.type == kind]

    async def wait_for(
        self,
        kind: str,
        predicate: Callable[[Received], bool] | None = None,
        timeout: float = 5.0,  # noqa: ASYNC109 - the caller's test reads better with it
        *,
        since: int = 0,
    ) -> Received:
        """The first packet of this type that fits, whether it arrived already or is to come.

        Raises:
            TimeoutError: None came in time; the text tells what came instead.
        """
        end = time.monotonic() + timeout
        while True:
            arrived = self._arrived
            for item in self.all_of(kind, since=since):
                if predicate is None or predicate(item):
                    return item
            try:
                await asyncio.wait_for(arrived.wait(), end - time.monotonic())
            except TimeoutError:
                seen = [item.type or "?" for item in self.received[since:]][-20:]
                text = f"{self.identity} waited {timeout:g} s for {kind!r}; what came last: {seen}"
                raise TimeoutError(text) from None

    async def expect_none(self, kind: str, seconds: float, *, since: int | None = None) -> None:
        """Fail with `AssertionError` if a packet of this type arrives in this time."""
        start = self.mark() if since is None else since
        with suppress(TimeoutError):
            unwanted = await self.wait_for(kind, timeout=seconds, since=start)
            raise AssertionError(f"{self.identity} got an unwanted {unwanted.type!r}: {unwanted.payload}")

    # What it says itself

    async def send(
        self,
        kind: str,
        payload: Mapping[str, object],
        id: str | None = None,
        *,
        to_bot: bool = True,
        to: Sequence[str] | None = None,
        sender_id: str | None = "",
        topic: str = "",
        reliable: bool = True,
    ) -> None:
        """Send an envelope as a data packet.

        Args:
            kind: The envelope's type.
            payload: Its payload.
            id: Asks for an answer, see `answer_to`.
            to_bot: To the bot alone, or to everybody.
            to: To these identities instead.
            sender_id: Whom the envelope claims as its sender; oneself if left out.
            topic: The packet's topic.
            reliable: Reliable or lossy.
        """
        claimed = self.identity if sender_id == "" else sender_id
        data = json.dumps(envelope(kind, payload, sender_id=claimed, message_id=id)).encode()
        everybody_or_bot = [self.bot] if to_bot else []
        await self.send_raw(data, everybody_or_bot if to is None else to, topic=topic, reliable=reliable)

    async def send_raw(self, data: bytes, to: Sequence[str] = (), *, topic: str = "", reliable: bool = True) -> None:
        """Send any bytes as a data packet, to everybody if `to` is empty."""
        local = self.room.local_participant
        await local.publish_data(data, reliable=reliable, destination_identities=list(to), topic=topic)

    async def answer_to(self, message_id: str, timeout: float = 5.0, *, since: int = 0) -> dict[str, Any]:  # noqa: ASYNC109
        """The ack's payload for a message sent with this id.

        Raises:
            RefusedError: The answer was an error.
            TimeoutError: There was none.
        """
        end = time.monotonic() + timeout
        while True:
            arrived = self._arrived
            for item in self.received[since:]:
                if item.type == "ack" and message_id in item.payload.get("ids", []):
                    return item.payload
                if item.type == "error" and item.payload.get("id") == message_id:
                    raise RefusedError(item.payload)
            try:
                await asyncio.wait_for(arrived.wait(), end - time.monotonic())
            except TimeoutError:
                text = f"{self.identity} had no answer to {message_id!r} in {timeout:g} s"
                raise TimeoutError(text) from None

    async def request(
        self,
        kind: str,
        payload: Mapping[str, object],
        id: str | None = None,
        *,
        tries: int = 4,
        to_bot: bool = True,
    ) -> dict[str, Any]:
        """Send as a data packet, again while there is no answer, and return the ack's payload.

        Raises:
            RefusedError: The answer was an error.
            TimeoutError: There was none to any try.
        """
        message_id = id or new_id()
        start = self.mark()
        for tries_left in reversed(range(tries)):
            await self.send(kind, payload, message_id, to_bot=to_bot)
            try:
                return await self.answer_to(message_id, RESEND_SECONDS, since=start)
            except TimeoutError:
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def rpc(
        self,
        kind: str,
        payload: Mapping[str, object],
        id: str | None = None,
        *,
        sender_id: str | None = "",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> dict[str, Any]:
        """Send as an RPC to the bot and return the ack's payload. The id is random if left out.

        Raises:
            RefusedError: The bot's error answer (its `data` parsed).
            rtc.RpcError: LiveKit's own errors, a bot that isn't there among them.
        """
        claimed = self.identity if sender_id == "" else sender_id
        sent = envelope(kind, payload, sender_id=claimed, message_id=id or new_id())
        return await self.rpc_raw(json.dumps(sent), timeout=timeout)

    async def rpc_raw(self, payload: str, *, timeout: float = 10.0) -> dict[str, Any]:  # noqa: ASYNC109
        """Like `rpc`, with any text as the request."""
        try:
            answer = await self.room.local_participant.perform_rpc(
                destination_identity=self.bot, method=RPC_METHOD, payload=payload, response_timeout=timeout
            )
        except rtc.RpcError as error:
            self.answers.append(error.data or "")
            if data := _object(error.data or ""):
                raise RefusedError(data, error.code) from error
            raise
        self.answers.append(answer)
        return _object(answer)

    async def chat_stream(self, text: str, to: Sequence[str] = ()) -> None:
        """Send as LiveKit's own clients chat: a text stream on `lk.chat`."""
        await self.room.local_participant.send_text(text, topic=CHAT_TOPIC, destination_identities=list(to))

    # Inside

    def _listen(self) -> None:
        # The SDK refuses coroutines here: these run in the loop, note what came, and return.
        on = cast("Callable[[str, Callable[..., None]], object]", self.room.on)  # pyright: ignore[reportUnknownMemberType] - untyped
        on("data_received", self._on_data)
        on("disconnected", self._on_disconnected)
        on("participant_connected", self._wake)
        self.room.register_text_stream_handler(CHAT_TOPIC, self._on_stream)

    def _on_data(self, packet: rtc.DataPacket) -> None:
        body = _object(packet.data)
        payload = body.get("payload")
        self.received.append(
            Received(
                type=str(body.get("type", "")),
                payload=cast("dict[str, Any]", payload) if isinstance(payload, dict) else {},
                sender_id=body.get("sender_id"),
                envelope=body,
                data=packet.data,
                topic=packet.topic or "",
                sfu_identity=packet.participant.identity if packet.participant else None,
                at=time.monotonic(),
            )
        )
        self._wake()

    def _on_disconnected(self, reason: int) -> None:
        self.disconnects.append(reason)
        self._wake()

    def _on_stream(self, reader: rtc.TextStreamReader, sender: str) -> None:
        self._keep(self._read_stream(reader, sender))

    async def _read_stream(self, reader: rtc.TextStreamReader, sender: str) -> None:
        text = await reader.read_all()
        self.streams.append((sender, text))
        self._wake()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    def _wake(self) -> None:
        # A condition would need a lock, which a synchronous callback can't wait for.
        self._arrived.set()
        self._arrived = asyncio.Event()


def _object(data: bytes | str) -> dict[str, Any]:
    """The JSON object in `data`, or an empty one."""
    try:
        parsed: object = json.loads(data)
    except ValueError:
        return {}
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
