"""A crowd of real participants that joins the demo hall and votes.

It runs in a process of its own: the SDK's native part ends the process it is in when something goes badly
wrong, and that should not be the stack.
"""

import argparse
import asyncio
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc

from scripts.devstack.bars import Bars, Tally
from scripts.devstack.errors import StackError
from scripts.devstack.loopback import Answer, call
from scripts.devstack.participant import Access, Participant, Received, RefusedError
from scripts.devstack.voice import Voice

QUESTION = "What do we order for lunch?"
OPTIONS = ("Pizza", "Curry", "Salad", "Soup")
LIKED = (5, 3, 2, 1)  # so that the bars differ
JOINS_AT_ONCE = 8
_LEAVE_SECONDS = 2.0


@dataclass(slots=True)
class Outcome:
    """How the votes went."""

    answered: dict[str, int] = field(default_factory=lambda: {"RPC": 0, "packet": 0})
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list[str])


class Crowd:
    """One crowd, one poll."""

    def __init__(self, access: Access, hall: str, control_url: str, control_token: str, count: int) -> None:
        self._access = access
        self._hall = hall
        self._polls = f"{control_url}/v1/halls/{hall}"
        self._token = control_token
        self._count = count
        self._poll_id = f"crowd-{secrets.token_hex(3)}"
        self._people: list[Participant] = []
        self._outcome = Outcome()

    async def run(self, seconds: float) -> bool:
        """Join, open a poll, vote, show it. Returns whether every vote was answered and counted."""
        try:
            with Voice().busy(f"{self._count} participants join hall {self._hall}"):
                await self._join()
            await self._open(seconds)
            with Bars(QUESTION, self._count) as bars:
                voting = (self._vote(index, seconds) for index in range(self._count))
                async with asyncio.timeout(seconds + 30):
                    await asyncio.gather(self._show(bars), *voting)
            return await self._report()
        finally:
            await asyncio.gather(*(person.leave(_LEAVE_SECONDS) for person in self._people), return_exceptions=True)

    async def _join(self) -> None:
        places = asyncio.Semaphore(JOINS_AT_ONCE)
        run = secrets.token_hex(2)  # two crowds at once must not throw each other out

        async def one(number: int) -> None:
            async with places:
                name = f"Guest {number}"
                identity = f"guest-{run}-{number}"
                self._people.append(await Participant.join(self._access, self._hall, identity, name=name))

        await asyncio.gather(*(one(number) for number in range(1, self._count + 1)))

    async def _open(self, seconds: float) -> None:
        payload = {
            "poll_id": self._poll_id,
            "question": QUESTION,
            "options": list(OPTIONS),
            "duration_seconds": int(seconds) + 5,
        }
        for tries_left in reversed(range(20)):
            answer = await self._call("POST", "/interactions", {"type": "poll", "payload": payload})
            if answer.status < 300:
                return
            if answer.status != 409 or not tries_left:  # 409: the bot hasn't joined this hall yet
                raise StackError(f"the bot didn't open the poll: {answer.status} {answer.text[:200]}")
            await asyncio.sleep(0.5)

    async def _vote(self, index: int, seconds: float) -> None:
        person = self._people[index]
        door = ("RPC", "packet")[index % 2]
        await asyncio.sleep(random.uniform(0, seconds))
        [choice] = random.choices(range(len(OPTIONS)), LIKED)
        ballot = {"poll_id": self._poll_id, "option": choice}
        start = time.monotonic()
        try:
            await (person.rpc if door == "RPC" else person.request)("poll_response", ballot)
        except (RefusedError, rtc.RpcError, rtc.participant.PublishDataError, TimeoutError) as error:
            self._outcome.failures.append(f"{person.identity} by {door}: {error}")
            return
        self._outcome.answered[door] += 1
        self._outcome.slowest = max(self._outcome.slowest, time.monotonic() - start)

    async def _show(self, bars: Bars) -> None:
        """Draw what one of the crowd is told, until the poll is closed."""
        watcher = self._people[0]
        while True:
            if not watcher.connected:
                raise StackError("the hall was closed while the crowd was voting")
            tally = latest_tally(watcher.received, self._poll_id)
            bars.show(tally)
            if tally.closed:
                return
            await asyncio.sleep(0.1)

    async def _report(self) -> bool:
        """Say how it went, and check it against the control endpoint."""
        outcome = self._outcome
        answer = await self._call("GET", f"/polls/{self._poll_id}")
        counted = answer.body.get("total_voters")
        answered = sum(outcome.answered.values())
        print(
            f"{answered} of {self._count} votes answered ({outcome.answered['RPC']} by RPC, "
            f"{outcome.answered['packet']} by packet; the slowest after {outcome.slowest * 1000:.0f} ms); "
            f"the control endpoint counts {counted} voters"
        )
        for failure in outcome.failures[:5]:
            print(f"not answered: {failure}", file=sys.stderr)
        return answered == self._count == counted

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        return await asyncio.to_thread(call, method, self._polls + path, token=self._token, body=body)


def latest_tally(received: Sequence[Received], poll_id: str) -> Tally:
    """The newest results that came, by their `seq`: packets may come in any order."""
    told = [item for item in received if item.payload.get("poll_id") == poll_id]
    results = [item for item in told if item.type in {"poll_results", "poll_closed"}]
    if not results:
        return Tally(OPTIONS)
    newest = max(results, key=lambda item: int(item.payload.get("seq", 0))).payload
    return Tally(
        OPTIONS,
        tuple(newest.get("counts", ())),
        int(newest.get("total_voters", 0)),
        closed=any(item.type == "poll_closed" for item in results),
    )


async def _run(count: int, seconds: float) -> bool:
    """Run a crowd until it is done or SIGTERM comes."""
    env = os.environ
    access = Access(env["LIVEKIT_URL"], env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"])
    crowd = Crowd(access, env["RELAY_HALL"], env["RELAY_CONTROL_URL"], env["RELAY_CONTROL_TOKEN"], count)
    work = asyncio.create_task(crowd.run(seconds))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    return await work


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a crowd against the stack that the environment names."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float, help="over how long they vote")
    chosen = parser.parse_args(arguments)
    try:
        return 0 if asyncio.run(_run(chosen.count, chosen.seconds)) else 1
    except asyncio.CancelledError:
        return 130
    except TimeoutError:
        print("crowd: the hall didn't answer in time; is the stack still running?", file=sys.stderr)
    except (StackError, rtc.room.ConnectError) as error:
        print(f"crowd: {getattr(error, 'message', error)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
