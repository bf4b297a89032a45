"""Invariant 2: state is what the journal says, for every built-in plugin, whatever is sent and wherever it fails."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay_bot.hall.plugins import load_plugins
from relay_bot.hall.session import Session
from relay_bot.journal.writer import Journal
from relay_bot.settings import GateSettings, Rate, Settings
from relay_bot.testing import HallKit, Refused
from tests.hall.faults import PLACES, Faults, faults
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
_faults = st.tuples(st.just("fault"), st.sampled_from(PLACES))
_steps = st.lists(
    st.one_of(_messages, _messages, _commands, _comings, _faults, st.just(("restart",))), min_size=1, max_size=25
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=_steps)
def test_replaying_the_journal_gives_the_live_state(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(_check(steps))


POLL = {"poll_id": "p1", "question": "Tea?", "options": ["yes", "no"], "anonymous": True}
_OPEN = ("message", "alice", "poll", POLL)
_VOTE = ("message", "carol", "poll_response", {"poll_id": "p1", "option": 0})


@pytest.mark.parametrize(
    ("place", "breaks"),
    [
        ("before", ("message", "bob", "hand_raise", {"raised": True})),
        ("after", ("message", "bob", "hand_raise", {"raised": True})),
        ("apply", ("message", "bob", "hand_raise", {"raised": True})),
        ("secret", _OPEN),
        ("before", _OPEN),
        ("after", _VOTE),
        ("destroyed", ("message", "alice", "poll_close", {"poll_id": "p1"})),
        ("listener before", ("message", "alice", "moderation", {"action": "kick", "participant_id": "dave"})),
        ("listener after", ("message", "alice", "moderation", {"action": "kick", "participant_id": "dave"})),
    ],
)
def test_each_fault_strikes_and_leaves_what_the_journal_says(place: str, breaks: tuple[Any, ...]) -> None:
    before = [
        ("message", "dave", "hand_raise", {"raised": True}),
        *([] if breaks == _OPEN else [_OPEN, ("message", "bob", *_VOTE[2:])]),
    ]
    struck = asyncio.run(_check([*before, ("fault", place), breaks]))
    assert struck[place] == 1
    struck = asyncio.run(_check([*before, ("fault", place), breaks, breaks, _VOTE, ("restart",)]))
    assert struck[place] == 1


async def _check(steps: list[tuple[Any, ...]]) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder, faults() as broken:
        journal = Journal(f"sqlite:///{folder}/relay.db")
        await journal.start()
        try:
            every: dict[str, Any] = {name: {} for name in LOADED}
            async with HallKit.open(Path(folder), every, settings=UNLIMITED, journal=journal) as kit:
                for identity, role in ROLES.items():
                    await kit.join(identity, role=role)
                for step in steps:
                    await _take(kit, step, broken)
                    await kit.until(lambda: kit.hall._decider is not None)
                broken.next = ""
                live, replayed = await kit.live_and_replayed()
                assert live == replayed
                await _same_answers_and_secrets(kit)
        finally:
            await journal.stop()
        return broken.struck


async def _same_answers_and_secrets(kit: HallKit) -> None:
    session = kit.hall.session
    assert session is not None
    again = Session(session.info, kit.loaded, kit.hall)
    await again.replay(kit.journal)
    assert again.secrets == session.secrets
    assert dict(again.answers._answers) == dict(session.answers._answers)  # in one lot they have no order


async def _take(kit: HallKit, step: tuple[Any, ...], broken: Faults) -> None:
    match step:
        case ("fault", place):
            broken.next = place
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
