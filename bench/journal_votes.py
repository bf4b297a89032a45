"""A hall without LiveKit: real gate, codec, plugins and journal, between a link that is a list and nobody to hear.

It answers two questions. How many durable votes a second do the polls plugin and its journal on SQLite take
on one core? And (for the scenario `restart`) what does a bot leave behind that was killed after so many votes?
Run as a process of its own, because the first is about one core and the second ends without saying goodbye:

    python -m bench.journal_votes --votes 200000
    python -m bench.journal_votes --votes 100000 --voters 100000 --with-ids --database bot.db --room-sid RM_x --killed
"""

import argparse
import asyncio
import os
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from bench.no_rooms import NoRooms
from relay_bot.hall.hall import Hall
from relay_bot.hall.plugins import load_plugins
from relay_bot.hall.services import Services
from relay_bot.hall.shelf import Shelf
from relay_bot.hall.watchdog import Watchdog
from relay_bot.journal.writer import Journal
from relay_bot.link import Arrival, Frame, Joined, Presence, Seat, Sink
from relay_bot.observe import logs
from relay_bot.settings import GateSettings, LogSettings, Rate, Settings, StorageSettings
from relay_bot.tuning import tune_interpreter

OPTIONS = 4
_HOST = "host"
_FRAMES_AT_ONCE = 250
_JOINS_AT_ONCE = 5_000
_MOST_UNDECIDED = 8_000  # below the mailbox's bound: nothing is refused as `busy`
_LIMIT = 40.0


class Result(msgspec.Struct):
    """Votes that were durable after so many seconds (of the wall, and of CPU)."""

    votes: int
    seconds: float
    cpu_seconds: float


class Plan(msgspec.Struct, frozen=True):
    """How many vote how often, and where it is kept."""

    votes: int
    voters: int
    with_ids: bool
    database: Path
    hall: str
    room_sid: str
    poll: str


class _Answer(msgspec.Struct):
    type: str
    payload: dict[str, object]


class _ListLink:
    """A link whose room is in memory: it hands over what the bench gives it, and listens for one ack."""

    name = "list"

    def __init__(self, room_sid: str) -> None:
        self.sid = room_sid
        self.sink: Sink | None = None
        self._awaited: dict[bytes, asyncio.Future[bytes]] = {}

    async def join(self, url: str, token: str, sink: Sink) -> Seat:
        self.sink = sink
        return self

    async def close(self) -> None:
        return

    async def leave(self) -> None:
        return

    async def publish(self, data: bytes, *, to: Sequence[str], topic: str, reliable: bool = True) -> None:
        for message_id, answer in self._awaited.items():
            if message_id in data and not answer.done():
                answer.set_result(data)

    def bring(self, arrivals: Sequence[Arrival]) -> None:
        """Let the hall hear of frames and joins."""
        assert self.sink is not None
        self.sink.arrive(arrivals)

    async def ask(self, sender: str, data: bytes, message_id: str) -> None:
        """Send a message with an id and wait for its ack."""
        answer = self._awaited[message_id.encode()] = asyncio.get_running_loop().create_future()
        self.bring([Frame(data, sender, time.monotonic())])
        said = msgspec.json.decode(await answer, type=_Answer)
        del self._awaited[message_id.encode()]
        if said.type != "ack":
            sys.exit(f"the hall answered with {said.payload}")


def _presence(identity: str) -> Presence:
    return Presence(
        identity=identity,
        name="",
        metadata="",
        attributes={"relay.role": "host" if identity == _HOST else "viewer"},
        active=False,  # nobody waits for a greeting here
        hidden=False,
        can_publish=False,
        can_publish_data=True,
        can_subscribe=True,
        can_update_metadata=False,
    )


def _envelope(kind: str, payload: dict[str, object], sender: str, message_id: str | None) -> bytes:
    envelope: dict[str, object] = {
        "relay_version": "1",
        "type": kind,
        "sender_id": sender,
        "timestamp": "2026-01-31T10:00:00.000Z",
        "payload": payload,
    }
    if message_id is not None:
        envelope["id"] = message_id
    return msgspec.json.encode(envelope)


