"""A call into a plugin is a transaction: all that it asked for takes effect, or nothing of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from relay_bot.testing import HallKit, Refused

PLUGIN = """
from typing import Any, ClassVar

import msgspec

from relay_bot.plugin import (
    Body, Context, Event, Plugin, Refuse, RemoveParticipant, Request, Role, SetPermissions, Shelved, State, handle,
    route, timer,
)

class Do(Body, type="do"):
    steps: list[str]

class Seen(Event, frozen=True):
    identity: str
    count: int = 1
    names: tuple[str, ...] = ()

class Half(Event, frozen=True):
    parts: list[int]

class Timed(Event, frozen=True):
    key: str

class Note(Shelved, frozen=True):
    shelf: ClassVar[str] = "notes"
    text: str = ""

class Votes(State):
    total: int = 0
    names: list[str] = []
    rang: list[str] = []

    def on_seen(self, event: Seen) -> None:
        self.total += event.count
        self.names.extend(event.names)

    def on_half(self, event: Half) -> None:
        for part in event.parts:
            if part < 0:
                raise ValueError(part)
            self.total += part

    def on_timed(self, event: Timed) -> None:
        self.rang.append(event.key)

class TxPlugin(Plugin[Votes]):
    shelves: ClassVar[tuple[type[Shelved], ...]] = (Note,)
    failing: ClassVar[str] = ""
    called: ClassVar[list[str]] = []

    @handle
    def do(self, body: Do, ctx: Context) -> Any:
        result = None
        for step in body.steps:
            result = self._step(step, ctx)
        return result

    def _step(self, step: str, ctx: Context) -> Any:
        word, _, rest = step.partition(" ")
        match word:
            case "record":
                ctx.record(Seen(ctx.sender.identity))
            case "wrong":
                ctx.record(WRONG[rest](ctx))
            case "half":
                ctx.record(Half([int(part) for part in rest.split(",")]))
            case "caught":
                try:
                    ctx.record(Half([int(part) for part in rest.split(",")]))
                except ValueError:
                    pass
            case "caught_wrong":
                try:
                    ctx.record(WRONG[rest](ctx))
                except Exception:
                    pass
            case "secret":
                return {"secret": ctx.secret(rest).hex()}
            case "destroy":
                ctx.destroy_secret(rest)
            case "latest":
                ctx.publish_latest("latest", lambda: {"said": rest})
            case "drop":
                ctx.drop_latest("latest")
            case "say":
                ctx.publish("said", {"text": rest})
            case "shelve":
                ctx.shelve(Note(rest), "note")
            case "shelved":
                found = ctx.shelved(Note, "note")
                return {"text": found.text if found else None, "names": ctx.names_shelved(Note)}
            case "owe":
                ctx.owe(SetPermissions(rest, can_publish=True), key=rest)
            case "timer":
                ctx.set_timer(self.ring, rest, ctx.now)
            case "raise":
                raise RuntimeError("a mistake in a plugin")
            case "refuse":
                raise Refuse("forbidden", "no")
            case "result":
                return WRONG[rest](ctx)
        return result_of(step)

    @timer
    def ring(self, key: str, ctx: Context) -> None:
        self.called.append(key)
        if self.failing == "after recording":
            ctx.record(Timed(key))
        if self.failing == "refuse":
            raise Refuse("forbidden", "not now")
        if self.failing:
            raise RuntimeError("a mistake in a plugin")
        ctx.record(Timed(key))
        if key.startswith("calls off "):
            ctx.clear_timer(self.ring, key.removeprefix("calls off "))
        if key == "again" and len(self.state.rang) < 3:
            ctx.set_timer(self.ring, key, ctx.now)

def result_of(step: str) -> None:
    return None

class Deeper(Seen, frozen=True):
    more: int = 2

WRONG = {
    "sender": lambda ctx: Seen(ctx.sender),
    "none": lambda ctx: Seen(None),
    "number": lambda ctx: Seen(7),
    "fraction": lambda ctx: Seen("a", 1.5),
    "truth": lambda ctx: Seen("a", True),
    "object": lambda ctx: Seen(object()),
    "surrogate": lambda ctx: Seen("\\ud800"),
    "inner": lambda ctx: Seen("a", 1, ("x", 1)),
    "subclass": lambda ctx: Deeper("a"),
    "a surrogate": lambda ctx: "\\ud800",
    "a set of objects": lambda ctx: [object()],
}
"""


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "tx.py").write_text(PLUGIN)
    async with HallKit.open(tmp_path, {"path": [str(folder)], "tx": {}}) as made:
        yield made


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(_: int) -> float:
        return 0.05

    monkeypatch.setattr("relay_bot.hall.timers.pause", pause)


def plugin(kit: HallKit) -> Any:
    assert kit.hall.session is not None
    return kit.hall.session.plugins["tx"]


def fail(kit: HallKit, how: str) -> None:
    """Have the timer's handler fail from now on, in all sessions of the hall."""
    kind: Any = plugin(kit).__class__
    kind.failing = how
    if how:
        kind.called.clear()


