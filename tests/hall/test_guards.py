"""What a plugin is asked beside its handlers: one that fails there costs what was asked, and nothing else."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from relay_bot.hall.message import FutureWaiter, Message, RouteCall
from relay_bot.hall.watchdog import Watchdog
from relay_bot.testing import HallKit, Refused

PLUGIN = """
import time

from relay_bot.plugin import (
    Body, Context, Participant, Plugin, Refuse, Request, Sender, State, command, handle, route
)

BANNED = Refuse("blocked", "you are banned")

class Thing(Body, type="thing"):
    pass

class Tell(Body, type="tell"):
    pass

class PostThing(Request, frozen=True):
    pass

class Nothing(State):
    pass

class GuardPlugin(Plugin[Nothing]):
    how = "not at all"

    def _fail(self) -> None:
        if self.how == "raise":
            raise RuntimeError("a mistake in a plugin")
        if self.how == "hang":
            time.sleep(30)

    def _part(self) -> dict[str, object]:
        self._fail()
        return {"guard": object() if self.how == "give what is no JSON" else 1}

    @handle
    def tell(self, body: Tell, ctx: Context) -> None:
        ctx.publish_latest("told", self._part)
        ctx.publish_latest("told_some", dict, to=self._all)
        ctx.publish("told_at_once", {})

    def _all(self) -> list[str]:
        self._fail()
        return ["alice"]

    @handle
    def thing(self, body: Thing, ctx: Context) -> object:
        return object()

    @route("POST", "/thing")
    def post_thing(self, request: PostThing, ctx: Context) -> object:
        return object()

    def refuses(self, sender: Sender, kind: str) -> Refuse | None:
        if kind == "trap":
            raise RuntimeError("a mistake in a plugin")
        if kind == "banned":
            return BANNED
        return None

    def refuses_join(self, identity: str) -> Refuse | None:
        self._fail()
        return None

    def summary(self) -> dict[str, object]:
        return self._part()

    def hall_state(self, participant: Participant) -> dict[str, object]:
        return self._part()

    def wants_command(self, name: str) -> bool:
        self._fail()
        return True

    @command("go")
    def go(self, arguments: object, ctx: Context) -> str:
        return "gone"
"""


OTHER = """
from relay_bot.plugin import Context, Plugin, State, command

class Nothing(State):
    pass

class OtherPlugin(Plugin[Nothing]):
    def summary(self) -> dict[str, object]:
        return {"other": 2}

    @command("go")
    def go(self, arguments: object, ctx: Context) -> str:
        return "gone"
"""


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "guard.py").write_text(PLUGIN)
    (folder / "other.py").write_text(OTHER)
    async with HallKit.open(tmp_path, {"path": [str(folder)], "guard": {}, "other": {}}) as made:
        yield made


def fails(kit: HallKit, how: str) -> None:
    """Have the guard fail from now on at whatever it is asked."""
    assert kit.hall.session is not None
    kit.hall.session.plugins["guard"].how = how  # type: ignore[attr-defined]  (the test's own plugin)


async def test_a_guard_that_raises_costs_its_message_alone(kit: HallKit) -> None:
    alice = await kit.join("alice")
    hall = kit.hall.session
    with pytest.raises(Refused, match="internal"):
        await alice.ask("trap", {})
    assert await alice.ask("sync", {}), "the hall goes on"
    assert kit.hall.session is hall, "the hall did not have to open its session again"


async def test_a_result_that_is_no_json_costs_its_message(kit: HallKit) -> None:
    alice = await kit.join("alice")
    with pytest.raises(Refused, match="internal"):
        await alice.ask("thing", {})
    with pytest.raises(Refused, match="internal"):
        await kit.backend("thing", {})
    spec = kit.loaded["guard"].spec
    item = RouteCall("guard", spec.routes[0], spec.routes[0].request_type(), FutureWaiter(), b"key", "", 0.0)
    async with asyncio.timeout(5):
        answer = await kit.hall.request(item)
    assert answer.error is not None
    assert answer.error["code"] == "internal"
    assert await alice.ask("sync", {}), "the hall goes on"


async def test_a_fault_of_the_halls_own_leaves_nobody_waiting(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the hall, which is found again; whoever had asked is told that it is over."""
    alice = await kit.join("alice")
    decider = kit.hall._decider
    assert decider is not None

    def fails(item: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(decider, "backend_message", fails)
    asked = [asyncio.create_task(kit.backend("thing", {})) for _ in range(2)]
    await asyncio.sleep(0)
    asked.append(asyncio.create_task(alice.ask("anything", {})))
    for one in asked:
        with pytest.raises(Refused, match="hall_not_active"):
            await one
    assert kit._task is not None
    with pytest.raises(ZeroDivisionError):
        await kit._task
    kit._task = None


@pytest.fixture(params=["raise", "hang", "give what is no JSON"])
def how(request: pytest.FixtureRequest, kit: HallKit) -> Generator[str]:
    """A way to fail; a watchdog looks after the hall."""
    watchdog = Watchdog(limit_seconds=0.5)
    watchdog.start()
    kit.hall._calls._watchdog = watchdog
    yield request.param
    watchdog.stop()


@pytest.mark.parametrize("how", ["raise", "hang"], indirect=True)
async def test_a_token_is_refused_where_nobody_can_tell_of_a_ban(kit: HallKit, how: str) -> None:
    assert kit.hall.refuses_join("alice") is None
    fails(kit, how)
    refusal = kit.hall.refuses_join("alice")
    assert refusal is not None
    assert refusal.code == "internal"


async def test_a_description_has_the_parts_of_the_others(kit: HallKit, how: str) -> None:
    assert kit.hall.summary().items() >= {"guard": 1, "other": 2}.items()
    fails(kit, how)
    summary = kit.hall.summary()
    assert (summary.get("guard"), summary["other"]) == (None, 2)


async def test_who_asks_for_the_state_gets_what_there_is(kit: HallKit, how: str) -> None:
    alice = await kit.join("alice")
    assert (await alice.ask("sync", {}))["guard"] == 1
    fails(kit, how)
    state = await alice.ask("sync", {})
    assert (state["role"], "guard" in state) == ("viewer", False)


@pytest.mark.parametrize("how", ["raise", "hang"], indirect=True)
async def test_a_command_that_two_have_is_refused(kit: HallKit, how: str) -> None:
    alice = await kit.join("alice")
    fails(kit, how)
    with pytest.raises(Refused, match="internal"):
        await alice.say("/go")
    assert await alice.say("/go@other") == {"notice": "gone"}


async def test_a_snapshot_is_left_out(kit: HallKit, how: str) -> None:
    alice = await kit.join("alice")
    await alice.ask("tell", {})
    await alice.wait("told")
    await alice.wait("told_some")
    fails(kit, how)
    await alice.ask("tell", {})
    await alice.wait("told_at_once", lambda payload: len(alice.all("told_at_once")) == 2)
    fails(kit, "not at all")
    await alice.ask("tell", {})
    await kit.until(lambda: len(alice.all("told")) == 2)


@pytest.mark.parametrize(("kind", "code"), [("trap", "internal"), ("banned", "blocked")])
async def test_what_was_refused_is_not_remembered_for_ever(kit: HallKit, kind: str, code: str) -> None:
    """An exception that is raised again and again keeps the frames of every time, and the messages in them."""
    alice = await kit.join("alice")
    for _ in range(5):
        with pytest.raises(Refused, match=code):
            await alice.ask(kind, {})
    await kit.settle()
    gc.collect()
    assert sum(isinstance(thing, Message) and thing.kind == kind for thing in gc.get_objects()) <= 1
