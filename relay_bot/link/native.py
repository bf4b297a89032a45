"""The link on LiveKit's Go SDK, which runs in a child process: see docs/link-protocol.md.

One child serves all halls of the bot. It is started by the first join, and again by the first one after its
end; all seats it held are lost with it, as if the network had gone, and their halls join again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import structlog

from relay_bot.link import (
    CHAT_TOPIC,
    MAX_STREAM_BYTES,
    RPC_METHOD,
    Arrival,
    Frame,
    LinkError,
    Lost,
    Reason,
    Resumed,
    Sink,
)
from relay_bot.link import _frames as wire
from relay_bot.link._source import SOURCE
from relay_bot.link.packets import addressee_size, check_packet
from relay_bot.observe import metrics

CONNECT_SECONDS: Final = 15.0
DISCONNECT_SECONDS: Final = 5.0
END_SECONDS: Final = 1.5
"""The child leaves its rooms within a second; then it is killed."""
PUBLISH_SECONDS: Final = 10.0
CHUNK_BYTES: Final = 15_000
"""Bytes of a text stream that one packet carries."""
JOINS_AT_ONCE: Final = 48
"""Rooms that may be joined at the same time; the others wait, and their time limit with them."""
WINDOW_BYTES: Final = 2 << 20
"""Bytes of packets that may be on their way to the link; further ones wait for their turn."""
MESSAGES_AHEAD: Final = 2
"""Messages that the link may send before we have read them: while we work on one, it fills the next."""
PING_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 10.0
"""A link that says nothing for so long, while it is asked, hangs."""
MAX_REPLIES_BYTES: Final = 8 << 20
"""Bytes before the socket above which RPC answers are dropped: their callers' time has run out by then."""
STEADY_SECONDS: Final = 30.0
"""A child that lived so long died of something new: the next one starts at once."""
MAX_BACKOFF_SECONDS: Final = 5.0
_APPLICATION_ERROR: Final = 1500
_KEPT_ENVIRONMENT: Final = re.compile(
    r"(?i)((https?|all|no)_proxy|ssl_cert_(file|dir)|tmpdir|systemroot|godebug|gotraceback)"
)
_ENVIRONMENT: Final = {"GOMAXPROCS": "1"}
"""One core is more than our own loop can give work to; on several, Go spends a third more on waking them up."""

_log = structlog.get_logger("relay_bot.link")


class NativeLink:
    """Joins rooms through a `relay-link` process.

    Args:
        binary: The program, see `relay_bot.link.choose.find_native`.
        source: The hash of the sources that it must have been built from.
    """

    name = "native"

    def __init__(self, binary: Path, source: str = SOURCE) -> None:
        self._binary = binary
        self._source = source
        self._process: _Process | None = None
        self._starting = asyncio.Lock()
        self._joins = asyncio.Semaphore(JOINS_AT_ONCE)
        self._failures = 0
        self._closed = False
        metrics.LINK_ROOMS.labels(self.name).set(0)

    async def join(self, url: str, token: str, sink: Sink) -> NativeSeat:
        """See `Link.join`."""
        async with self._joins:
            try:
                async with asyncio.timeout(CONNECT_SECONDS + 2.0):  # the link has its own limit, a little shorter
                    process = await self._running()
                    return await process.join(url, token, sink)
            except TimeoutError:
                raise LinkError(f"LiveKit did not answer within {CONNECT_SECONDS:g} s") from None

    async def close(self) -> None:
        """See `Link.close`: the child process ends."""
        self._closed = True
        if self._process is not None:
            await self._process.stop("the bot ends")

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.alive else None

    async def _running(self) -> _Process:
        """Give the child, started if need be; after a short life of the last one, not at once."""
        async with self._starting:
            if self._closed:
                raise LinkError("the link is closed")
            if self._process is not None:
                if self._process.alive:
                    return self._process
                await self._process.stop("it is to be started again")
                self._failures = 0 if self._process.lived > STEADY_SECONDS else self._failures + 1
                self._process = None
            if self._failures > 1:
                pause = min(MAX_BACKOFF_SECONDS, 0.1 * 2**self._failures)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads, hides nothing
            process = _Process(self._binary, self._source)
            try:
                await process.start()
            except LinkError:
                self._failures += 1
                raise
            self._process = process
            return process


