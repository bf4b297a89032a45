"""One plugin's fault is that plugin's: the others hear all the same, and the hall goes on without it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.hall.quarantine import FAILURES, MESSAGES_IN_ROW
from relay_bot.plugin import RemoveParticipant
from relay_bot.testing import HallKit, Refused

PLUGIN = """
from typing import Any, ClassVar

from relay_bot.plugin import Body, Context, Event, Participant, Plugin, Refuse, Sender, State, command, handle

class Note(Body, type="{name}_note"):
    text: str = ""
    fail: str = ""

class Noted(Event, frozen=True):
    text: str

class Notes(State):
    notes: list[str] = []

    def on_noted(self, event: Noted) -> None:
        if event.text == "poison" and type(self).strict:
            raise ValueError("poison")
        self.notes.append(event.text)

    strict: ClassVar[bool] = False

class NotePlugin(Plugin[Notes]):
    failing: ClassVar[set[str]] = set()
    part: ClassVar[Any] = 1

    def _fail(self, what: str, ctx: Context | None = None) -> None:
        if what + " late" in self.failing and ctx is not None:
            ctx.record(Noted("never"))
        if what in self.failing or what + " late" in self.failing:
            raise RuntimeError(what)

    @handle
    def note(self, body: Note, ctx: Context) -> None:
        if body.fail == "late":
            ctx.record(Noted("never"))
        if body.fail:
            raise RuntimeError(body.fail)
        ctx.record(Noted(body.text))

    @command("{name}")
    def say(self, arguments: Any, ctx: Context) -> str:
        return "here"

    def joined(self, participant: Participant, ctx: Context) -> None:
        self._fail("joined", ctx)
        ctx.record(Noted("+" + participant.identity))

    def left(self, participant: Participant, ctx: Context) -> None:
        self._fail("left", ctx)
        ctx.record(Noted("-" + participant.identity))

    def changed(self, before: Participant, after: Participant, ctx: Context) -> None:
        ctx.record(Noted("~" + after.identity))

    def hall_state(self, participant: Participant) -> Any:
        self._fail("hall_state")
        return {{"{name}": self.part}}

    def summary(self) -> Any:
        self._fail("summary")
        return {{"{name}": self.part}}
"""
GUARD = """
    def refuses(self, sender: Sender, kind: str) -> Refuse | None:
        return None
