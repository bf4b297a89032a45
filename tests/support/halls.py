"""Halls for tests: the kit with the tests' own plugins, and words for what these tests ask of it again and again."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from relay_bot.journal.writer import Journal
from relay_bot.link import Frame, Joined
from relay_bot.plugin import Effect
from relay_bot.settings import GateSettings, Rate, Settings
from relay_bot.testing import Guest, HallKit

PLUGINS = Path(__file__).with_name("plugins")
UNLIMITED = {name: Rate(1e6, 1_000_000) for name in ("default", "chat", "reaction")}


def unlimited(**gate: Any) -> Settings:
    """Make settings without rate limits; `gate` is what else the gate shall have."""
    return Settings(gate=GateSettings(rates=UNLIMITED, **gate))


@asynccontextmanager
async def open_hall(
    folder: Path, *plugins: str, settings: Settings | None = None, journal: Journal | None = None
) -> AsyncGenerator[HallKit]:
    """Open a hall with some of the plugins of `tests/support/plugins`: `tally` where none is named."""
    found = {path.stem for path in PLUGINS.glob("[!_]*.py")}
    wanted = set(plugins or ("tally",))
    section: dict[str, Any] = {name: {"enabled": name in wanted} for name in found} | {"path": [str(PLUGINS)]}
    async with HallKit.open(folder, section, settings=settings or unlimited(), journal=journal) as kit:
        yield kit


@asynccontextmanager
async def open_journal(folder: Path) -> AsyncGenerator[Journal]:
    """Run a journal in a folder."""
    journal = Journal(f"sqlite:///{folder / 'relay.db'}")
    await journal.start()
    try:
        yield journal
    finally:
        await journal.stop()


def envelope(kind: str, payload: dict[str, Any], **fields: Any) -> bytes:
    """Encode an envelope as a client does."""
    return msgspec.json.encode({"relay_version": "1", "type": kind, "payload": payload, **fields})


def send_raw(kit: HallKit, data: bytes, sender: str = "", *, stamp: float | None = None, **frame: Any) -> None:
    """Let a data packet arrive as it is; without a `sender`, nameless."""
    kit.room.tell(Frame(data, sender, time.monotonic() if stamp is None else stamp, **frame))


def joined(kit: HallKit, identity: str, *, seconds_ago: float = 0.0) -> None:
    """Let the link hear of someone as if it had done so a while ago."""
    kit.room.tell(Joined(kit.room.presences[identity], time.monotonic() - seconds_ago))


def acks(guest: Guest, message_id: str) -> int:
    """Count the acks that a guest has received for an id."""
    return sum(payload["ids"].count(message_id) for payload in guest.all("ack"))


def errors(guest: Guest, message_id: str | None = None) -> list[str]:
    """List the codes of the errors that a guest has received, for one id or for all."""
    return [each["code"] for each in guest.all("error") if message_id is None or each["id"] == message_id]


async def votes(kit: HallKit) -> dict[str, str]:
    """Ask the tally plugin who voted what."""
    return (await kit.call("tally", "all_votes"))["votes"]


def done(kit: HallKit) -> list[Effect]:
    """List the effects that were done at the server API."""
    return kit.room.effects