def _votes(plan: Plan) -> Iterator[tuple[str, bytes]]:
    """Everybody votes in turn, each time for another option than the time before: no vote changes nothing."""
    for number in range(plan.votes):
        sender = f"voter-{number % plan.voters}"
        payload: dict[str, object] = {
            "poll_id": plan.poll,
            "option": (number % plan.voters + number // plan.voters) % OPTIONS,
        }
        yield sender, _envelope("poll_response", payload, sender, str(uuid.uuid4()) if plan.with_ids else None)


async def measure(plan: Plan, *, killed: bool) -> Result:
    """Cast the votes; the clock runs from the first frame to the ack that says that all are durable.

    Args:
        plan: What to do.
        killed: End the process right after, as kill -9 would: no last snapshot, no goodbye.
    """
    any_rate = {kind: Rate(1_000_000, 1_000_000) for kind in ("poll_response", "default")}
    settings = Settings(gate=GateSettings(rates=any_rate), storage=StorageSettings(f"sqlite:///{plan.database}"))
    journal = Journal(settings.storage.url)
    await journal.start()
    link = _ListLink(plan.room_sid)
    plugins = load_plugins({"polls": {"required": True}}, plan.database.parent)
    shelf = Shelf(journal, settings.storage.max_shelved)
    hall = Hall(plan.hall, plan.room_sid, Services(settings, journal, link, NoRooms(), plugins, Watchdog(), shelf))
    serving = asyncio.create_task(hall.run())
    try:
        async with asyncio.timeout(_LIMIT):
            await _fill(link, hall, [_HOST, *(f"voter-{number}" for number in range(plan.voters))])
            await _open_poll(link, plan)
            # Who joined is journaled as well, and is no part of this.
            while not hall.is_settled():  # noqa: ASYNC110 (the hall has no event for it)
                await asyncio.sleep(0.01)
            votes = list(_votes(plan))
            started, cpu_before = time.perf_counter(), time.process_time()
            await _cast(link, hall, votes)
            result = Result(plan.votes, time.perf_counter() - started, time.process_time() - cpu_before)
    except TimeoutError:
        sys.exit(f"the hall was not done after {_LIMIT:g} s: {hall.summary()}")
    _require_kept(plan)
    if killed:
        _print_and_die(result)
    hall.stop()
    await serving
    await journal.stop()
    return result


async def _fill(link: _ListLink, hall: Hall, identities: Sequence[str]) -> None:
    """Wait for the hall to be live, then let everybody join, a few thousand at a time as its mailbox has it."""
    while not hall.active:  # noqa: ASYNC110 (the hall has no event for it)
        await asyncio.sleep(0.01)
    for start in range(0, len(identities), _JOINS_AT_ONCE):
        some = identities[start : start + _JOINS_AT_ONCE]
        link.bring([Joined(_presence(identity), time.monotonic()) for identity in some])
        while len(hall.roster) < start + len(some):  # noqa: ASYNC110 (the same)
            await asyncio.sleep(0.01)


async def _open_poll(link: _ListLink, plan: Plan) -> None:
    payload: dict[str, object] = {
        "poll_id": plan.poll,
        "question": "Which?",
        "options": [f"option {number}" for number in range(OPTIONS)],
    }
    message_id = str(uuid.uuid4())
    await link.ask(_HOST, _envelope("poll", payload, _HOST, message_id), message_id)


async def _cast(link: _ListLink, hall: Hall, votes: Sequence[tuple[str, bytes]]) -> None:
    """Hand the votes over as a link does, in lists, never so many that the hall would refuse some."""
    before = hall.seq
    sent = 0
    while sent < len(votes):
        if sent - (hall.seq - before) > _MOST_UNDECIDED:
            await asyncio.sleep(0.001)
            continue
        stamp = time.monotonic()
        link.bring([Frame(data, sender, stamp) for sender, data in votes[sent : sent + _FRAMES_AT_ONCE]])
        sent += _FRAMES_AT_ONCE
        await asyncio.sleep(0)
    # Commits are in order: the ack to what is sent after the votes says that these are durable.
    message_id = str(uuid.uuid4())
    await link.ask(_HOST, _envelope("bench", {}, _HOST, message_id), message_id)


def _require_kept(plan: Plan) -> None:
    with closing(sqlite3.connect(f"{plan.database.as_uri()}?mode=ro", uri=True)) as connection:
        (kept,) = connection.execute("SELECT count(*) FROM events WHERE kind = 'polls.voted'").fetchone()
    if kept != plan.votes:
        sys.exit(f"the journal has {kept} of {plan.votes} votes")


def _print_and_die(result: Result) -> None:
    print(msgspec.json.encode(result).decode(), flush=True)
    os._exit(0)


def _pin_to_one_core() -> None:
    """The journal's thread shares the core with the hall's: that is what "on one core" means."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.journal_votes", description="A hall without LiveKit.")
    parser.add_argument("--votes", type=int, default=200_000)
    parser.add_argument("--voters", type=int, default=10_000)
    parser.add_argument("--with-ids", action="store_true", help="each vote has an id, so its answer is kept too")
    parser.add_argument("--database", type=Path, help="where to keep it (a temporary folder)")
    parser.add_argument("--hall", default="bench")
    parser.add_argument("--room-sid", default="RM_bench")
    parser.add_argument("--poll", default="bench")
    parser.add_argument("--killed", action="store_true", help="end without saying goodbye")
    arguments = parser.parse_args()
    logs.configure(LogSettings(level="warning"))
    tune_interpreter()
    _pin_to_one_core()
    with ExitStack() as owned:
        database = arguments.database
        if database is None:
            database = Path(owned.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-"))) / "bench.db"
        plan = Plan(
            arguments.votes,
            arguments.voters,
            arguments.with_ids,
            database.absolute(),
            arguments.hall,
            arguments.room_sid,
            arguments.poll,
        )
        print(msgspec.json.encode(asyncio.run(measure(plan, killed=arguments.killed))).decode())


if __name__ == "__main__":
    main()