"""


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, more in (("first", ""), ("guard", GUARD), ("second", "")):
        (folder / f"{name}.py").write_text(PLUGIN.format(name=name) + more)
    section: dict[str, Any] = {"path": [str(folder)], "first": {}, "guard": {}, "second": {}}
    async with HallKit.open(tmp_path, section) as made:
        yield made


def kind(kit: HallKit, name: str) -> Any:
    return kit.loaded[name].spec.plugin_type


def notes(kit: HallKit, name: str) -> list[str]:
    assert kit.hall.session is not None
    return kit.hall.session.plugins[name].state.notes


def left_out(kit: HallKit) -> list[str]:
    return [each["plugin"] for each in kit.hall.summary().get("quarantined", [])]


async def given_up(kit: HallKit, name: str) -> None:
    await kit.until(lambda: left_out(kit) == [name] and kit.hall.status == "live", 40)
    await kit.settle()


# -- being told ------------------------------------------------------------------------------------------


async def test_a_fault_in_one_plugin_keeps_no_banned_participant_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HallKit.open(tmp_path, {"hands": {}, "moderation": {}}) as kit:
        await kit.join("host", role="host")
        await kit.call("moderation", "decide", action="ban", participant_id="mallory")

        def fails(self: object, participant: object, ctx: object) -> None:
            raise RuntimeError("a mistake in hands")

        monkeypatch.setattr(kind(kit, "hands"), "joined", fails)
        await kit.join("mallory")
        await kit.until(lambda: any(isinstance(each, RemoveParticipant) for each in kit.room.effects))
        await kit.until(lambda: kit.hall.roster.get("mallory") is None)


@pytest.mark.parametrize("how", ["joined", "joined late"])
async def test_the_others_are_told_and_the_one_that_failed_is_told_again(kit: HallKit, how: str) -> None:
    await kit.join("ann")
    kind(kit, "first").failing.add(how)
    await kit.join("bob")
    await kit.until(lambda: kit.hall._decider is not None and notes(kit, "second") == ["+ann", "+bob"])
    kind(kit, "first").failing.clear()
    await kit.until(lambda: kit.hall._decider is not None and notes(kit, "first") == ["+ann", "+bob"], 20)
    await kit.settle()
    assert notes(kit, "second") == ["+ann", "+bob"], "once"
    assert left_out(kit) == []
    live, replayed = await kit.live_and_replayed()
    assert live == replayed


async def test_who_left_while_the_bot_was_away_is_told_as_left(kit: HallKit) -> None:
    for identity in ("ann", "bob", "carol"):
        await kit.join(identity)
    await kit.stop()
    kit.room.sinks.clear()
    del kit.room.presences["ann"], kit.room.guests["ann"]
    await kit.start()
    await kit.join("dave")
    await kit.settle()
    assert notes(kit, "first") == ["+ann", "+bob", "+carol", "-ann", "+dave"]
    await kit.restart()
    await kit.settle()
    assert notes(kit, "first") == ["+ann", "+bob", "+carol", "-ann", "+dave"], "nobody who is there as before"


async def test_a_plugin_that_is_enabled_later_hears_of_all_who_are_here(kit: HallKit) -> None:
    every = kit._services
    await kit.stop()
    kit.room.sinks.clear()
    kit._services = msgspec.structs.replace(every, plugins={"first": every.plugins["first"]})
    await kit.start()
    for identity in ("ann", "bob"):
        await kit.join(identity)
    await kit.stop()
    kit.room.sinks.clear()
    kit._services = every
    await kit.start()
    await kit.settle()
    assert notes(kit, "first") == ["+ann", "+bob"], "it has heard of them"
    assert notes(kit, "second") == ["+ann", "+bob"]


async def test_who_looks_different_after_a_restart_is_told_as_changed(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await kit.stop()
    kit.room.sinks.clear()
    ann._change(can_publish=True)
    await kit.start()
    await kit.settle()
    assert notes(kit, "first") == ["+ann", "~ann"]


# -- quarantine ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["joined", "joined late"])
async def test_a_plugin_that_fails_again_and_again_is_left_out_and_comes_back(kit: HallKit, how: str) -> None:
    host = await kit.join("host", role="host")
    kind(kit, "first").failing.add(how)
    await kit.join("bob")
    await given_up(kit, "first")
    with pytest.raises(Refused, match="not working"):
        await host.ask("first_note", {"text": "x"})
    with pytest.raises(Refused, match="internal"):
        await host.say("/first")
    assert "first" not in (await host.say("/help"))["notice"]
    await host.ask("second_note", {"text": "still here"})
    (found,) = kit.hall.summary()["quarantined"]
    assert "RuntimeError at first.py" in found["reason"]
    assert [each.part for each in kit.hall.troubles()] == ["plugin"]
    kind(kit, "first").failing.clear()
    await kit.join("carol")
    kit.hall.plugins_reloaded(kit._services)
    await kit.until(lambda: left_out(kit) == [] and kit.hall._decider is not None)
    await kit.settle()
    assert notes(kit, "first") == ["+host", "+bob", "+carol"]
    assert notes(kit, "second") == ["+host", "+bob", "still here", "+carol"]


async def test_an_event_that_can_not_be_replayed_costs_its_plugin_alone(kit: HallKit, tmp_path: Path) -> None:
    ann = await kit.join("ann")
    await ann.ask("first_note", {"text": "poison"})
    await ann.ask("second_note", {"text": "fine"})
    state = kit.loaded["first"].spec.events.state_type
    await kit.stop()
    kit.room.sinks.clear()
    state.strict = True  # type: ignore[attr-defined]
    forget_snapshots(tmp_path)
    await kit.start()
    assert left_out(kit) == ["first"]
    assert notes(kit, "second") == ["+ann", "fine"]
    state.strict = False  # type: ignore[attr-defined]
    await kit.stop()
    kit.room.sinks.clear()
    await kit.start()
    assert left_out(kit) == []
    assert notes(kit, "first") == ["+ann", "poison"], "nothing of it is lost"


def forget_snapshots(folder: Path) -> None:
    other = sqlite3.connect(folder / "relay.db")
    other.execute("DELETE FROM snapshots")
    other.commit()
    other.close()


@pytest.mark.parametrize("what", ["hall_state", "summary"])
@pytest.mark.parametrize("part", [object(), "x" * 200_000, "raise"])
async def test_what_is_told_of_a_hall_may_fail_or_be_too_large(kit: HallKit, what: str, part: object) -> None:
    ann = await kit.join("ann")
    if part == "raise":
        kind(kit, "first").failing.add(what)
    else:
        kind(kit, "first").part = part
    for _ in range(FAILURES):
        told = await ann.ask("sync", {}) if what == "hall_state" else kit.hall.summary()
        assert ("first" in told, told["second"]) == (False, 1)
    assert left_out(kit) == ["first"]


async def test_a_part_that_is_no_object_costs_itself(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await kit.join("ann")

    def fails(self: object, participant: object) -> list[int]:
        return [1]

    monkeypatch.setattr(kind(kit, "first"), "hall_state", fails)
    assert (await ann.ask("sync", {}))["second"] == 1


async def test_a_part_too_large_for_the_envelope_costs_itself(kit: HallKit) -> None:
    ann = await kit.join("ann")
    kind(kit, "first").part = "x" * 14_900
    kind(kit, "second").part = ["y" * 100] * 50
    state = await ann.ask("sync", {})
    assert (state["truncated"], len(state["second"])) == (["first"], 50)


async def test_messages_that_all_fail_have_it_left_out(kit: HallKit) -> None:
    ann = await kit.join("ann")
    for number in range(MESSAGES_IN_ROW - 1):
        with pytest.raises(Refused, match="internal"):
            await ann.until_taken("first_note", {"fail": f"early {number}"})
    await ann.ask("first_note", {"text": "well"})
    assert left_out(kit) == []
    for number in range(MESSAGES_IN_ROW):
        with pytest.raises(Refused, match="internal"):
            await ann.until_taken("first_note", {"fail": f"early {number}"})
    assert left_out(kit) == ["first"]


async def test_where_a_guard_is_left_out_only_hosts_are_let_through(kit: HallKit) -> None:
    host, ann = await kit.join("host", role="host"), await kit.join("ann")
    kit.hall._quarantine.add("guard", "the test wants it so")
    with pytest.raises(Refused, match="only hosts"):
        await ann.ask("second_note", {"text": "x"})
    assert (await ann.ask("sync", {}))["second"] == 1
    refusal = kit.hall.refuses_join("zoe")
    assert refusal is not None
    assert refusal.code == "internal"
    await host.ask("second_note", {"text": "x"})
    await kit.backend("second_note", {"text": "y"})
    assert notes(kit, "second")[-2:] == ["x", "y"]


async def test_a_required_plugin_stops_its_hall(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "first.py").write_text(PLUGIN.format(name="first"))
    async with HallKit.open(tmp_path, {"path": [str(folder)], "first": {"required": True}}) as kit:
        kit.hall._quarantine.add("first", "the test wants it so")
        assert kit._task is not None
        assert (await kit._task).value == "failed"
        kit._task = None
        assert kit.hall.failure == "the required plugin first is not working: the test wants it so"