async def fails(kit: HallKit, *steps: str, code: str = "internal") -> None:
    with pytest.raises(Refused) as refusal:
        await kit.room.guests["ann"].ask("do", {"steps": steps})
    assert refusal.value.code == code
    await kit.settle()


async def does(kit: HallKit, *steps: str) -> Any:
    return await kit.room.guests["ann"].until_taken("do", {"steps": steps})


async def same(kit: HallKit) -> None:
    live, replayed = await kit.live_and_replayed()
    assert live == replayed


# -- all of it or nothing --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["raise", "refuse"])
@pytest.mark.parametrize("first", [(), ("record",)])
async def test_a_secret_that_a_failing_call_destroyed_is_still_there(
    kit: HallKit, how: str, first: tuple[str, ...]
) -> None:
    await kit.join("ann")
    key = await does(kit, "secret ballot")
    code = "forbidden" if how == "refuse" and not first else "internal"
    await fails(kit, *first, "destroy ballot", how, code=code)
    assert await does(kit, "secret ballot") == key
    await kit.restart()
    assert await does(kit, "secret ballot") == key


@pytest.mark.parametrize("first", [(), ("record",)])
async def test_a_secret_that_a_failing_call_made_is_not_kept(kit: HallKit, first: tuple[str, ...]) -> None:
    await kit.join("ann")
    await fails(kit, *first, "secret ballot", "raise")
    await kit.until(lambda: kit.hall.active)
    assert kit.hall.session is not None
    assert kit.hall.session.secrets == {}
    made = await does(kit, "secret ballot")
    await kit.restart()
    assert await does(kit, "secret ballot") == made


async def test_a_secret_destroyed_and_made_again_in_one_call_is_another_one(kit: HallKit) -> None:
    await kit.join("ann")
    before = await does(kit, "secret ballot")
    made = await does(kit, "destroy ballot", "secret ballot")
    assert made != before
    assert await does(kit, "secret ballot") == made
    await kit.restart()
    assert await does(kit, "secret ballot") == made
    await does(kit, "destroy ballot")
    await kit.restart()
    assert kit.hall.session is not None
    assert kit.hall.session.secrets == {}


@pytest.mark.parametrize("first", [(), ("record",)])
async def test_what_a_failing_call_said_is_not_said(kit: HallKit, first: tuple[str, ...]) -> None:
    ann = await kit.join("ann")
    await fails(kit, *first, "latest never", "say never", "raise")
    await does(kit, "say now")
    await kit.settle()
    assert ann.all("said") == [{"text": "now"}]
    assert ann.all("latest") == []


async def test_a_snapshot_that_a_failing_call_dropped_is_said(kit: HallKit) -> None:
    ann = await kit.join("ann")
    ann.send("do", {"steps": ["latest yes"]}, "m1")
    ann.send("do", {"steps": ["drop", "raise"]}, "m2")
    assert await ann.wait("latest") == {"said": "yes"}


async def test_what_a_failing_call_shelved_is_not_there(kit: HallKit) -> None:
    await kit.join("ann")
    await fails(kit, "shelve never", "raise")
    assert await does(kit, "shelved") == {"text": None, "names": []}
    assert await does(kit, "shelve one", "shelve two", "shelved") == {"text": "two", "names": ["note"]}


@pytest.mark.parametrize("step", ["owe ann", "timer tea"])
async def test_what_a_failing_call_owed_or_set_does_not_happen(kit: HallKit, step: str) -> None:
    await kit.join("ann")
    await fails(kit, step, "raise")
    await does(kit, "record")
    await kit.settle()
    assert kit.room.effects == []
    assert plugin(kit).state.rang == []
    await same(kit)


