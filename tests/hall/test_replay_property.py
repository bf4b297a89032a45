"""Invariant 2: state is what the journal says, for every built-in plugin, whatever is sent to it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay_bot.hall.plugins import load_plugins
from relay_bot.journal.writer import Journal
from relay_bot.settings import GateSettings, Rate, Settings
from relay_bot.testing import HallKit, Refused
from tests.hall.strategies import PEOPLE, payloads

LOADED = load_plugins({}, Path())
UNLIMITED = Settings(gate=GateSettings(rates={name: Rate(1e6, 1_000_000) for name in ("default", "chat", "reaction")}))
ROLES = dict(zip(PEOPLE, ("host", "moderator", "", ""), strict=True))

_messages = st.one_of(
    [
        st.tuples(st.just("message"), st.sampled_from(PEOPLE), st.just(kind), payloads(handler.body_type))
        for loaded in LOADED.values()
        for kind, handler in loaded.spec.handlers.items()
    ]
)
_commands = st.one_of(
    [
        st.tuples(
            st.just("command"),
            st.sampled_from(PEOPLE),
            st.just(command.name),
            st.sampled_from(["", "bob", "carol 1m", "all", "open", '"Tea?" yes | no 30s']),
        )
        for loaded in LOADED.values()
        for command in loaded.spec.commands.values()
    ]
)
_comings = st.tuples(st.sampled_from(["leave", "join", "speak", "mute"]), st.sampled_from(PEOPLE))
_steps = st.lists(st.one_of(_messages, _messages, _commands, _comings, st.just(("restart",))), min_size=1, max_size=25)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=_steps)
def test_replaying_the_journal_gives_the_live_state(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(_check(steps))


async def _check(steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(f"sqlite:///{folder}/relay.db")
        await journal.start()
        try:
            every: dict[str, Any] = {name: {} for name in LOADED}
            async with HallKit.open(Path(folder), every, settings=UNLIMITED, journal=journal) as kit:
                for identity, role in ROLES.items():
                    await kit.join(identity, role=role)
                for step in steps:
                    await _take(kit, step)
                await kit.settle()
                assert kit.fingerprints() == await kit.replayed()
        finally:
            await journal.stop()


async def _take(kit: HallKit, step: tuple[Any, ...]) -> None:
    match step:
        case ("restart",):
            await kit.settle()
            await kit.restart()
        case ("join", identity):
            if identity not in kit.room.guests:
                await kit.join(identity, role=ROLES[identity])
        case ("leave", identity) if identity in kit.room.guests:
            kit.room.guests[identity].leave()
        case ("speak" | "mute", identity) if identity in kit.room.guests:
            kit.room.guests[identity].speak(muted=step[0] == "mute")
        case ("message", identity, kind, payload) if identity in kit.room.guests:
            with contextlib.suppress(Refused):
                await kit.room.guests[identity].ask(kind, payload)
        case ("command", identity, name, rest) if identity in kit.room.guests:
            with contextlib.suppress(Refused):
                await kit.room.guests[identity].say(f"/{name} {rest}")
        case _:
            pass
