"""Plugins hear each other's events: in the same turn, each listener by itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from relay_bot.hall.listening import MOST_ANSWERS, MOST_DEEP
from relay_bot.hall.quarantine import FAILURES
from relay_bot.observe import metrics
from relay_bot.testing import HallKit, Refused

EVENTS = """
from relay_bot.plugin import Event

class Rung(Event, frozen=True):
    text: str
    marks: list[str] = []
"""
BELL = """
from .events import Rung
from relay_bot.plugin import Body, Context, Plugin, Refuse, State, handle

class Ring(Body, type="ring"):
    text: str
    times: int = 1
    fail: bool = False

class Rings(State):
    texts: list[str] = []
    def on_rung(self, event: Rung) -> None:
        self.texts.append(event.text)
        event.marks.append("the state's")

class BellPlugin(Plugin[Rings]):
    @handle
    def ring(self, body: Ring, ctx: Context) -> dict:
        for _ in range(body.times):
            ctx.record(Rung(body.text))
        if body.fail:
            raise RuntimeError("after recording")
        return {"rung": body.text}
"""
EAR = """
from typing import ClassVar
from .bell.events import Rung
from relay_bot.plugin import Body, Context, Event, Plugin, State, handle, on

class Note(Body, type="{name}_note"):
    text: str

class Heard(Event, frozen=True):
    text: str

class Ears(State):
    texts: list[str] = []
    def on_heard(self, event: Heard) -> None:
        self.texts.append(event.text)

class EarPlugin(Plugin[Ears]):
    failing: ClassVar[str] = ""
    contexts: ClassVar[list] = []

    @handle
    def note(self, body: Note, ctx: Context) -> None:
        ctx.record(Heard(body.text))

    @on(Rung)
    def rung(self, event: Rung, ctx: Context) -> None:
        type(self).contexts.append((ctx.sender.role.label, event.marks[:], self.hall.seq))
        event.marks.append("{name}")
        if self.failing == "before":
            raise RuntimeError("before recording")
        ctx.record(Heard(event.text))
        ctx.publish("heard_by_{name}", {{"text": event.text}})
        if self.failing == "after":
            raise RuntimeError("after recording")
"""

BANS = """
from plugins.moderation.events import Kicked
from relay_bot.plugin import Context, Event, Plugin, State, on

class Heard(Event, frozen=True):
    identity: str

class Ears(State):
    texts: list[str] = []
    def on_heard(self, event: Heard) -> None:
        self.texts.append(event.identity)

class EarPlugin(Plugin[Ears]):
    @on(Kicked)
    def kicked(self, event: Kicked, ctx: Context) -> None:
        ctx.record(Heard(event.identity))