# -- what is recorded can be read back ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ("sender", "identity"),
        ("none", "identity"),
        ("number", "identity"),
        ("object", ""),
        ("surrogate", ""),
        ("fraction", "count"),
        ("truth", "count"),
        ("inner", "names[1]"),
    ],
)
async def test_an_event_that_is_not_of_its_type_is_refused(kit: HallKit, what: str, field: str) -> None:
    await kit.join("ann")
    await does(kit, "record")
    session = kit.hall.session
    with capture_logs() as logs:
        await fails(kit, f"wrong {what}")
    assert kit.hall.session is session, "nothing was applied, so nothing had to be read again"
    (line,) = [each for each in logs if "problem" in each]
    assert (line["plugin"], line["refused"], line["field"]) == ("tx", "Seen", field)
    await kit.restart()
    assert plugin(kit).state.total == 1
    await does(kit, "record")
    await same(kit)


async def test_an_event_of_another_class_is_refused(kit: HallKit) -> None:
    await kit.join("ann")
    await fails(kit, "wrong subclass")
    await same(kit)


async def test_one_that_catches_the_refusal_of_its_event_goes_on_without_it(kit: HallKit) -> None:
    await kit.join("ann")
    await does(kit, "caught_wrong sender", "record")
    assert plugin(kit).state.total == 1
    await kit.restart()
    assert plugin(kit).state.total == 1


@pytest.mark.parametrize("result", ["a surrogate", "a set of objects"])
async def test_a_result_that_can_not_be_sent_costs_its_message(kit: HallKit, result: str) -> None:
    await kit.join("ann")
    await fails(kit, f"result {result}")
    await does(kit, "record")
    await fails(kit, "record", f"result {result}")
    await does(kit, "record")
    assert plugin(kit).state.total == 2
    await same(kit)


# -- applying ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["half", "caught"])
async def test_an_event_that_can_not_be_applied_leaves_nothing(kit: HallKit, how: str) -> None:
    await kit.join("ann")
    await does(kit, "half 1,1")
    await fails(kit, f"{how} 6,7,-1")
    await kit.until(lambda: kit.hall.active)
    await does(kit, "say hello")
    assert plugin(kit).state.total == 2
    await same(kit)


async def test_one_that_refuses_after_recording_is_told_where(kit: HallKit) -> None:
    await kit.join("ann")
    with capture_logs() as logs:
        await fails(kit, "record", "refuse")
    (line,) = [each for each in logs if each["event"] == "plugin.refused_after_recording"]
    text = PLUGIN.splitlines().index('                raise Refuse("forbidden", "no")') + 1
    assert (line["plugin"], line["place"]) == ("tx", f"tx.py:{text}")
    assert "refuse before you record" in line["advice"]


# -- timers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["raise", "after recording"])
async def test_a_timer_whose_handler_failed_is_called_again(kit: HallKit, how: str) -> None:
    await kit.join("ann")
    fail(kit, how)
    await does(kit, "timer tea")
    await kit.until(lambda: len(plugin(kit).called) >= 2)
    fail(kit, "")
    await kit.until(lambda: kit.hall.session is not None and not kit.hall.session.core.timers)
    assert plugin(kit).state.rang == ["tea"]
    await same(kit)


async def test_a_timer_whose_handler_failed_is_called_again_after_a_restart(kit: HallKit) -> None:
    await kit.join("ann")
    fail(kit, "raise")
    await does(kit, "timer tea")
    await kit.until(lambda: len(plugin(kit).called) >= 1)
    await kit.stop()
    fail(kit, "")
    await kit.start()
    await kit.until(lambda: plugin(kit).state.rang == ["tea"])


async def test_a_timer_that_is_refused_on_purpose_is_over(kit: HallKit) -> None:
    await kit.join("ann")
    fail(kit, "refuse")
    with capture_logs() as logs:
        await does(kit, "timer tea")
        await kit.until(lambda: kit.hall.session is not None and not kit.hall.session.core.timers)
    fail(kit, "")
    assert [each["timer"] for each in logs if each["event"] == "timer.refused"] == ["ring"]
    assert plugin(kit).called == ["tea"]


async def test_a_timer_that_one_before_it_called_off_is_not_called(kit: HallKit) -> None:
    await kit.join("ann")
    fail(kit, "")
    await does(kit, "timer calls off zebra", "timer zebra")
    await kit.until(lambda: kit.hall.session is not None and not kit.hall.session.core.timers)
    assert plugin(kit).state.rang == ["calls off zebra"]
    await does(kit, "record")
    await same(kit)


async def test_a_timer_that_is_set_again_by_its_handler_is_not_cleared(kit: HallKit) -> None:
    await kit.join("ann")
    fail(kit, "")
    await does(kit, "timer again")
    await kit.until(lambda: plugin(kit).state.rang == ["again"] * 3)
    await same(kit)
