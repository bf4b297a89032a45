"""The real bot for tests: a child process that can be killed and started again on the same database and port."""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import aiohttp
import yaml

from scripts.devstack.ports import LOOPBACK, free_port
from scripts.devstack.process import Child
from tests.support import links
from tests.support.livekit_server import LiveKit

__all__ = ["Answer", "Bot", "StartBot", "eventually"]

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
READY_SECONDS = 30.0
STOP_SECONDS = 15.0  # the app's own limits for its stages, a busy machine added
LIVE_SECONDS = 20.0


class Answer(NamedTuple):
    """What the control endpoint answered."""

    status: int
    body: dict[str, Any]


async def eventually(
    look: Callable[[], Awaitable[T | None]], what: str, *, limit: float = 10.0, pause: float = 0.05
) -> T:
    """Look again and again until there is something (neither `None` nor false), and give it.

    Raises:
        TimeoutError: There was nothing in time; the text has `what` and the last look.
    """
    end = time.monotonic() + limit
    while not (found := await look()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {limit:g} s; last seen: {found!r}")
        await asyncio.sleep(pause)
    return found


class StartBot(Protocol):
    """What the `start_bot` fixture gives: a running bot that is stopped after the test."""

    async def __call__(self, *halls: str, **options: Any) -> "Bot":
        """Start a bot for these halls (none = one for the test's own); the options are those of `Bot`."""
        ...


class Bot:
    """`python -m relay_bot run` on a configuration, a database and a log file of its own.

    Args:
        livekit: The server that it joins.
        folder: Where all its files go.
        halls: The rooms that it may serve, as patterns: other tests' rooms are on the same server.
        identity: How it is called in the halls.
        database: Its database, where it isn't `folder/relay.db`.
        port: The control endpoint's port; a free one if left out.
        link: Its `link.kind`, said because what `auto` is depends on what this machine has built.
        settings: More of `config.yaml`, by section.
    """

    def __init__(
        self,
        livekit: LiveKit,
        folder: Path,
        *,
        halls: Sequence[str],
        identity: str = "relay-bot",
        database: Path | None = None,
        port: int | None = None,
        link: str = links.DEFAULT,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.livekit = livekit
        self.folder = folder
        self.identity = identity
        self.link = link
        self.halls = list(halls)
        self.database = database or folder / "relay.db"
        self.port = port or free_port()
        self.log = folder / "bot.log"
        self.token = secrets.token_hex(16)
        self._expected: set[str] = set()
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(self._settings(settings or {}), sort_keys=False), "utf-8")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("RELAY_", "LIVEKIT_"))}
        self._child = Child(
            "relay-bot",
            [sys.executable, "-m", "relay_bot", "run", "--config", self.config],
            log=self.log,
            env=environment | livekit.env | {"RELAY_CONTROL_TOKEN": self.token} | self._link_program(),
            cwd=ROOT,
        )

    def _settings(self, more: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        made: dict[str, dict[str, Any]] = {
            "bot": {"identity": self.identity},
            "halls": {"include": self.halls, "reconcile_seconds": 0.3},
            "control": {"host": LOOPBACK, "port": self.port},
            "storage": {"url": f"sqlite:///{self.database}"},
            "log": {"level": "info", "format": "json"},
            "link": {"kind": self.link},
        }
        for section, values in more.items():
            made[section] = made.get(section, {}) | dict(values)
        return made

    def _link_program(self) -> dict[str, str]:
        return {} if self.link == "sdk" else {"RELAY_LINK_BIN": str(links.link_binary())}

    # -- the process ---------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.running

    async def start(self) -> None:
        """Start it and wait until it is ready: its own process, for no other knows its token."""
        self._child.start()

        async def ready() -> bool:
            if not self._child.running:
                raise AssertionError(f"the bot ended at once with {self._child.exit_code}:\n{self._child.tail(20)}")
            try:
                return (await self.get("/ready")).status == 200 and (await self.get("/v1/halls")).status == 200
            except aiohttp.ClientError:
                return False

        await eventually(ready, f"the bot ready (its log: {self._child.tail(5)})", limit=READY_SECONDS)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        self._child.kill()

    async def restart(self) -> None:
        """Kill it and start it again: same database, same port, same log."""
        self.kill()
        await self.start()

    async def stop(self) -> None:
        """Ask it to end (SIGTERM); it must, in time, with exit code 0. Can be called again."""
        if not self._child.running:
            return
        try:
            obeyed = await asyncio.to_thread(self._child.end_asked, STOP_SECONDS)
            assert obeyed, f"the bot did not end within {STOP_SECONDS:g} s:\n{self._child.tail(20)}"
            assert self._child.exit_code == 0, f"the bot ended with {self._child.exit_code}:\n{self._child.tail(20)}"
        finally:
            self._child.kill()

    # -- what it logged ------------------------------------------------------------------------------

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event, oldest first, all runs together."""
        return [line for line in self._lines() if line.get("event") == name]

    def expect_errors(self, *events: str) -> None:
        """Name the errors that the test provokes: any other one in the log fails it."""
        self._expected |= set(events)

    def check_log(self) -> None:
        """Fail if the bot logged an error that no test asked for, or something that is no log line."""
        bad = [
            line
            for line in self._lines()
            if line.get("level") in ("error", "critical")
            and line.get("event") not in self._expected
            and line.get("logger") != "livekit"  # the SDK calls every reconnect an error
        ]
        assert not bad, "the bot logged errors:\n" + "\n".join(json.dumps(line, indent=1) for line in bad[:5])

    def _lines(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for text in self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []:
            try:
                parsed: object = json.loads(text)
            except ValueError:
                parsed = {"level": "error", "event": "not a log line", "text": text}
            if isinstance(parsed, dict):
                lines.append(cast("dict[str, Any]", parsed))
        return lines

    # -- the control endpoint ------------------------------------------------------------------------

    async def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> Answer:
        """One request to the control endpoint; `key` is an Idempotency-Key."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Idempotency-Key": key} if key else {})
        url = f"http://{LOOPBACK}:{self.port}{path}"
        timeout = aiohttp.ClientTimeout(total=15)
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.request(method, url, json=body) as answer,
        ):
            text = await answer.text()
        try:
            parsed: object = json.loads(text)
        except ValueError:
            parsed = {"text": text}
        return Answer(answer.status, cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {})

    async def get(self, path: str) -> Answer:
        return await self.call("GET", path)

    async def found(self, path: str) -> dict[str, Any]:
        """GET what must be there."""
        answer = await self.get(path)
        assert answer.status == 200, f"GET {path}: {answer}"
        return answer.body

    async def interact(self, hall: str, kind: str, payload: Mapping[str, object], **more: object) -> dict[str, Any]:
        """Say something in a hall as a backend; it must be taken."""
        body: dict[str, object] = {"type": kind, "payload": dict(payload)} | more
        answer = await self.call("POST", f"/v1/halls/{hall}/interactions", body)
        assert answer.status == 200, f"{kind}: {answer}"
        return answer.body

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 where there is none."""
        text = (await self.get("/metrics")).body["text"]
        total = 0.0
        for line in str(text).splitlines():
            head, _, value = line.rpartition(" ")
            found, _, rest = head.partition("{")
            if found == name and all(f'{label}="{wanted}"' in rest for label, wanted in labels.items()):
                total += float(value)
        return total

    # -- halls ---------------------------------------------------------------------------------------

    async def hall(self, hall: str) -> dict[str, Any] | None:
        """The hall as the bot describes it, if it serves it."""
        answer = await self.get(f"/v1/halls/{hall}")
        return answer.body if answer.status == 200 else None

    async def live(self, hall: str, *, present: int = 0, limit: float = LIVE_SECONDS) -> None:
        """Wait until the bot is in the hall, and knows of so many participants."""

        async def is_live() -> bool:
            found = await self.hall(hall)
            return found is not None and found["status"] == "live" and found["participants"] >= present

        await eventually(is_live, f"the bot in {hall} with {present} participants", limit=limit)

    async def open_hall(self, prefix: str = "", **options: object) -> str:
        """Make a room, wait until the bot is in it, and give its name. `options` go to CreateRoom."""
        hall = self.livekit.new_hall(prefix or self.halls[0].rstrip("-*"))
        await asyncio.to_thread(self.livekit.server.call, "CreateRoom", {"name": hall} | options)
        await self.live(hall)
        return hall
