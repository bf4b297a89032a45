"""Runs relay-bot as its users do, `relay-bot run --config …`, and talks to its control endpoint."""

import os
import secrets
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from bench.drive.bare import livekit_environment
from bench.errors import BenchError
from scripts.devstack.livekit_server import LiveKitServer, wait_until
from scripts.devstack.loopback import Answer, UnreachableError, call
from scripts.devstack.ports import LOOPBACK, free_port
from scripts.devstack.process import Child

_CHECKOUT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 30.0
_STOP_SECONDS = 10.0

Link = Literal["sdk", "native"]


class Tally(msgspec.Struct):
    """What a poll's page says, as far as the bench reads it."""

    counts: list[int]
    total_voters: int
    total_votes: int


class _Hall(msgspec.Struct):
    hall_id: str
    status: str


class _Halls(msgspec.Struct):
    halls: list[_Hall]


class RelayBot:
    """One relay-bot process with a database of its own.

    Args:
        name: For messages and file names.
        server: The LiveKit that it works for.
        directory: Where its configuration, database and log go.
        include: The globs of the halls that it serves.
        link: What it stands on; the native one's program has to be there.
        group: For how many an ack packet is, where it is not as the bot has it: see `bench.drive.grouped`.
    """

    identity = "relay-bot"
    answers = True

    def __init__(
        self,
        name: str,
        server: LiveKitServer,
        directory: Path,
        include: Sequence[str],
        link: Link = "sdk",
        group: str = "",
    ) -> None:
        self.name = name
        self._program = ["bench.drive.grouped", group] if group else ["relay_bot"]
        self.database = directory / f"{name}.db"
        self._server = server
        self._config = directory / f"{name}.yaml"
        self._log = directory / f"{name}.log"
        self._include = list(include)
        self._link = link
        self._token = secrets.token_hex(16)
        self._url = ""
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child

    def start(self, *, wait: bool = True) -> None:
        """Start the process and, unless told not to, wait until it is ready."""
        port = free_port()
        self._url = f"http://{LOOPBACK}:{port}"
        self._config.write_text(yaml.safe_dump(self._settings(port), sort_keys=False), "utf-8")
        environment = {
            "RELAY_CONTROL_TOKEN": self._token,
            "RELAY_DATABASE_URL": f"sqlite:///{self.database}",
        }
        self._child = Child(
            self.name,
            [sys.executable, "-m", *self._program, "run", "--config", self._config],
            log=self._log,
            env=os.environ | livekit_environment(self._server) | environment,
            cwd=_CHECKOUT,
        )
        self._child.start()
        if wait and not wait_until(self._is_ready, _READY_SECONDS):
            raise BenchError(f"{self.name} is not ready after {_READY_SECONDS:g} s: {self._child.tail(3)}")

    def _settings(self, port: int) -> dict[str, object]:
        return {
            "halls": {"include": self._include, "reconcile_seconds": 1},
            "control": {"host": LOOPBACK, "port": port},
            # The bench measures what a message costs, not how one is refused.
            "gate": {"rates": {"poll_response": {"per_second": 1_000_000, "burst": 1_000_000}}},
            "link": {"kind": self._link},
            "plugins": {"polls": {"required": True}},
            "log": {"level": "warning"},
        }

    def _is_ready(self) -> bool:
        return self.try_call("GET", "/ready") is not None

    def try_call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer | None:
        """One request to the control endpoint; `None` unless it was answered with a 2xx."""
        child = self._running()
        if not child.running:
            raise BenchError(f"{self.name} has ended (exit code {child.exit_code}): {child.tail(3)}")
        try:
            answer = call(method, self._url + path, token=self._token, body=body, timeout=10)
        except UnreachableError:
            return None
        return answer if 200 <= answer.status < 300 else None

    def open_poll(self, hall: str, poll_id: str, options: int, *, seconds: float = 30.0) -> None:
        """Open a poll as a backend does; waits for the hall to be joined."""
        payload = {
            "poll_id": poll_id,
            "question": "Which?",
            "options": [f"option {n}" for n in range(options)],
        }
        body = {"type": "poll", "payload": payload}
        path = f"/v1/halls/{hall}/interactions"
        if not wait_until(lambda: self.try_call("POST", path, body) is not None, seconds, pause=0.1):
            raise BenchError(f"{self.name} opened no poll in {hall} within {seconds:g} s")
        if self.tally(hall, poll_id) is None:
            raise BenchError(f"{self.name} passed the poll on, but has none: is the polls plugin loaded?")

    def wait_for_answer(self) -> float:
        """Wait until a process that was just started answers; gives the last moment at which it did not."""
        end = time.monotonic() + _READY_SECONDS
        while (asked := time.monotonic()) < end:
            if self.try_call("GET", "/health") is not None:
                return asked
            time.sleep(0.005)
        raise BenchError(f"{self.name} does not answer after {_READY_SECONDS:g} s: {self._running().tail(3)}")

    def wait_for_halls(self, halls: Sequence[str], *, seconds: float = 60.0, pause: float = 0.5) -> None:
        """Wait until the bot is in all of these halls, asking it every `pause` seconds."""

        def are_joined() -> bool:
            answer = self.try_call("GET", "/v1/halls")
            if answer is None:
                return False
            served = msgspec.json.decode(answer.text, type=_Halls).halls
            return {hall.hall_id for hall in served if hall.status == "live"} >= set(halls)

        if not wait_until(are_joined, seconds, pause=pause):
            raise BenchError(f"{self.name} is not in all of {len(halls)} halls after {seconds:g} s")

    def tally(self, hall: str, poll_id: str) -> Tally | None:
        """The poll as it stands; `None` while the bot can't say."""
        answer = self.try_call("GET", f"/v1/halls/{hall}/polls/{poll_id}")
        return None if answer is None else msgspec.json.decode(answer.text, type=Tally)

    def votes_kept(self) -> int:
        """How many votes are in the journal, by the database itself."""
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("SELECT count(*) FROM events WHERE kind = 'polls.voted'").fetchone()
        return int(found)

    def kill(self) -> None:
        """End it as a crash would."""
        self._running().kill()

    def close(self) -> None:
        if self._child is not None:
            self._child.stop(_STOP_SECONDS)