class NativeSeat:
    """A room that the child holds for us."""

    def __init__(self, process: _Process, number: int, sink: Sink) -> None:
        self._process = process
        self.number = number
        self.sink = sink
        self.sid = ""
        self.gone = False

    async def publish(self, data: bytes, *, to: Sequence[str], topic: str, reliable: bool = True) -> None:
        """See `Seat.publish`."""
        if self.gone:
            raise LinkError("the seat is gone")
        size = check_packet(len(data), to, topic)
        await self._process.publish(self.number, data, to, topic, reliable, size)

    async def send_text(self, text: str, *, to: Sequence[str], topic: str) -> None:
        """See `TextSeat.send_text`."""
        if self.gone:
            raise LinkError("the seat is gone")
        if (size := len(text.encode())) > MAX_STREAM_BYTES:
            raise LinkError(f"a text of {size} bytes is too long: {MAX_STREAM_BYTES} are the limit")
        check_packet(min(size, CHUNK_BYTES), to, topic)  # it goes in parts
        await self._process.send_text(self.number, text, to, topic, size + sum(map(addressee_size, to)))

    async def leave(self) -> None:
        """See `Seat.leave`."""
        if not self.gone:
            self.gone = True
            await self._process.leave(self.number)


class _Reply:
    """Answers one RPC; a second answer is ignored."""

    __slots__ = ("_caller", "_number", "_process", "_seat")

    def __init__(self, process: _Process, seat: int, caller: str, number: str) -> None:
        self._process: _Process | None = process
        self._seat = seat
        self._caller = caller
        self._number = number

    def ok(self, payload: bytes) -> None:
        self._respond(payload, 0, "")

    def fail(self, message: str, payload: bytes) -> None:
        self._respond(payload, _APPLICATION_ERROR, message[:200])

    def _respond(self, payload: bytes, code: int, message: str) -> None:
        if self._process is not None:
            answer = (wire.REPLY, self._seat, self._caller, self._number, payload.decode(), code, message)
            self._process.reply(answer)
            self._process = None


