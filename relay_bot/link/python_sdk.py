"""The link on LiveKit's Python SDK: the only module that imports `livekit.rtc`.

The SDK hands every native event to every `Room` of the process and to every call that waits for one,
so 100 halls make a packet four times as dear. This module therefore speaks the SDK's own request and event
protocol, which its `Room` is made of, and routes each event once: by its room handle, by its RPC's
participant handle, by its stream's reader handle, or by the id that we chose for a request. What
belongs to nobody here goes on to the SDK as ever. It leans on `livekit` 1.2.0, which is pinned.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from livekit.rtc._ffi_client import FfiClient, FfiHandle, FfiQueue
from livekit.rtc._proto import data_stream_pb2, e2ee_pb2, ffi_pb2, participant_pb2, room_pb2, rpc_pb2, track_pb2

from relay_bot.link import (
    CHAT_TOPIC,
    MAX_STREAM_BYTES,
    RPC_METHOD,
    Arrival,
    Changed,
    Encrypted,
    Frame,
    Interrupted,
    Joined,
    Left,
    LinkError,
    Lost,
    Presence,
    Reason,
    Resumed,
    Sink,
)
from relay_bot.link.packets import check_packet
from relay_bot.observe import metrics
from relay_bot.plugin import Track

CONNECT_SECONDS: Final = 15.0
DISCONNECT_SECONDS: Final = 5.0
PUBLISH_SECONDS: Final = 10.0
_TURN_SECONDS: Final = 2.0
MAX_INBOX: Final = 20_000
"""Events of one room that may wait for a busy loop; above it packets, requests and parts of texts are dropped."""
_UNHEARD: Final = frozenset(
    (
        "stream_header_received",
        "stream_chunk_received",
        "stream_trailer_received",
        "chat_message",
        "transcription_received",
    )
)
"""Events that participants cause at will and nobody here listens to: the parts of a text come by its reader."""
MAX_OPEN_STREAMS: Final = 500
"""Text streams of one room that may be under way at once; further ones are dropped."""
MAX_READ_BYTES: Final = 1_000_000
"""Of a longer text stream not even the beginning is handed on: the SDK gives it up."""
MAX_SENDER_STREAMS: Final = 16
"""Those of one sender: who leaves theirs open keeps nobody else's out."""
STREAM_IDLE_SECONDS: Final = 30.0
"""A stream that nothing came of for so long makes room for others."""
MAX_RPC_BYTES: Final = 15_000
_APPLICATION_ERROR: Final = 1500

_REASONS: Final[dict[int, Reason]] = {
    participant_pb2.DisconnectReason.DUPLICATE_IDENTITY: Reason.DUPLICATE,
    participant_pb2.DisconnectReason.PARTICIPANT_REMOVED: Reason.REMOVED,
    participant_pb2.DisconnectReason.ROOM_DELETED: Reason.ROOM_ENDED,
    participant_pb2.DisconnectReason.ROOM_CLOSED: Reason.ROOM_ENDED,
}
_SOURCES: Final = {
    track_pb2.TrackSource.SOURCE_CAMERA: "camera",
    track_pb2.TrackSource.SOURCE_MICROPHONE: "microphone",
    track_pb2.TrackSource.SOURCE_SCREENSHARE: "screen_share",
    track_pb2.TrackSource.SOURCE_SCREENSHARE_AUDIO: "screen_share_audio",
}


