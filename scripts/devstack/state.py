"""What a running stack leaves in `.relay/` for other terminals, and for its own next run."""

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from scripts.devstack.errors import StackError


@dataclass(frozen=True, slots=True)
class Running:
    """A stack that runs, and how to reach it."""

    pid: int
    hall: str
    livekit_url: str
    api_key: str
    control_url: str
    api_secret: str = field(repr=False)
    control_token: str = field(repr=False)
    link: str = ""
    """The kind of the bot's link; empty while the bot isn't up."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of the bot, and of whatever else talks to this LiveKit."""
        return {
            "LIVEKIT_URL": self.livekit_url,
            "LIVEKIT_API_KEY": self.api_key,
            "LIVEKIT_API_SECRET": self.api_secret,
            "RELAY_CONTROL_TOKEN": self.control_token,
        }


class StateFolder:
    """The folder `.relay/` of a checkout. Only its owner can read what is secret in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bot_log = path / "bot.log"
        self.database = path / "dev.db"
        self.env_file = path / "env"
        self._running = path / "dev.json"
        self._secrets = path / "secrets.json"

    @contextmanager
    def owned(self) -> Generator[None]:
        """Hold the folder: two stacks on one database would be two bots that both decide."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(
                    "scripts/dev runs already in this checkout: "
                    "end it first, or use scripts/dev --crowd N to send a crowd to it"
                ) from None
            try:
                yield
            finally:
                self._running.unlink(missing_ok=True)
                self.env_file.unlink(missing_ok=True)

    def is_owned(self) -> bool:
        """Whether a stack runs from this folder now."""
        try:
            with (self.path / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def announce(self, running: Running) -> None:
        _write_private(self._running, json.dumps(asdict(running)))
        lines = (f"export {name}={shlex.quote(value)}" for name, value in running.env.items())
        _write_private(self.env_file, "\n".join(lines) + "\n")

    def running(self) -> Running | None:
        """The stack that runs now and is ready; `None` if there is none."""
        if not self.is_owned():
            return None
        found = _read(self._running)
        return Running(**found) if found else None

    def secret(self, name: str) -> str:
        """A random secret that stays the same from run to run, so that tokens made with it stay good."""
        kept = _read(self._secrets)
        if name not in kept:
            kept[name] = secrets.token_hex(24)
            _write_private(self._secrets, json.dumps(kept))
        return str(kept[name])


def _read(path: Path) -> dict[str, Any]:
    try:
        parsed: object = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}


def _write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner alone."""
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