class _Process(asyncio.BufferedProtocol):
    """One life of the child: its socket, its seats, and what it still owes us."""

    def __init__(self, binary: Path, source: str) -> None:
        self._binary = binary
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._child: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._errors: _Errors | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._started = self._heard = time.monotonic()
        self.lived = 0.0
        self._ended = asyncio.Event()
        self._welcome: asyncio.Future[wire.Welcome] = self._loop.create_future()
        self._buffer = bytearray(wire.HEAD + wire.MAX_MESSAGE)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._commands: list[tuple[Any, ...]] = []
        self._window = WINDOW_BYTES
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._seats: dict[int, NativeSeat] = {}
        self._joining: dict[int, asyncio.Future[str]] = {}
        self._leaving: dict[int, asyncio.Future[None]] = {}
        self._publishing: dict[int, asyncio.Future[None]] = {}
        self._last_number = 0
        self._stopping = False
        self.alive = False
        self._counted = wire.Pong()

    # -- its life -------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        """Start the child and shake hands; raises `LinkError`."""
        ours, its = socket.socketpair()
        reader, writer = os.pipe()
        command = [os.fspath(self._binary), "-fd", str(its.fileno()), "-parent", str(os.getpid())]
        kept = {key: value for key, value in os.environ.items() if _KEPT_ENVIRONMENT.fullmatch(key)}
        try:
            # From the loop's own thread, which lives as long as the bot: Linux ties the child to it.
            self._child = subprocess.Popen(  # noqa: ASYNC220, S603 - a few ms, once; the path is the operator's
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=writer,
                pass_fds=[its.fileno()],
                env=kept | _ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            os.close(reader)
            raise LinkError(f"{self._binary}: {error.strerror}") from error
        finally:
            its.close()
            os.close(writer)
        pipe = os.fdopen(reader, "rb", buffering=0)
        self._errors = _Errors()
        await self._loop.connect_read_pipe(lambda: cast("_Errors", self._errors), pipe)
        await self._loop.create_connection(lambda: self, sock=ours)
        self._send((wire.HELLO, wire.PROTOCOL, time.monotonic(), MESSAGES_AHEAD))
        try:
            async with asyncio.timeout(CONNECT_SECONDS / 3):
                welcome = await self._welcome
        except (LinkError, TimeoutError) as error:
            await self.stop("it did not answer")
            said = self._errors.last or str(error) or "it did not answer"
            raise LinkError(f"{self._binary} did not start: {said}") from None
        if (welcome.protocol, welcome.source) != (wire.PROTOCOL, self._source):
            await self.stop("it is another version")
            raise LinkError(
                f"{self._binary} is of another version than this bot (protocol {welcome.protocol}, source"
                f" {welcome.source}; protocol {wire.PROTOCOL}, source {self._source} is needed): build it again"
            )
        self.alive = True
        self._pinging = asyncio.create_task(self._ping(), name="link pings")
        self._pinging.add_done_callback(self._pinged)
        metrics.LINK_STARTS.inc()
        _log.info("link.started", pid=self.pid, version=welcome.version, source=welcome.source)

    async def stop(self, why: str) -> None:
        """End the child: it is hung up on, given a moment, and killed."""
        self._stopping = True
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()
            await self._ended.wait()
        child = self._child
        if child is None:
            return
        end = time.monotonic() + END_SECONDS
        while child.poll() is None:
            if time.monotonic() > end:
                child.kill()
            await asyncio.sleep(0.01)
        if self._errors is not None:
            await self._errors.close()
        self._child = None
        _log.info("link.stopped", why=why, exit_code=child.returncode)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`: the child is gone, and everything that was asked of it fails."""
        was_alive, self.alive = self.alive, False
        self.lived = time.monotonic() - self._started
        if self._child is not None and not self._stopping:
            self._child.kill()  # where it hung up without ending; reaped by `stop`
        error = LinkError("the link process ended")
        pending = [self._welcome, *self._joining.values(), *self._publishing.values()]
        for future in [*pending, *(future for _, future in self._waiting)]:
            if not future.done():
                future.set_exception(error)
                future.exception()  # who waits for it is told; nobody else has to
        for future in self._leaving.values():
            if not future.done():
                future.set_result(None)
        self._waiting.clear()
        seats, self._seats = list(self._seats.values()), {}
        metrics.LINK_ROOMS.labels(NativeLink.name).set(0)
        for seat in seats:
            self._tell(seat, [Lost(Reason.NETWORK, "the link process ended")])
            seat.gone = True
        if was_alive and not self._stopping:
            assert self._pinging is not None
            self._pinging.cancel()
            _log.warning("link.died", lived=round(self.lived, 1), seats=len(seats), pid=self.pid)
        self._ended.set()

    def _pinged(self, task: asyncio.Task[None]) -> None:
        """Hang up where the pings failed: nobody would see that the link hangs. The next join starts another."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            metrics.HELPER_FAILURES.labels("link").inc()
            _log.error("link.pings_failed", error=type(error).__name__, exc_info=error)
            if self._transport is not None:
                self._transport.abort()

    async def _ping(self) -> None:
        silent = 0
        while True:
            asked = time.monotonic()
            self._send((wire.PING, asked))
            await asyncio.sleep(PING_SECONDS)
            if self._heard > asked:
                silent = 0
            elif time.monotonic() - asked < 2 * PING_SECONDS:  # or else it was our own loop that stood still
                silent += 1
            if silent * PING_SECONDS >= SILENCE_SECONDS and self._transport is not None:
                _log.error("link.hangs", pid=self.pid, silent_seconds=silent * PING_SECONDS)
                self._transport.abort()
                return

    # -- the socket -----------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`: hand on all that one read brought, in one go for each seat."""
        self._heard = time.monotonic()
        self._filled += nbytes
        view, filled, start = self._view, self._filled, 0
        arrivals: dict[int, list[wire.Item]] = {}
        messages = 0
        try:
            while filled - start >= wire.HEAD:
                end = start + wire.HEAD + int.from_bytes(view[start : start + wire.HEAD], "big")
                if end - start > len(view):
                    raise ValueError(f"a message of {end - start} bytes")
                if end > filled:
                    break
                answers, batches = wire.decode(view[start + wire.HEAD : end])
                start = end
                messages += bool(batches)
                for number, items in batches:
                    known = arrivals.setdefault(number, items)
                    if known is not items:
                        known.extend(items)
                if answers:  # a room's last arrivals come before the answer that it is gone
                    self._deliver(arrivals)
                    for answer in answers:
                        self._answered(answer)
        except (ValueError, msgspec.MsgspecError) as error:
            _log.error("link.unreadable", error=str(error))
            assert self._transport is not None
            self._transport.abort()
            return
        self._deliver(arrivals)
        if start:
            rest = filled - start
            if rest:
                self._buffer[:rest] = self._buffer[start:filled]
            self._filled = rest
        if messages:
            self._send((wire.CREDIT, messages))

    def _deliver(self, arrivals: dict[int, list[wire.Item]]) -> None:
        """Give each seat what came for it."""
        for number, items in arrivals.items():
            seat = self._seats.get(number)
            if seat is None:
                continue  # left in the meantime
            told = cast("list[Arrival]", items)
            for index, item in enumerate(items):
                kind = type(item)
                if kind is Frame:
                    continue
                if isinstance(item, wire.Request):
                    told[index] = self._rpc(number, item)
                elif isinstance(item, Resumed):
                    seat.sid = item.sid
                elif isinstance(item, Lost):
                    seat.gone = True
                    del self._seats[number]
            self._tell(seat, told)
        arrivals.clear()

    def _rpc(self, seat: int, request: wire.Request) -> Frame:
        reply = _Reply(self, seat, request.sender, request.number)
        return Frame(request.data, request.sender, request.stamp, "rpc", reply=reply)

    def _tell(self, seat: NativeSeat, arrivals: Sequence[Arrival]) -> None:
        """Call a sink. One that raises must not take the other halls' arrivals with it."""
        try:
            seat.sink.arrive(arrivals)
        except Exception:
            _log.exception("link.sink_failed", seat=seat.number)

    def _answered(self, answer: wire.Answer) -> None:
        match answer:
            case wire.Published(number, error):
                _resolve(self._publishing.get(number), None, error)
            case wire.JoinAnswer(number, sid, error):
                _resolve(self._joining.get(number), sid, error)
            case wire.LeftAnswer(number):
                _resolve(self._leaving.get(number), None, None)
            case wire.Pong():
                self._count(answer)
            case wire.Welcome():
                _resolve(self._welcome, answer, None)

    def _count(self, now: wire.Pong) -> None:
        """Take over what went through the child since the last time."""
        before, self._counted = self._counted, now
        metrics.LINK_ROOMS.labels(NativeLink.name).set(now.seats)
        metrics.LINK_FRAMES.inc(now.frames - before.frames)
        for reason in wire.DROPPED:
            metrics.LINK_DROPPED.labels(reason).inc(getattr(now, reason) - getattr(before, reason))

    def _send(self, command: tuple[Any, ...]) -> None:
        """Send a command with all others of this turn of the loop."""
        if not self._commands:
            self._loop.call_soon(self._flush)
        self._commands.append(command)

    def _flush(self) -> None:
        commands, self._commands = self._commands, []
        if self._transport is not None and not self._transport.is_closing():
            for start in range(0, len(commands), wire.MAX_COMMANDS):
                self._transport.write(wire.encode(commands[start : start + wire.MAX_COMMANDS]))

    # -- what a seat asks for -------------------------------------------------------------------

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    async def join(self, url: str, token: str, sink: Sink) -> NativeSeat:
        number = self._next_number()
        seat = self._seats[number] = NativeSeat(self, number, sink)
        future = self._joining[number] = self._loop.create_future()
        rest = [RPC_METHOD], [CHAT_TOPIC], MAX_STREAM_BYTES, CONNECT_SECONDS
        self._send((wire.JOIN, number, url, token, *rest))
        try:
            seat.sid = await future
        except BaseException:
            self._seats.pop(number, None)
            if self.alive:
                self._send((wire.LEAVE, number))
            raise
        finally:
            self._joining.pop(number, None)
        return seat

    async def leave(self, number: int) -> None:
        self._seats.pop(number, None)
        if not self.alive:
            return
        future = self._leaving[number] = self._loop.create_future()
        self._send((wire.LEAVE, number))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DISCONNECT_SECONDS):
                    await future
        finally:
            self._leaving.pop(number, None)

    async def publish(self, seat: int, data: bytes, to: Sequence[str], topic: str, reliable: bool, size: int) -> None:
        await self._sent(size, wire.PUBLISH, seat, data, to, topic, reliable, PUBLISH_SECONDS)

    async def send_text(self, seat: int, text: str, to: Sequence[str], topic: str, size: int) -> None:
        await self._sent(size, wire.TEXT, seat, text, to, topic, PUBLISH_SECONDS)

    async def _sent(self, size: int, command: int, *rest: Any) -> None:
        """Send what the link answers once the channel has taken it, within the window; raises `LinkError`."""
        try:
            async with asyncio.timeout(PUBLISH_SECONDS + 1.0):
                await self._admit(size)
                number = self._next_number()
                future = self._publishing[number] = self._loop.create_future()
                try:
                    if not self.alive:
                        raise LinkError("the link process ended")
                    self._send((command, number, *rest))
                    await future
                finally:
                    self._publishing.pop(number, None)
                    self._give_back(size)
        except TimeoutError:
            raise LinkError(f"a packet was not sent within {PUBLISH_SECONDS:g} s") from None

    async def _admit(self, size: int) -> None:
        """Wait for room in the window, behind those who wait already."""
        if not self._waiting and self._window >= size:
            self._window -= size
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((size, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(size)  # admitted in the same moment
            raise

    def _give_back(self, size: int) -> None:
        self._window += size
        while self._waiting:
            size, future = self._waiting[0]
            if not future.done():
                if self._window < min(size, WINDOW_BYTES):
                    return
                self._window -= size
                future.set_result(None)
            self._waiting.popleft()

    def reply(self, answer: tuple[Any, ...]) -> None:
        """Send an RPC's answer, unless the link has long stopped reading."""
        if self._transport is not None and self._transport.get_write_buffer_size() < MAX_REPLIES_BYTES:
            self._send(answer)


def _resolve(future: asyncio.Future[Any] | None, value: object, error: str | None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(LinkError(error))


class _Errors(asyncio.Protocol):
    """Reads the child's standard error into our log, a JSON object a line."""

    def __init__(self) -> None:
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None
        self._closed = asyncio.Event()
        self.last = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._closed.set()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-4000:]
        for line in lines:
            self._note(line[:4000])

    def _note(self, line: bytes) -> None:
        try:
            fields: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:  # not ours: a crash, told by the runtime
            fields = {"level": "error", "event": "link.output", "text": line.decode(errors="replace")}
        level, event = fields.pop("level", "warning"), str(fields.pop("event", "link.output"))
        self.last = str(fields.get("error") or fields.get("text") or event)
        write: Callable[..., Any] = _log.error if level == "error" else _log.warning
        write("link.said", what=event, **{key: fields[key] for key in fields if key in _TOLD})

    async def close(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):  # the child has ended: what it said last is on its way
                    await self._closed.wait()
            self._transport.close()


_TOLD: Final = frozenset({"seat", "error", "skipped", "text"})
