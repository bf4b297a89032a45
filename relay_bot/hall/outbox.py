"""What a hall says: one sender, in order, bounded; newer snapshots replace unsent older ones."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Final

import msgspec
import structlog

from relay_bot.link import LinkError, Seat
from relay_bot.observe import metrics
from relay_bot.wire.clock import now_ms
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES, TOPIC, encode_envelope

log = structlog.get_logger("outbox")
_encoder = msgspec.json.Encoder()

_MAX_PACKETS: Final = 10_000
_MAX_SNAPSHOTS: Final = 2_000
_SHARED_ID_CHARS: Final = 16
"""Shorter ids are counters more often than random: they are acked alone, see `AckGroups`."""
_ACK_ROOM: Final = MAX_ENVELOPE_BYTES - 400


class Packet(msgspec.Struct, frozen=True, gc=False):
    """Bytes for some identities; `to` empty = everybody."""

    data: bytes
    to: tuple[str, ...] = ()
    topic: str = TOPIC
    receivers: Callable[[], Iterable[str]] | None = None
    """Where it is set, it gives the identities when the packet leaves, and `to` doesn't count."""


class AckGroups:
    """Gathers the answers of one commit into as few packets as may be.

    One packet answers many senders. A client takes an ack for its own by the id alone, so an id never
    goes to a sender who waits for the same one: of equal ids each gets a packet to its sender only, and
    so do ids too short to be random.
    """

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self._at_ms = now_ms()
        self._shared: dict[str, str] = {}
        self._alone: set[str] = set()
        self._waiting: Set[str] = frozenset()

    def expect(self, waiting: Set[str]) -> None:
        """Name the ids that are on their way through the hall beside these."""
        self._waiting = waiting

    def ack(self, identity: str, message_id: str, result: Any) -> None:
        """Answer one message with success."""
        first = message_id not in self._shared and message_id not in self._alone
        if first and result is None and len(message_id) >= _SHARED_ID_CHARS and message_id not in self._waiting:
            self._shared[message_id] = identity
            return
        self._single_out(message_id)
        payload: dict[str, Any] = {"ids": [message_id]}
        if result is not None:
            payload["result"] = result
        self._add("ack", payload, (identity,))

    def error(self, identity: str, payload: dict[str, Any]) -> None:
        """Answer one message with a refusal."""
        if payload.get("id"):
            self._single_out(payload["id"])
        self._add("error", payload, (identity,))

    def _single_out(self, message_id: str) -> None:
        """Let no answer with this id share a packet: not one that was to do so, and none that is yet to come."""
        self._alone.add(message_id)
        identity = self._shared.pop(message_id, None)
        if identity is not None:
            self._add("ack", {"ids": [message_id]}, (identity,))

    def flush(self) -> None:
        """Make the shared packets; only now is it known which ids there are."""
        part: dict[str, str] = {}
        room = _ACK_ROOM
        for message_id, identity in self._shared.items():
            size = len(_encoder.encode(message_id)) + 1  # with its escapes, and a comma
            if size > room:
                self._share(part)
                part, room = {}, _ACK_ROOM
            part[message_id] = identity
            room -= size
        self._share(part)
        self._shared = {}

    def _share(self, part: dict[str, str]) -> None:
        if part:
            self._add("ack", {"ids": list(part)}, tuple(dict.fromkeys(part.values())))

    def _add(self, kind: str, payload: dict[str, Any], to: tuple[str, ...]) -> None:
        data = encode_envelope(kind, payload, at_ms=self._at_ms)
        if len(data) > MAX_ENVELOPE_BYTES:
            kept = {"ids": payload["ids"]} if kind == "ack" else {**payload, "message": "refused"}
            data = encode_envelope(kind, kept, at_ms=self._at_ms)
        self.packets.append(Packet(data, to))


