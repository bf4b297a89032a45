"""A hall's events over HTTP: as they happen (server-sent events), and all of a session as a file.

Both give what the journal holds, in its order: `{"seq", "at" (ms since 1970), "kind", "body"}`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any, Final, Literal

import msgspec

from relay_bot.control.errors import ApiError
from relay_bot.control.hall_api import HallId
from relay_bot.control.hall_set import HallSet, hall_of
from relay_bot.control.operation import Call, Header, Operation
from relay_bot.control.stream import Streaming
from relay_bot.hall.feed import Feed, Subscription
from relay_bot.hall.hall import Hall
from relay_bot.journal.batch import EventRow, Unavailable
from relay_bot.journal.writer import Journal
from relay_bot.observe import metrics
from relay_bot.wire.body import Request

MAX_STREAMS: Final = 200
MAX_STREAMS_A_HALL: Final = 50
_ROWS_A_PIECE: Final = 200
HEARTBEAT_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 1.0
"""How often a silent stream looks whether its reader is still there."""

Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class FollowEvents(Request, frozen=True):
    """A hall, and after which event to begin (`since`); without one, at what happens from now on.

    `session`: the one that `since` counts in, as `stream_open` told it; another one is given from its beginning.
    """

    hall_id: HallId
    since: Seq | None = None
    session: int | None = None


class ExportEvents(Request, frozen=True):
    """A hall, and the form of the file."""

    hall_id: HallId
    format: Literal["jsonl"] = "jsonl"


class EventLine(msgspec.Struct, frozen=True):
    """An event as the journal holds it; `body` depends on the kind."""

    seq: int
    at: int
    kind: str
    body: msgspec.Raw


_encode: Final = msgspec.json.Encoder().encode


def _line(row: EventRow) -> bytes:
    _, seq, at, kind, body = row
    return _encode(EventLine(seq, at, kind, msgspec.Raw(body)))


class EventsApi:
    """Makes the operations on events; `feed_of` gives the feed that a hall's commits go to."""

    def __init__(self, halls: HallSet, journal: Journal, feed_of: Callable[[Hall], Feed]) -> None:
        self._halls = halls
        self._journal = journal
        self._feed_of = feed_of
        self._open: Counter[str] = Counter()

    def operations(self) -> list[Operation]:
        """List the operations."""
        path = "/v1/halls/{hall_id}"
        return [
            Operation(
                "GET",
                f"{path}/events",
                "events",
                "Follow a hall's events",
                FollowEvents,
                str,
                self._follow,
                headers=(Header("Last-Event-ID", "The last event seen: goes before `since` when it comes again."),),
                description=(
                    "Server-sent events, each after its commit: `id` is the event's seq, `event` its kind, `data` "
                    '`{"seq","at","kind","body"}`. The stream begins with `stream_open` `{"session","since"}` (each '
                    'session counts from 1) and ends with `stream_closed` `{"reason"}`: `too_slow`, `hall_over`, '
                    "`stopping` or `unavailable`. Come again with the last id, and nothing is missed."
                ),
                content_type="text/event-stream",
                errors=(404, 409, 503),
            ),
            Operation(
                "GET",
                f"{path}/export",
                "events",
                "Download all events of a hall session",
                ExportEvents,
                str,
                self._export,
                description="One JSON object a line, oldest first, up to the moment of the request.",
                content_type="application/x-ndjson",
                errors=(404, 409, 503),
            ),
        ]

    async def _follow(self, call: Call) -> Any:
        asked: FollowEvents = call.request
        hall = hall_of(self._halls, asked.hall_id)
        since = _seq_of(call.headers["Last-Event-ID"])
        if since is None:
            since = asked.since
        stream = EventFeed(hall, self._journal, self._feed_of(hall), since, asked.session, self._leave)
        self._enter(hall.name)
        return stream

    async def _export(self, call: Call) -> Any:
        return EventFile(hall_of(self._halls, call.request.hall_id), self._journal)

    def _enter(self, hall: str) -> None:
        if self._open[hall] >= MAX_STREAMS_A_HALL or self._open.total() >= MAX_STREAMS:
            metrics.DROPPED.labels("feed_followers").inc()
            raise ApiError(503, "busy", "too many follow events already", retry_after_ms=5000)
        self._open[hall] += 1

    def _leave(self, hall: str) -> None:
        self._open[hall] -= 1
        if not self._open[hall]:
            del self._open[hall]