"""


def written(tmp_path: Path, **files: str) -> list[str]:
    folder = tmp_path / "own"
    (folder / "bell").mkdir(parents=True)
    (folder / "bell" / "__init__.py").write_text(BELL)
    (folder / "bell" / "events.py").write_text(EVENTS)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return [str(folder)]


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    path = written(tmp_path, ear=EAR.format(name="ear"), other=EAR.format(name="other"))
    async with HallKit.open(tmp_path, {"path": path, "bell": {}, "ear": {}, "other": {}}) as made:
        yield made


def kind(kit: HallKit, name: str) -> Any:
    return kit.loaded[name].spec.plugin_type


def texts(kit: HallKit, name: str) -> list[str]:
    assert kit.hall.session is not None
    return kit.hall.session.plugins[name].state.texts


async def test_an_event_is_heard_in_the_same_turn_and_never_at_replay(kit: HallKit) -> None:
    ann = await kit.join("ann")
    assert await ann.ask("ring", {"text": "a", "times": 2}) == {"rung": "a"}
    assert texts(kit, "ear") == texts(kit, "other") == ["a", "a"]
    assert [said["text"] for said in ann.all("heard_by_ear")] == ["a", "a"]
    assert [role for role, _, _ in kind(kit, "ear").contexts] == ["backend", "backend"]
    seqs = [seq for _, _, seq in kind(kit, "ear").contexts]
    assert seqs[0] >= 2, "heard after the whole call has merged"
    await kit.restart()
    await kit.settle()
    assert texts(kit, "ear") == ["a", "a"]
    assert len(kind(kit, "ear").contexts) == 2
    live, replayed = await kit.live_and_replayed()
    assert live == replayed


async def test_each_listener_has_the_event_as_it_was_recorded(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await ann.ask("ring", {"text": "a"})
    assert [marks for name in ("ear", "other") for _, marks, _ in kind(kit, name).contexts] == [[], []]


async def test_a_call_that_failed_is_heard_by_nobody(kit: HallKit) -> None:
    ann = await kit.join("ann")
    with pytest.raises(Refused, match="internal"):
        await ann.ask("ring", {"text": "a", "fail": True})
    await ann.until_taken("ring", {"text": "b"})
    assert texts(kit, "ear") == ["b"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_listener_that_fails_costs_only_what_it_would_have_done(kit: HallKit, when: str) -> None:
    ann = await kit.join("ann")
    kind(kit, "ear").failing = when
    assert await ann.ask("ring", {"text": "a"}, "m1") == {"rung": "a"}
    await kit.until(lambda: kit.hall._decider is not None and kit.hall.status == "live")
    assert await ann.ask("ring", {"text": "a"}, "m1") == {"rung": "a"}, "kept"
    kind(kit, "ear").failing = ""
    await ann.until_taken("ring", {"text": "b"})
    assert texts(kit, "bell") == texts(kit, "other") == ["a", "b"]
    assert texts(kit, "ear") == ["b"]
    assert ann.all("heard_by_ear") == [{"text": "b"}]
    live, replayed = await kit.live_and_replayed()
    assert live == replayed


async def test_the_next_message_waits_until_the_listener_is_right_again(kit: HallKit) -> None:
    ann = await kit.join("ann")
    kind(kit, "ear").failing = "after"
    ann.send("ring", {"text": "a"}, "m1")
    ann.send("ear_note", {"text": "b"}, "m2")  # in the same slice
    assert (await ann.wait("error"))["code"] == "busy"
    kind(kit, "ear").failing = ""
    await ann.until_taken("ear_note", {"text": "c"})
    assert (texts(kit, "bell"), texts(kit, "ear")) == (["a"], ["c"])


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_listener_that_fails_again_and_again_is_left_out(kit: HallKit, when: str) -> None:
    ann = await kit.join("ann")
    kind(kit, "ear").failing = when
    for number in range(FAILURES):
        assert await ann.until_taken("ring", {"text": str(number)}) == {"rung": str(number)}
    await kit.until(lambda: kit.hall._decider is not None and "quarantined" in kit.hall.summary())
    assert [each["plugin"] for each in kit.hall.summary()["quarantined"]] == ["ear"]
    await ann.until_taken("ring", {"text": "more"})
    assert texts(kit, "bell") == texts(kit, "other") == [*map(str, range(FAILURES)), "more"]


async def test_nothing_is_heard_of_a_plugin_that_is_not_enabled(tmp_path: Path) -> None:
    path = written(tmp_path, ear=EAR.format(name="ear"))
    async with HallKit.open(tmp_path, {"path": path, "bell": {"enabled": False}, "ear": {}}) as kit:
        assert set(kit.loaded) == {"ear"}, "its events are imported, and it is not loaded for that"
        ann = await kit.join("ann")
        assert await ann.ask("sync", {}) is not None
        assert texts(kit, "ear") == []


async def test_a_plugin_of_ones_own_hears_a_built_in_one(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "ear.py").write_text(BANS)
    async with HallKit.open(tmp_path, {"path": [str(folder)], "ear": {}, "moderation": {}}) as kit:
        await kit.join("mallory")
        await kit.call("moderation", "decide", action="kick", participant_id="mallory")
        assert texts(kit, "ear") == ["mallory"]


async def test_plugins_that_answer_each_other_without_an_end_come_to_one(tmp_path: Path) -> None:
    ping = """
from ._shared import {other}, {own}
from relay_bot.plugin import Body, Context, Plugin, State, handle, on

class Start(Body, type="start_{own}"):
    times: int = 1

class Count(State):
    count: int = 0
    def on_it(self, event: {own}) -> None:
        self.count += 1

class {own}Plugin(Plugin[Count]):
    @handle
    def start(self, body: Start, ctx: Context) -> None:
        for _ in range(body.times):
            ctx.record({own}())

    @on({other})
    def heard(self, event: {other}, ctx: Context) -> None:
        for _ in range(event.each):
            ctx.record({own}(event.each))
"""
    events = """
from relay_bot.plugin import Event
class Ping(Event, frozen=True):
    each: int = 1
class Pong(Event, frozen=True):
    each: int = 1
"""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "_shared.py").write_text(events)
    for own, other in (("Ping", "Pong"), ("Pong", "Ping")):
        text = ping.format(own=own, other=other)
        (folder / f"{own.lower()}.py").write_text(text)
    section: dict[str, Any] = {"path": [str(folder)], "ping": {}, "pong": {}}
    dropped: Any = metrics.DROPPED.labels("listeners")._value
    async with HallKit.open(tmp_path, section) as kit:
        ann = await kit.join("ann")
        before = dropped.get()
        await ann.ask("start_Ping", {})
        assert kit.hall.session is not None
        counts = [kit.hall.session.plugins[name].state.count for name in ("ping", "pong")]
        assert sum(counts) == 1 + MOST_DEEP + 1
        assert dropped.get() == before + 1
        await ann.ask("start_Ping", {"times": MOST_ANSWERS})
        counts = [kit.hall.session.plugins[name].state.count for name in ("ping", "pong")]
        assert sum(counts) == (MOST_DEEP + 2) + MOST_ANSWERS * 3, "every first event is heard, and so many answers"
        live, replayed = await kit.live_and_replayed()
        assert live == replayed