class _Router(FfiQueue[ffi_pb2.FfiEvent]):
    """Stands in for the SDK's event queue; `put` is called on the native library's thread."""

    def __init__(self, before: FfiQueue[ffi_pb2.FfiEvent]) -> None:
        super().__init__()
        self._lock = before._lock
        self._subscribers = before._subscribers
        self.rooms: dict[int, SdkSeat] = {}
        self.participants: dict[int, SdkSeat] = {}
        self.streams: dict[int, SdkSeat] = {}
        self.waiting: dict[int, _Waiter] = {}
        self._ids = itertools.count(1 << 48)  # far from the ids that the library counts up itself

    @classmethod
    def installed(cls) -> _Router:
        """Give the process's router; the first call puts it in the SDK's place."""
        client = FfiClient.instance
        if not isinstance(client._queue, cls):
            client._queue = cls(client._queue)
        return client._queue

    @property
    def undoing(self) -> bool:
        """Whether a request is under way that would have to be undone when it is answered too late."""
        return any(waiter.undoes for waiter in list(self.waiting.values()))

    def put(self, item: ffi_pb2.FfiEvent) -> None:
        which = item.WhichOneof("message")
        if which == "room_event":
            seat = self.rooms.get(item.room_event.room_handle)
            if seat is not None:
                seat.push(item.room_event)
                return
        elif which == "rpc_method_invocation":
            seat = self.participants.get(item.rpc_method_invocation.local_participant_handle)
            if seat is not None:
                seat.push(item.rpc_method_invocation)
                return
        elif which == "text_stream_reader_event":
            seat = self.streams.get(item.text_stream_reader_event.reader_handle)
            if seat is not None:
                seat.push(item.text_stream_reader_event)
                return
        elif which is not None and self.waiting:
            waiter = self.waiting.pop(getattr(getattr(item, which), "async_id", 0), None)
            if waiter is not None:
                waiter.resolve(getattr(item, which))
                return
        super().put(item)

    async def ask(
        self,
        request: ffi_pb2.FfiRequest,
        part: str,
        seconds: float,
        late: Callable[[Any], None] | None = None,
    ) -> Any:
        """Make a request that is answered by a callback event, and wait for that; raises `TimeoutError`.

        Where nobody waits any more when the answer comes, `late` gets it, to undo what was done.
        """
        number = next(self._ids)
        getattr(request, part).request_async_id = number
        waiter = self.waiting[number] = _Waiter(late)
        try:
            FfiClient.instance.request(request)
            async with asyncio.timeout(seconds):
                return await waiter.future
        finally:
            if late is None:
                self.waiting.pop(number, None)