def _seq_of(header: str) -> int | None:
    """Read Last-Event-ID; one that is no seq of ours counts for nothing, as browsers send what they like."""
    return int(header) if header.isascii() and header.isdigit() and len(header) <= 16 else None


def _session_of(hall: Hall) -> int:
    if hall.session is None:
        raise ApiError(409, "hall_not_active", "the hall has only begun; try again", retry_after_ms=1000)
    return hall.session.info.id


class EventFeed(Streaming):
    """What happens in a hall, after the replay of what a reader has missed, for as long as both last."""

    content_type = "text/event-stream"

    def __init__(
        self,
        hall: Hall,
        journal: Journal,
        feed: Feed,
        since: int | None,
        session: int | None,
        leave: Callable[[str], None],
    ) -> None:
        self._hall = hall.name
        self._journal = journal
        self._feed = feed
        self._session = _session_of(hall)
        if since is not None and (since > hall.seq or session not in (None, self._session)):
            since = 0  # counted in an earlier session
        self._since = since
        self._leave = leave
        self._subscription: Subscription | None = None
        self._stopped = False

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Give the events as server-sent events."""
        yield b"retry: 2000\n" + self._opening(self._since)
        after = 0
        try:
            async for rows in self._missed():
                after = rows[-1][1]
                yield b"".join(map(_sse, rows))
        except Unavailable:
            yield _said("stream_closed", {"reason": "unavailable"})
            return
        async for chunk in self._live(after):
            yield chunk

    async def _missed(self) -> AsyncGenerator[list[EventRow]]:
        """Read what the journal has, and follow the hall from there without a gap."""
        after = self._since
        while after is not None and not self._stopped:
            rows = await self._journal.read_events(self._session, after, _ROWS_A_PIECE)
            if rows:
                after = rows[-1][1]
                yield rows
            if len(rows) == _ROWS_A_PIECE:
                continue
            if self._subscription is not None:
                return
            self._subscription = self._feed.subscribe()  # and read once more what came before it

    async def _live(self, after: int) -> AsyncGenerator[bytes]:
        subscription = self._subscription = self._subscription or self._feed.subscribe()
        if self._stopped:
            subscription.end("stopping")
        spoke = time.monotonic()
        while True:
            waiting = await subscription.take(_ROWS_A_PIECE, _LOOK_SECONDS)
            parts: list[bytes] = []
            for row in waiting:
                if row[0] != self._session:
                    self._session, after = row[0], 0
                    parts.append(self._opening(0))
                if row[1] > after:
                    parts.append(_sse(row))
            if not waiting and subscription.ending is not None:
                yield _said("stream_closed", {"reason": subscription.ending})
                return
            if not parts and time.monotonic() - spoke >= HEARTBEAT_SECONDS:
                parts.append(b": still here\n\n")
            if parts:
                spoke = time.monotonic()
            yield b"".join(parts)

    def _opening(self, since: int | None) -> bytes:
        return _said("stream_open", {"session": self._session, "since": since})

    def stop(self) -> None:
        """See `Streaming.stop`."""
        self._stopped = True
        if self._subscription is not None:
            self._subscription.end("stopping")

    def close(self) -> None:
        """See `Streaming.close`."""
        if self._subscription is not None:
            self._feed.unsubscribe(self._subscription)
        self._leave(self._hall)


def _sse(row: EventRow) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (row[1], row[3].encode(), _line(row))


def _said(event: str, data: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.encode(), _encode(data))


class EventFile(Streaming):
    """All events of a session, up to the newest one when it was asked for."""

    content_type = "application/x-ndjson"

    def __init__(self, hall: Hall, journal: Journal) -> None:
        self._session = _session_of(hall)
        self._until = hall.seq
        self._journal = journal
        self.filename = f"events-{self._session}.jsonl"
        self._stopped = False

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Read the journal page by page."""
        after = 0
        while rows := await self._journal.read_events(self._session, after, _ROWS_A_PIECE):
            after = rows[-1][1]
            yield b"".join(_line(row) + b"\n" for row in rows if row[1] <= self._until)
            if after >= self._until:
                return
            if self._stopped:
                raise Unavailable("the endpoint closes")  # cut, so that the file isn't taken for a whole one

    def stop(self) -> None:
        """See `Streaming.stop`."""
        self._stopped = True

    def close(self) -> None:
        """See `Streaming.close`."""
