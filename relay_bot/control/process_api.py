"""The process itself on the control endpoint: health, metrics, the description of all routes, LiveKit's webhooks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from relay_bot.control.hall_set import HallSet
from relay_bot.control.operation import Call, Operation, read_body
from relay_bot.hall.supervisor import Trouble
from relay_bot.journal.batch import Unavailable
from relay_bot.journal.writer import Journal
from relay_bot.livekit.webhooks import WebhookRefused, Webhooks
from relay_bot.observe import metrics
from relay_bot.wire.body import Request
from relay_bot.wire.clock import iso, now_ms

log = structlog.get_logger("control")

_PROBE_SECONDS: Final = 3.0
_MAX_DETAILS: Final = 100


class Anything(Request, frozen=True, forbid_unknown_fields=False):
    """Nothing; what a prober adds against caches is ignored."""


class Health(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: str
    timestamp: str


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the bot can do its work, part by part.

    `details` names what does not work, at most a hundred parts: one hall's does not make the bot unready.
    """

    status: str
    database: str
    livekit: str
    halls: dict[str, int]
    details: tuple[Trouble, ...] = ()


class ProcessApi:
    """Makes the operations on the process."""

    def __init__(
        self,
        halls: HallSet,
        journal: Journal,
        openapi: Callable[[], dict[str, Any]],
        troubles: Callable[[], list[Trouble]] = list,
        livekit_trouble: Callable[[], str] = str,
    ) -> None:
        self._halls = halls
        self._journal = journal
        self._openapi = openapi
        self._of_process = troubles
        self._livekit_trouble = livekit_trouble
        self._document: dict[str, Any] | None = None

    def operations(self) -> list[Operation]:
        """List the operations; none of them needs the token."""

        def public(path: str, summary: str, answer: Any, run: Any, **more: Any) -> Operation:
            return Operation("GET", path, "process", summary, Anything, answer, run, public=True, **more)

        return [
            public("/health", "Tell that the process is alive", Health, self._health),
            public("/ready", "Tell whether the bot can do its work", Ready, self._ready, other_answers={503: Ready}),
            public("/metrics", "Metrics for Prometheus", str, self._metrics, content_type="text/plain"),
            public("/openapi.json", "This description", dict[str, Any], self._describe),
        ]

    async def _health(self, call: Call) -> Any:
        return Health("ok", iso(now_ms()))

    async def _ready(self, call: Call) -> Any:
        states: dict[str, int] = {}
        for hall in self._halls.all():
            states[hall.status] = states.get(hall.status, 0) + 1
        database, livekit = await asyncio.gather(self._database(), self._livekit())
        ok = database == livekit == "ok"
        body = Ready("ok" if ok else "not_ready", database, livekit, states, tuple(self._troubles()[:_MAX_DETAILS]))
        return web.Response(body=msgspec.json.encode(body), status=200 if ok else 503, content_type="application/json")

    def _troubles(self) -> list[Trouble]:
        return self._of_process() + [trouble for hall in self._halls.all() for trouble in hall.troubles()]

    async def _database(self) -> str:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._journal.probe()
        except Unavailable as error:
            return str(error)
        except TimeoutError:
            return "not answering"
        return "ok"

    async def _livekit(self) -> str:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return "ok" if await self._halls.hears_livekit() else self._livekit_trouble() or "not answering"
        except TimeoutError:
            return "not answering"

    async def _metrics(self, call: Call) -> Any:
        states: dict[str, int] = dict.fromkeys(("starting", "live", "away", "degraded"), 0)
        for hall in self._halls.all():
            states[hall.status] = states.get(hall.status, 0) + 1
        metrics.MAILBOX.set(sum(hall.waiting for hall in self._halls.all()))
        metrics.PARTICIPANTS.set(sum(len(hall.roster) for hall in self._halls.all()))
        metrics.DEAD_EFFECTS.set(sum(hall.dead_effects for hall in self._halls.all()))
        metrics.NOT_WORKING.clear()
        for part, count in Counter(trouble.part for trouble in self._troubles()).items():
            metrics.NOT_WORKING.labels(part).set(count)
        for state, count in states.items():
            metrics.HALLS.labels(state).set(count)
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _describe(self, call: Call) -> Any:
        if self._document is None:  # made once: anybody may ask
            self._document = self._openapi()
        return self._document


class Hints(Protocol):
    """Takes hints of rooms that may be there."""

    def found(self, name: str, sid: str) -> None:
        """Hear of a room."""
        ...


def webhook_handler(webhooks: Webhooks, halls: Hints) -> Callable[[web.Request], Any]:
    """Make the handler of `POST /livekit/webhook`: LiveKit's own signature is its authentication."""

    async def handle(request: web.Request) -> web.Response:
        body = await read_body(request)
        try:
            event = webhooks.receive(body, request.headers.get("Authorization", ""))
        except WebhookRefused as error:
            metrics.WEBHOOKS.labels("refused").inc()
            log.warning("webhook.refused", error=str(error))
            return web.json_response(
                {"error": {"type": "unauthorized", "code": "unauthorized", "message": "not LiveKit's signature"}},
                status=401,
            )
        metrics.WEBHOOKS.labels("taken" if event else "repeated").inc()
        if event is not None and event.event in ("room_started", "participant_joined") and event.room.name:
            halls.found(event.room.name, event.room.sid)
        return web.json_response({"received": True})

    return handle
