"""Keeps the bot in its room: joins, joins again after a lost connection, and knows when not to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import structlog

from relay_bot.hall.mailbox import Mailbox
from relay_bot.hall.pauses import pause
from relay_bot.hall.services import EffectFailed, Services
from relay_bot.link import Arrival, LinkError, Lost, Reason, Seat
from relay_bot.observe import metrics

log = structlog.get_logger("seat")


class Seated(msgspec.Struct, frozen=True):
    """The bot is in the room; all who were there have arrived before this."""

    seat: Seat


class Unseated(msgspec.Struct, frozen=True):
    """The bot is not in the room any more and will not try again; `reason` says why.

    `sid` is the room in which it was last: a listing may have named its successor before.
    """

    reason: Reason
    sid: str


class _Ear:
    """The sink of one attempt to join: what comes for a seat that was given up since is not heard."""

    def __init__(self, keeper: SeatKeeper) -> None:
        self._keeper = keeper

    def arrive(self, arrivals: Sequence[Arrival]) -> None:
        """See `Sink.arrive`."""
        self._keeper.arrive(arrivals, self)


class SeatKeeper:
    """Holds the seat of one hall. `run` notes `Seated`, `Lost` and at last `Unseated` in the mailbox.

    It may be run again after it failed: the seat that it had is given up first.
    """

    def __init__(self, hall: str, services: Services, mailbox: Mailbox) -> None:
        self._hall = hall
        self._services = services
        self._mailbox = mailbox
        self._lost: asyncio.Future[Lost] | None = None
        self._ear: _Ear | None = None
        self.seat: Seat | None = None

    def arrive(self, arrivals: Sequence[Arrival], ear: _Ear) -> None:
        """Pass the link's arrivals on, and hear when the seat is lost."""
        if ear is not self._ear:
            return
        self._mailbox.arrive(arrivals)
        for arrival in arrivals:
            if isinstance(arrival, Lost) and self._lost is not None and not self._lost.done():
                self._lost.set_result(arrival)

    async def run(self) -> None:
        """Keep the seat until there is a reason not to."""
        failures = 0
        sid = ""
        await self._give_up()
        while True:
            self._lost = asyncio.get_running_loop().create_future()
            self._ear = _Ear(self)
            try:
                self.seat = await self._services.link.join(
                    self._services.settings.livekit.url, self._services.rooms.bot_token(self._hall), self._ear
                )
            except LinkError as error:
                metrics.JOINS.labels("failed").inc()
                log.warning("hall.join_failed", hall=self._hall, error=str(error))
                failures += 1
            else:
                metrics.JOINS.labels("joined").inc()
                failures = 0
                self._mailbox.note(Seated(self.seat))
                if self._services.settings.bot.in_room_metadata:
                    await self._name_bot()
                lost = await self._lost
                sid, self.seat = self.seat.sid, None
                log.info("hall.seat_lost", hall=self._hall, reason=lost.reason.value, detail=lost.detail)
                if lost.reason is not Reason.NETWORK:
                    self._mailbox.note(Unseated(lost.reason, sid))
                    return
            await asyncio.sleep(pause(failures))
            if not await self._room_exists():
                self._mailbox.note(Unseated(Reason.NETWORK, sid))
                return
            if failures and await self._is_taken():
                log.info("hall.seat_taken", hall=self._hall)
                self._mailbox.note(Unseated(Reason.DUPLICATE, sid))
                return

    async def _give_up(self) -> None:
        """Leave the seat of a run that failed: joining beside it would throw it out, which looks like another bot."""
        if self.seat is not None:
            self._ear = None
            self._mailbox.note(Lost(Reason.NETWORK, "the connection's task failed"))
            await self.leave()

    async def leave(self) -> None:
        """Give the seat up."""
        if self.seat is not None:
            seat, self.seat = self.seat, None
            await seat.leave()

    async def _name_bot(self) -> None:
        try:
            await self._services.rooms.name_bot(self._hall)
        except EffectFailed as error:  # clients have it from `hall_state` and `/join` as well
            log.warning("hall.not_in_metadata", hall=self._hall, error=str(error))

    async def _room_exists(self) -> bool:
        """Wait until LiveKit says whether the room is there: joining a room that is not would make one."""
        failures = 0
        while True:
            try:
                return await self._services.rooms.exists(self._hall)
            except EffectFailed:
                failures += 1
                await asyncio.sleep(pause(failures))

    async def _is_taken(self) -> bool:
        """Tell whether another bot is in the room: it threw us out while we were joining, and nobody told us."""
        try:
            presences = await self._services.rooms.presences(self._hall)
        except EffectFailed:
            return False
        own = self._services.settings.bot.identity
        return any(presence.identity == own and presence.active for presence in presences)
