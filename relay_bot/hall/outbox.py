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
from relay_bot.link.packets import MAX_PACKET, addressed, addressee_size, group_size
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
_DELIVERIES_A_SECOND: Final = 2_000
"""Packets of one snapshot that the SFU delivers each second: in a larger hall its newer ones come less often."""
_ACKS_AHEAD: Final = 32
"""Acks that may be on their way through the link at once."""
_LONGEST_PAUSE: Final = 2.5


class Packet(msgspec.Struct, frozen=True, gc=False):
    """Bytes for some identities; `to` empty = everybody."""

    data: bytes
    to: tuple[str, ...] = ()
    topic: str = TOPIC
    receivers: Callable[[], Iterable[str]] | None = None
    """Where it is set, it gives the identities when the packet leaves, and `to` doesn't count."""
    ack: bool = False
    """Somebody waits for it: it goes between the packets of a snapshot that is on its way to a crowd."""


class AckGroups:
    """Gathers the answers of one commit into packets that answer many senders each, as many as is cheapest.

    A client takes an ack for its own by the id alone, so an id never goes to a sender who waits for the same one:
    of equal ids each gets a packet to its sender only, and so do ids too short to be random. `link` is the kind of
    the link that they go over, see `group_size`; without it a packet has as many as it can.
    """

    def __init__(self, link: str | None = None) -> None:
        self.packets: list[Packet] = []
        self._link = link
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
        shared, self._shared = self._shared, {}
        if not shared:
            return
        senders = {identity: number for number, identity in enumerate(dict.fromkeys(shared.values()))}
        sizes = {message_id: _id_size(message_id) for message_id in shared}
        most = len(senders)
        if self._link is not None:
            in_all = sum(sizes.values()) + sum(map(addressee_size, senders))
            most = group_size(len(senders), in_all / len(senders), self._link)
        groups: list[list[str]] = [[] for _ in range(0, len(senders), most)]
        for message_id, identity in shared.items():
            groups[senders[identity] // most].append(message_id)
        for group in groups:
            self._share(group, sizes, shared)

    def _share(self, ids: list[str], sizes: dict[str, int], shared: dict[str, str]) -> None:
        """Make the packets of a group: several where its ids are too many for an envelope."""
        start, room = 0, _ACK_ROOM
        for index, message_id in enumerate(ids):
            if sizes[message_id] > room:
                self._share_one(ids[start:index], shared)
                start, room = index, _ACK_ROOM
            room -= sizes[message_id]
        self._share_one(ids[start:], shared)

    def _share_one(self, ids: list[str], shared: dict[str, str]) -> None:
        self._add("ack", {"ids": ids}, tuple(dict.fromkeys(shared[message_id] for message_id in ids)))

    def _add(self, kind: str, payload: dict[str, Any], to: tuple[str, ...]) -> None:
        data = encode_envelope(kind, payload, at_ms=self._at_ms)
        if len(data) > MAX_ENVELOPE_BYTES:
            kept = {"ids": payload["ids"]} if kind == "ack" else {**payload, "message": "refused"}
            data = encode_envelope(kind, kept, at_ms=self._at_ms)
        self.packets.append(Packet(data, to, ack=True))


def _id_size(message_id: str) -> int:
    return len(_encoder.encode(message_id)) + 1  # with its escapes, and a comma


def _nobody() -> int:
    return 0


class Outbox:
    """Sends a hall's packets through its seat, one at a time and in order, in parts where there are many addressees.

    However many votes arrive, of one thing at most so many snapshots a second leave, and fewer the more there are who
    get them (`crowd` tells how many are in the hall). `link` is the kind of the link.
    """

    def __init__(
        self, hall: str, snapshots_per_second: float, link: str = "", crowd: Callable[[], int] = _nobody
    ) -> None:
        self._hall = hall
        self._link = link
        self._crowd = crowd
        self._turn = asyncio.Lock()
        """Held by who takes a packet out until it is sent: at a stop two do."""
        self._pause = 1 / snapshots_per_second
        self._packets: deque[Packet] = deque()
        self._snapshots: dict[tuple[str, ...], Packet] = {}
        self._sent_at: dict[tuple[str, ...], float] = {}
        self._wake = asyncio.Event()
        self._seat: Seat | None = None
        self._sending = 0
        self._put = self._out = 0
        """How many packets were queued so far, and how many of them are sent or given up."""
        self._marks: deque[tuple[int, int]] = deque()
        self.said = 0
        """The last event that all has been said of, see `mark`."""
        self.on_said: Callable[[], None] | None = None
        """Called when `said` has changed."""

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
            self._put += 1
            metrics.OUTBOX.inc()
        self._wake.set()

    def mark(self, seq: int) -> None:
        """Take note that all that is to be said of the events up to this one is queued."""
        self._marks.append((self._put, seq))
        self._note_said()

    def _note_said(self) -> None:
        before = self.said
        while self._marks and self._marks[0][0] <= self._out:
            self.said = self._marks.popleft()[1]
        if self.said != before and self.on_said is not None:
            self.on_said()

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
        self._marks.clear()
        self._out = self._put
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
                while self._seat is not None and (self._packets or self._sending):
                    await self._send_next()
        except TimeoutError:
            log.warning("outbox.unsent", hall=self._hall, packets=len(self._packets))

    async def _send_waiting(self) -> float | None:
        """Send all that may leave now; gives the seconds until a throttled snapshot may, or `None`."""
        while self._seat is not None:
            self._wake.clear()
            if self._packets:
                await self._send_next()
                continue
            due = self._next_snapshot()
            if due is None:
                return None
            key, wait = due
            if wait > 0:
                return wait
            await self._send_snapshot(key)
        self._wake.clear()
        return None

    def _next_snapshot(self) -> tuple[tuple[str, ...], float] | None:
        now = time.monotonic()
        if not self._snapshots:
            if len(self._sent_at) > _MAX_SNAPSHOTS:
                self._sent_at.clear()
            return None
        pause = max(self._pause, min(self._crowd() / _DELIVERIES_A_SECOND, _LONGEST_PAUSE))
        waits = ((key, self._sent_at.get(key, 0.0) + pause - now) for key in self._snapshots)
        return min(waits, key=lambda entry: entry[1])

    async def _send_next(self) -> None:
        async with self._turn:
            if self._packets and self._packets[0].ack:
                await self._send_acks()
            elif self._packets:
                await self._send_first()

    async def _send_acks(self) -> None:
        """Send the acks that come first, without waiting for one before the next: a link keeps the order of calls."""
        acks: list[Packet] = []
        while self._packets and self._packets[0].ack and len(acks) < _ACKS_AHEAD:
            acks.append(self._packets.popleft())
        metrics.OUTBOX.dec(len(acks))
        self._sending += len(acks)  # from now on: their tasks begin a turn of the loop later
        try:
            failures = await asyncio.gather(*map(self._send, acks), return_exceptions=True)
        finally:
            self._sending -= len(acks)
        self._out += len(acks)
        self._note_said()
        for failure in failures:
            if failure is not None:
                raise failure

    async def _send_first(self) -> None:
        metrics.OUTBOX.dec()
        packet = self._packets.popleft()
        try:
            await self._send(packet)
        except Exception:
            self._is_out()
            raise
        self._is_out()  # where it was cancelled it may not have left: that is said again after a restart

    def _is_out(self) -> None:
        self._out += 1
        self._note_said()

    async def _send_snapshot(self, key: tuple[str, ...]) -> None:
        async with self._turn:
            packet = self._snapshots.pop(key, None)
            if packet is not None:
                self._sent_at[key] = time.monotonic()
                await self._send(packet, acks_between=True)

    async def _send(self, packet: Packet, *, acks_between: bool = False) -> None:
        to = self._addressees(packet)
        if to is None:
            return
        parts = 0
        for part in addressed(len(packet.data), to, packet.topic, self._link):
            while acks_between and parts and self._packets and self._packets[0].ack:
                await self._send_acks()
            parts += 1
            await self._publish(packet, part)
        if not parts:
            metrics.DROPPED.labels("too_large").inc()
            log.error("outbox.too_large", hall=self._hall, size=len(packet.data), most=MAX_PACKET)

    def _addressees(self, packet: Packet) -> Sequence[str] | None:
        """Give whom a packet goes to, nobody named for everybody; `None` where it goes to nobody."""
        if packet.receivers is None:
            return packet.to
        try:
            return tuple(packet.receivers()) or None  # an empty list would be everybody, to LiveKit
        except Exception:  # a plugin's function: it costs this snapshot
            log.exception("outbox.receivers_failed", hall=self._hall)
            return None

    async def _publish(self, packet: Packet, to: Sequence[str]) -> None:
        seat = self._seat
        if seat is None:
            return
        self._sending += 1
        try:
            await seat.publish(packet.data, to=to, topic=packet.topic)
            metrics.SENT.inc()
        except LinkError as error:
            metrics.SEND_FAILURES.inc()
            log.warning("outbox.send_failed", hall=self._hall, error=str(error))
        finally:
            self._sending -= 1