class _Waiter:
    """A future that the native thread resolves."""

    __slots__ = ("_late", "_loop", "future", "undoes")

    def __init__(self, late: Callable[[Any], None] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._late = late
        self.undoes = late is not None
        self.future: asyncio.Future[Any] = self._loop.create_future()

    def resolve(self, value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._set, value)

    def _set(self, value: Any) -> None:
        if not self.future.done():
            self.future.set_result(value)
        elif self._late is not None:
            self._late(value)


class _RpcReply:
    """Answers one RPC; a second answer is ignored, and one that comes after the seat is gone."""

    __slots__ = ("_invocation", "_seat")

    def __init__(self, seat: SdkSeat, invocation: int) -> None:
        self._seat = seat
        self._invocation: int | None = invocation

    def ok(self, payload: bytes) -> None:
        self._respond(payload=payload.decode())

    def fail(self, message: str, payload: bytes) -> None:
        error = rpc_pb2.RpcError(code=_APPLICATION_ERROR, message=message[:200], data=payload.decode())
        self._respond(error=error)

    def _respond(self, **answer: Any) -> None:
        participant = self._seat.participant
        if self._invocation is None or participant is None:
            return
        invocation, self._invocation = self._invocation, None
        response = rpc_pb2.RpcMethodInvocationResponseRequest(
            local_participant_handle=participant, invocation_id=invocation, **answer
        )
        FfiClient.instance.request(ffi_pb2.FfiRequest(rpc_method_invocation_response=response))


class _Stream:
    """A chat text stream under way."""

    __slots__ = ("last", "parts", "sender", "size", "stream_id", "torn")

    def __init__(self, sender: str, stream_id: str) -> None:
        self.sender = sender
        self.stream_id = stream_id
        self.parts: list[str] = []
        self.size = 0
        self.last = time.monotonic()
        self.torn = False
        """A part of it was dropped."""


class SdkSeat:
    """A room held through the native library, without the SDK's `Room` on top of it."""

    def __init__(self, router: _Router, sink: Sink) -> None:
        self._router = router
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._inbox: deque[tuple[Any, bytes, float]] = deque()
        self._woken = False
        self._present: dict[str, participant_pb2.ParticipantInfo] = {}
        self._tracks: dict[str, dict[str, Track]] = {}
        self._streams: dict[int, _Stream] = {}
        self._room: FfiHandle | None = None
        self._participant: FfiHandle | None = None
        self._handles: list[FfiHandle] = []
        self._reason: participant_pb2.DisconnectReason.ValueType | None = None
        self._ended = asyncio.Event()
        self._encrypted = False
        self.sid = ""

    # -- on the native library's thread ---------------------------------------------------------

    def push(self, event: Any) -> None:
        """Put an event away with the time it came; a packet's bytes are copied out at once."""
        data = b""
        which = event.WhichOneof("message") if type(event) is room_pb2.RoomEvent else ""
        if which in _UNHEARD:
            return
        if which == "data_packet_received":
            packet = event.data_packet_received
            if packet.WhichOneof("value") != "user":
                return
            buffer = packet.user.data.data
            taken = not self._is_full()
            if taken:
                data = ctypes.string_at(buffer.data_ptr, buffer.data_len)
            FfiClient.instance._ffi_lib.livekit_ffi_drop_handle(ctypes.c_uint64(packet.user.data.handle.id))
            if not taken:
                return
        elif type(event) is rpc_pb2.RpcMethodInvocationEvent:
            if self._is_full():
                return  # its sender has no answer in time, and asks again
        elif type(event) is data_stream_pb2.TextStreamReaderEvent and event.HasField("chunk_received"):
            stream = self._streams.get(event.reader_handle)
            if stream is not None and self._is_full():
                stream.torn = True
                return
        self._inbox.append((event, data, time.monotonic()))
        with self._lock:
            if self._woken:
                return
            self._woken = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is going down
            self._loop.call_soon_threadsafe(self._drain)

    def _is_full(self) -> bool:
        """Tell whether no more may wait of what people send, and count what is dropped for it."""
        full = len(self._inbox) >= MAX_INBOX
        if full:
            metrics.LINK_DROPPED.labels("overflow").inc()
        return full

    # -- in the loop ----------------------------------------------------------------------------

    def _drain(self) -> None:
        with self._lock:
            self._woken = False
        arrivals: list[Arrival] = []
        inbox = self._inbox
        for _ in range(len(inbox)):
            event, data, stamp = inbox.popleft()
            if type(event) is room_pb2.RoomEvent:
                self._room_event(event, data, stamp, arrivals)
            elif type(event) is rpc_pb2.RpcMethodInvocationEvent:
                self._rpc(event, stamp, arrivals)
            else:
                self._stream_event(event, stamp, arrivals)
        if arrivals:
            metrics.LINK_FRAMES.inc(sum(type(arrival) is Frame for arrival in arrivals))
            self._sink.arrive(arrivals)

    def _room_event(self, event: room_pb2.RoomEvent, data: bytes, stamp: float, arrivals: list[Arrival]) -> None:
        which = event.WhichOneof("message")
        if which == "data_packet_received":
            packet = event.data_packet_received
            arrivals.append(
                Frame(
                    data,
                    packet.participant_identity,
                    stamp,
                    "packet",
                    packet.user.topic,
                    packet.kind == room_pb2.DataPacketKind.KIND_RELIABLE,
                )
            )
        elif which == "participant_connected":
            info = event.participant_connected.info
            self._keep(info.handle.id)
            self._present[info.info.identity] = info.info
            arrivals.append(Joined(self._presence(info.info), stamp))
        elif which == "participant_disconnected":
            identity = event.participant_disconnected.participant_identity
            self._present.pop(identity, None)
            self._tracks.pop(identity, None)
            for handle in [handle for handle, stream in self._streams.items() if stream.sender == identity]:
                self._drop_stream(handle)
            arrivals.append(Left(identity))
        elif which == "participants_updated":
            for info in event.participants_updated.participants:
                self._changed(info.identity, arrivals, info)
        elif which == "disconnected":
            self._reason = event.disconnected.reason
        elif which == "eos":
            self._end(arrivals)
        elif which == "reconnecting":
            arrivals.append(Interrupted())
        elif which == "reconnected":
            arrivals.append(Resumed(self.sid))
        elif which in ("room_sid_changed", "room_updated", "moved"):
            self.sid = getattr(event, which).sid or self.sid
        elif which == "text_stream_opened":
            self._stream_opened(event.text_stream_opened)
        elif which == "byte_stream_opened":
            FfiHandle(event.byte_stream_opened.reader.handle.id).dispose()
            metrics.LINK_DROPPED.labels("bytes").inc()
        elif which is not None:
            self._participant_event(which, getattr(event, which), arrivals)

    def _participant_event(self, which: str, event: Any, arrivals: list[Arrival]) -> None:
        """Apply what changed of one participant; the events that name none do not concern us."""
        identity = getattr(event, "participant_identity", "")
        info = self._present.get(identity)
        if info is None:
            return
        tracks = self._tracks.setdefault(identity, {})
        if which == "participant_active":
            info.state = participant_pb2.ParticipantState.PARTICIPANT_STATE_ACTIVE
        elif which == "participant_metadata_changed":
            info.metadata = event.metadata
        elif which == "participant_name_changed":
            info.name = event.name
        elif which == "participant_attributes_changed":
            info.attributes.clear()
            info.attributes.update((entry.key, entry.value) for entry in event.attributes)
        elif which == "participant_permission_changed":
            info.permission.CopyFrom(event.permission)
        elif which == "track_published":
            self._keep(event.publication.handle.id)
            tracks[event.publication.info.sid] = _track(event.publication.info)
            self._see(event.publication.info, arrivals)
        elif which == "track_unpublished":
            tracks.pop(event.publication_sid, None)
        elif which in ("track_muted", "track_unmuted"):
            track = tracks.get(event.track_sid)
            if track is None:
                return
            tracks[event.track_sid] = Track(track.sid, track.kind, track.source, which == "track_muted")
        else:
            return
        self._changed(identity, arrivals, info)

    def _see(self, track: track_pb2.TrackPublicationInfo, arrivals: list[Arrival]) -> None:
        """Tell of the first track that is encrypted: packets that are, the SDK keeps to itself."""
        if track.encryption_type != e2ee_pb2.EncryptionType.NONE and not self._encrypted:
            self._encrypted = True
            arrivals.append(Encrypted())

    def _changed(self, identity: str, arrivals: list[Arrival], info: participant_pb2.ParticipantInfo) -> None:
        if identity in self._present:
            self._present[identity] = info
            arrivals.append(Changed(self._presence(info)))

    def _rpc(self, event: rpc_pb2.RpcMethodInvocationEvent, stamp: float, arrivals: list[Arrival]) -> None:
        reply = _RpcReply(self, event.invocation_id)
        arrivals.append(Frame(event.payload.encode(), event.caller_identity, stamp, "rpc", reply=reply))

    def _stream_opened(self, opened: room_pb2.TextStreamOpened) -> None:
        info, handle = opened.reader.info, opened.reader.handle.id
        if info.topic != CHAT_TOPIC:
            FfiHandle(handle).dispose()
            return
        if not self._room_for_stream(opened.participant_identity):
            FfiHandle(handle).dispose()
            metrics.LINK_DROPPED.labels("text").inc()
            return
        self._streams[handle] = _Stream(opened.participant_identity, info.stream_id)
        self._router.streams[handle] = self
        request = ffi_pb2.FfiRequest()
        request.text_read_incremental.reader_handle = handle  # takes the handle over
        FfiClient.instance.request(request)

    def _stream_event(
        self, event: data_stream_pb2.TextStreamReaderEvent, stamp: float, arrivals: list[Arrival]
    ) -> None:
        stream = self._streams.get(event.reader_handle)
        if stream is None:
            return
        if event.WhichOneof("detail") == "chunk_received":
            stream.last = stamp
            if stream.size < MAX_STREAM_BYTES:
                content = event.chunk_received.content
                stream.size += len(content.encode())
                stream.parts.append(content)
            return
        if event.eos.HasField("error") or stream.torn:
            self._drop_stream(event.reader_handle)
            return
        self._streams.pop(event.reader_handle)
        self._router.streams.pop(event.reader_handle, None)
        data = "".join(stream.parts).encode()[:MAX_STREAM_BYTES].decode(errors="ignore").encode()
        arrivals.append(Frame(data, stream.sender, stamp, "chat", CHAT_TOPIC, True, stream.stream_id))

    def _room_for_stream(self, sender: str) -> bool:
        """Make room for another stream by giving up idle ones, if it has to."""
        idle = time.monotonic() - STREAM_IDLE_SECONDS
        for handle in [handle for handle, stream in self._streams.items() if stream.last < idle]:
            self._drop_stream(handle)
        mine = sum(stream.sender == sender for stream in self._streams.values())
        return len(self._streams) < MAX_OPEN_STREAMS and mine < MAX_SENDER_STREAMS

    def _drop_stream(self, handle: int) -> None:
        del self._streams[handle]
        self._router.streams.pop(handle, None)
        metrics.LINK_DROPPED.labels("text").inc()

    def _presence(self, info: participant_pb2.ParticipantInfo) -> Presence:
        permission = info.permission
        agent = info.kind == participant_pb2.ParticipantKind.PARTICIPANT_KIND_AGENT
        return Presence(
            info.identity,
            info.name,
            info.metadata,
            dict(info.attributes),
            info.state == participant_pb2.ParticipantState.PARTICIPANT_STATE_ACTIVE,
            permission.hidden or agent,
            permission.can_publish,
            permission.can_publish_data,
            permission.can_subscribe,
            permission.can_update_metadata,
            tuple(self._tracks.get(info.identity, {}).values()),
            info.sid,
        )

    def _keep(self, handle: int) -> None:
        """Release a native object that we have no use for: all that we need of it was in the event."""
        FfiHandle(handle).dispose()

    def _end(self, arrivals: list[Arrival]) -> None:
        self._release()
        reason = self._reason or participant_pb2.DisconnectReason.UNKNOWN_REASON
        detail = participant_pb2.DisconnectReason.Name(reason)
        arrivals.append(Lost(_REASONS.get(reason, Reason.NETWORK), detail))

    def _release(self) -> None:
        """Take this seat out of the router and give its native objects back."""
        if self._room is not None and self._participant is not None:
            self._router.rooms.pop(self._room.handle, None)
            self._router.participants.pop(self._participant.handle, None)
            self._room.dispose()
            self._participant.dispose()
            self._room = None
            metrics.LINK_ROOMS.labels(PythonSdkLink.name).set(len(self._router.rooms))
        for handle in self._streams:
            self._router.streams.pop(handle, None)
        self._streams.clear()
        self._ended.set()

    # -- what the hall calls --------------------------------------------------------------------

    @property
    def participant(self) -> int | None:
        """The native handle of the bot's participant while there is a seat."""
        return self._participant.handle if self._room is not None and self._participant is not None else None

    async def connect(self, url: str, token: str) -> None:
        """Join; see `Link.join`."""
        request = ffi_pb2.FfiRequest()
        request.connect.url = url
        request.connect.token = token
        options = request.connect.options
        options.auto_subscribe = False
        options.dynacast = False
        options.connect_timeout_ms = int(CONNECT_SECONDS * 1000 / 3)
        # Its own tries would go on after we have given up, and throw out whoever has the hall by then.
        options.join_retries = 0
        options.data_stream.max_payload_byte_length = MAX_READ_BYTES
        try:
            answer: room_pb2.ConnectCallback = await self._router.ask(
                request, "connect", CONNECT_SECONDS, _leave_unused
            )
        except TimeoutError:
            raise LinkError(f"LiveKit did not answer within {CONNECT_SECONDS:g} s") from None
        if answer.error:
            raise LinkError(answer.error)
        result = answer.result
        self._room = FfiHandle(result.room.handle.id)
        self._participant = FfiHandle(result.local_participant.handle.id)
        self.sid = result.room.info.sid
        self._router.rooms[self._room.handle] = self
        self._router.participants[self._participant.handle] = self
        metrics.LINK_ROOMS.labels(PythonSdkLink.name).set(len(self._router.rooms))
        arrivals: list[Arrival] = []
        stamp = time.monotonic() - 60.0  # they were here before us: known for long
        for entry in result.participants:
            info = entry.participant.info
            self._keep(entry.participant.handle.id)
            self._present[info.identity] = info
            for publication in entry.publications:
                self._keep(publication.handle.id)
                self._tracks.setdefault(info.identity, {})[publication.info.sid] = _track(publication.info)
                self._see(publication.info, arrivals)
            arrivals.append(Joined(self._presence(info), stamp))
        self._sink.arrive(arrivals)
        request = ffi_pb2.FfiRequest()
        request.register_rpc_method.local_participant_handle = self._participant.handle
        request.register_rpc_method.method = RPC_METHOD
        FfiClient.instance.request(request)
        FfiClient.instance.request(_ready(self._room.handle))

    async def publish(self, data: bytes, *, to: Sequence[str], topic: str, reliable: bool = True) -> None:
        """See `Seat.publish`."""
        if self._room is None or self._participant is None:
            raise LinkError("the seat is gone")
        check_packet(len(data), to, topic)
        request = ffi_pb2.FfiRequest()
        part = request.publish_data
        part.local_participant_handle = self._participant.handle
        part.data_ptr = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        part.data_len = len(data)
        part.reliable = reliable
        part.topic = topic
        part.destination_identities.extend(to)
        try:
            answer: room_pb2.PublishDataCallback = await self._router.ask(request, "publish_data", PUBLISH_SECONDS)
        except TimeoutError:
            raise LinkError(f"a packet was not sent within {PUBLISH_SECONDS:g} s") from None
        if answer.error:
            raise LinkError(answer.error)

    async def send_text(self, text: str, *, to: Sequence[str], topic: str) -> None:
        """See `TextSeat.send_text`."""
        if self._room is None or self._participant is None:
            raise LinkError("the seat is gone")
        if (size := len(text.encode())) > MAX_STREAM_BYTES:
            raise LinkError(f"a text of {size} bytes is too long: {MAX_STREAM_BYTES} are the limit")
        request = ffi_pb2.FfiRequest()
        part = request.send_text
        part.local_participant_handle = self._participant.handle
        part.text = text
        part.options.topic = topic
        part.options.compress = False  # older clients can't read it, and not all who are here are known
        part.options.destination_identities.extend(to)
        try:
            answer: data_stream_pb2.StreamSendTextCallback = await self._router.ask(
                request, "send_text", PUBLISH_SECONDS
            )
        except TimeoutError:
            raise LinkError(f"a text was not sent within {PUBLISH_SECONDS:g} s") from None
        if answer.HasField("error"):
            raise LinkError(answer.error.description)

    async def leave(self) -> None:
        """See `Seat.leave`."""
        if self._room is None:
            return
        request = ffi_pb2.FfiRequest()
        request.disconnect.room_handle = self._room.handle
        request.disconnect.reason = participant_pb2.DisconnectReason.CLIENT_INITIATED
        with contextlib.suppress(TimeoutError):
            await self._router.ask(request, "disconnect", DISCONNECT_SECONDS)
            async with asyncio.timeout(DISCONNECT_SECONDS):
                await self._ended.wait()
        self._release()


def _leave_unused(answer: room_pb2.ConnectCallback) -> None:
    """Leave a room whose join was given up before it came through: nobody would ever leave it."""
    if answer.error:
        return
    # It waits to hear that its events can be taken, and would end the process if it never did.
    result = answer.result
    FfiClient.instance.request(_ready(result.room.handle.id))
    request = ffi_pb2.FfiRequest()
    request.disconnect.room_handle = result.room.handle.id
    FfiClient.instance.request(request)
    owned = [result.room.handle.id, result.local_participant.handle.id]
    for entry in result.participants:
        owned += [entry.participant.handle.id, *(publication.handle.id for publication in entry.publications)]
    for handle in owned:
        FfiHandle(handle).dispose()


def _ready(room: int) -> ffi_pb2.FfiRequest:
    """Make the request for a room's events to begin."""
    request = ffi_pb2.FfiRequest()
    request.ready_for_room_event.room_handle = room
    return request


def _track(info: track_pb2.TrackPublicationInfo) -> Track:
    kind = "audio" if info.kind == track_pb2.TrackKind.KIND_AUDIO else "video"
    return Track(info.sid, kind, _SOURCES.get(info.source, "unknown"), info.muted)


class PythonSdkLink:
    """Joins rooms through the `livekit` package."""

    name = "sdk"

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        metrics.LINK_ROOMS.labels(self.name).set(0)

    async def join(self, url: str, token: str, sink: Sink) -> SdkSeat:
        """See `Link.join`. Halls join one after the other, but none waits long for another that hangs.

        Many joins at once leave the native library's memory in pieces (2.8 MB a hall instead of 1.3), and on a
        busy machine it gives up on rooms that were not taken up in time, which ends the process.
        """
        seat = SdkSeat(_Router.installed(), sink)
        async with self._turn:
            connecting = asyncio.create_task(seat.connect(url, token), name="connect")
            try:
                await asyncio.wait([connecting], timeout=_TURN_SECONDS)
            except asyncio.CancelledError:
                connecting.cancel()
                raise
        await connecting
        return seat

    async def close(self) -> None:
        """See `Link.close`: joins that were given up are undone; the native library lives as long as the process."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCONNECT_SECONDS):
                while _Router.installed().undoing:  # noqa: ASYNC110 - they are answered on another thread
                    await asyncio.sleep(0.02)
        await asyncio.sleep(0)  # the last answer may be on its way into the loop