class Outbox:
    """Sends a hall's packets through its seat, one at a time.

    However many votes arrive, of one thing at most so many snapshots a second leave.
    """

    def __init__(self, hall: str, snapshots_per_second: float) -> None:
        self._hall = hall
        self._pause = 1 / snapshots_per_second
        self._packets: deque[Packet] = deque()
        self._snapshots: dict[tuple[str, ...], Packet] = {}
        self._sent_at: dict[tuple[str, ...], float] = {}
        self._wake = asyncio.Event()
        self._seat: Seat | None = None
        self._sending = 0

    def __len__(self) -> int:
        return len(self._packets) + len(self._snapshots)

    @property
    def backlog(self) -> int:
        """Packets that wait, throttled snapshots left out."""
        return len(self._packets) + self._sending

    def seated(self, seat: Seat | None) -> None:
        """Say through which seat to send; without one everything waits, as bounded as ever."""
        self._seat = seat
        self._wake.set()

    def put(self, packets: Sequence[Packet]) -> None:
        """Queue packets; over the bound they are dropped and counted: clients ask again."""
        for packet in packets:
            if len(self._packets) >= _MAX_PACKETS:
                metrics.DROPPED.labels("outbox").inc()
                continue
            self._packets.append(packet)
            metrics.OUTBOX.inc()
        self._wake.set()

    def put_snapshot(self, key: tuple[str, ...], packet: Packet) -> None:
        """Queue a snapshot in the place of an older one with the same key."""
        if key not in self._snapshots and len(self._snapshots) >= _MAX_SNAPSHOTS:
            metrics.DROPPED.labels("outbox_snapshots").inc()
            return
        self._snapshots[key] = packet
        self._wake.set()

    def drop_snapshot(self, key: tuple[str, ...]) -> None:
        """Forget an unsent snapshot: something final is said in its place."""
        self._snapshots.pop(key, None)

    def clear(self) -> None:
        """Forget what is unsent, as when the room is gone."""
        metrics.OUTBOX.dec(len(self._packets))
        self._packets.clear()
        self._snapshots.clear()
        self._sent_at.clear()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            pause = await self._send_waiting()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def flush(self, seconds: float) -> None:
        """Send what waits, within a time limit: for a stop."""
        try:
            async with asyncio.timeout(seconds):
                while self._seat is not None and self._packets:
                    await self._send(self._packets.popleft())
                    metrics.OUTBOX.dec()
        except TimeoutError:
            log.warning("outbox.unsent", hall=self._hall, packets=len(self._packets))

    async def _send_waiting(self) -> float | None:
        """Send all that may leave now; gives the seconds until a throttled snapshot may, or `None`."""
        while self._seat is not None:
            self._wake.clear()
            if self._packets:
                metrics.OUTBOX.dec()
                await self._send(self._packets.popleft())
                continue
            due = self._next_snapshot()
            if due is None:
                return None
            key, wait = due
            if wait > 0:
                return wait
            packet = self._snapshots.pop(key)
            self._sent_at[key] = time.monotonic()
            await self._send(packet)
        self._wake.clear()
        return None

    def _next_snapshot(self) -> tuple[tuple[str, ...], float] | None:
        now = time.monotonic()
        if not self._snapshots:
            if len(self._sent_at) > _MAX_SNAPSHOTS:
                self._sent_at.clear()
            return None
        waits = ((key, self._sent_at.get(key, 0.0) + self._pause - now) for key in self._snapshots)
        return min(waits, key=lambda entry: entry[1])

    async def _send(self, packet: Packet) -> None:
        if self._seat is None:
            return
        to = packet.to
        if packet.receivers is not None:
            try:
                to = tuple(packet.receivers())
            except Exception:  # a plugin's function: it costs this snapshot
                log.exception("outbox.receivers_failed", hall=self._hall)
                return
            if not to:
                return  # an empty list would be everybody, to LiveKit
        self._sending = 1
        try:
            await self._seat.publish(packet.data, to=to, topic=packet.topic)
            metrics.SENT.inc()
        except LinkError as error:
            metrics.SEND_FAILURES.inc()
            log.warning("outbox.send_failed", hall=self._hall, error=str(error))
        finally:
            self._sending = 0
