"""Hands and stage as a state machine beside a naive model: whatever happens in whatever order, both agree."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from relay_bot.testing import Guest, HallKit, Refused
from tests.plugins.hands.support import all_done, modules_with_clock

PEOPLE = ("ann", "bob", "cy")
GRACE, INVITE, LIMIT = 60, 30, 2
people = st.sampled_from(PEOPLE)


class Model:
    """The rules, written down a second time and as simply as can be."""

    def __init__(self) -> None:
        self.now = 0
        self.open = True
        self.here: set[str] = set()
        self.queue: list[str] = []
        self.stage: list[str] = []
        self.invited: dict[str, int] = {}
        self.expired: set[str] = set()
        self.away: dict[str, int] = {}

    def join(self, who: str) -> None:
        self.here.add(who)
        self.away.pop(who, None)

    def leave(self, who: str) -> None:
        self.here.remove(who)
        self.away[who] = self.now + GRACE

    def advance(self, seconds: int) -> None:
        self.now += seconds
        for who in [each for each, at in self.away.items() if at <= self.now]:
            del self.away[who]
            self.drop_hand(who)
            if who in self.stage:
                self.stage.remove(who)
        for who in [each for each, at in self.invited.items() if at <= self.now]:
            del self.invited[who]
            self.expired.add(who)
            self.drop_hand(who)

    def drop_hand(self, who: str) -> None:
        if who in self.queue:
            self.queue.remove(who)

    def raise_hand(self, who: str) -> str:
        if who not in self.queue and not self.open:
            return "forbidden"
        if who not in self.queue:
            self.queue.append(who)
        return ""

    def lower(self, who: str) -> str:
        if who not in self.queue:
            return "not_raised"
        self.queue.remove(who)
        return ""

    def move(self, who: str, position: int) -> str:
        if who not in self.queue:
            return "not_raised"
        if position > len(self.queue):
            return "malformed"
        self.queue.remove(who)
        self.queue.insert(position - 1, who)
        return ""

    def invite(self, who: str) -> str:
        if who in self.stage:
            return ""
        if who not in self.here:
            return "not_found"
        if len(self.stage) >= LIMIT:
            return "stage_full"
        self.invited[who] = self.now + INVITE
        self.expired.discard(who)
        return ""

    def next(self) -> str:
        ready = [who for who in self.queue if who in self.here and who not in self.invited and who not in self.stage]
        return self.invite(ready[0]) if ready else "not_raised"

    def answer(self, who: str, accepted: bool) -> str:
        if accepted and who in self.stage:
            return ""
        if who in self.expired:
            return "invite_expired"
        if who not in self.invited:
            return "not_invited"
        if accepted:
            return self.promote(who)
        del self.invited[who]
        self.drop_hand(who)
        return ""

    def promote(self, who: str) -> str:
        if who in self.stage:
            return ""
        if who not in self.here:
            return "not_found"
        if len(self.stage) >= LIMIT:
            return "stage_full"
        self.stage.append(who)
        self.invited.pop(who, None)
        self.drop_hand(who)
        return ""

    def demote(self, who: str) -> str:
        if who in self.stage:
            self.stage.remove(who)
        elif who in self.invited:
            del self.invited[who]
        else:
            return "not_found"
        return ""

    def leave_stage(self, who: str) -> str:
        return self.demote(who) if who in self.stage else "not_found"


class HandsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model = Model()
        self.guests: dict[str, Guest] = {}
        self.patch = pytest.MonkeyPatch()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        start = 1_767_261_600_000
        for module in modules_with_clock():
            self.patch.setattr(module, "now_ms", lambda: start + self.model.now * 1000)
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        hands = {"grace_seconds": GRACE, "invite_seconds": INVITE, "stage_limit": LIMIT}
        self.kit: HallKit = self.run(self.stack.enter_async_context(HallKit.open(folder, {"hands": hands})))
        self.host: Guest = self.run(self.kit.join("host", role="host"))
        for who in PEOPLE:
            self.come_or_go(who)

    def ask(self, work: Callable[[], Coroutine[Any, Any, Any]], expected: str) -> None:
        async def asking() -> str:
            try:
                await work()
            except Refused as refusal:
                return refusal.code
            await all_done(self.kit)
            return ""

        assert self.run(asking()) == expected

    def do(self, method: str, expected: str, **parameters: Any) -> None:
        self.ask(lambda: self.kit.call("hands", method, **parameters), expected)

    # Few rules with many ways, not many rules: hypothesis switches whole rules off in an example.

    @rule(who=people)
    def come_or_go(self, who: str) -> None:
        async def moving() -> None:
            if who in self.model.here:
                self.guests.pop(who).leave()
                self.model.leave(who)
            else:
                self.guests[who] = await self.kit.join(who)
                self.model.join(who)
            await all_done(self.kit)

        self.run(moving())

    @rule(who=people, way=st.sampled_from(["raise", "raise again", "lower", "lowered by the host"]))
    def hand(self, who: str, way: str) -> None:
        if way == "lowered by the host":
            lower = {"raised": False, "participant_id": who}
            self.ask(lambda: self.host.ask("hand_raise", lower), self.model.lower(who))
        elif who in self.guests:
            raised = way != "lower"
            expected = self.model.raise_hand(who) if raised else self.model.lower(who)
            self.ask(lambda: self.guests[who].ask("hand_raise", {"raised": raised}), expected)

    @rule(who=people, way=st.sampled_from(["move", "move", "lower all", "open or close"]), position=st.integers(1, 3))
    def order(self, who: str, way: str, position: int) -> None:
        if way == "move":
            self.do("move_hand", self.model.move(who, position), participant_id=who, position=position)
        elif way == "lower all":
            self.model.queue.clear()
            self.do("lower_hand", "", all=True)
        else:
            self.model.open = not self.model.open
            self.do("open_hands" if self.model.open else "close_hands", "")

    @rule(who=people, way=st.sampled_from(["invite", "invite", "next", "accept", "accept", "decline"]))
    def invitation(self, who: str, way: str) -> None:
        if way == "invite":
            self.do("invite_to_stage", self.model.invite(who), participant_id=who)
        elif way == "next":
            self.do("next_in_line", self.model.next())
        elif who in self.guests:
            response = {"accepted": way == "accept"}
            expected = self.model.answer(who, way == "accept")
            self.ask(lambda: self.guests[who].ask("guest_invite_response", response), expected)

    @rule(who=people, way=st.sampled_from(["promote", "demote", "leave"]))
    def on_stage(self, who: str, way: str) -> None:
        if way == "promote":
            self.do("promote_to_stage", self.model.promote(who), participant_id=who)
        elif way == "demote":
            self.do("demote_from_stage", self.model.demote(who), participant_id=who)
        elif who in self.guests:
            self.ask(lambda: self.guests[who].ask("guest_demote", {}), self.model.leave_stage(who))

    @rule(tens=st.integers(1, 7))
    def wait(self, tens: int) -> None:
        async def waiting() -> None:
            self.model.advance(tens * 10)
            self.kit.room.tell()
            session = self.kit.hall.session
            assert session is not None
            now = modules_with_clock()[0].now_ms()
            await self.kit.until(lambda: not session.core.due(now))
            await all_done(self.kit)

        self.run(waiting())

    @rule()
    def restart(self) -> None:
        async def restarting() -> None:
            await self.kit.restart()
            await all_done(self.kit)

        self.run(restarting())

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "kit"):
            return

        async def looking() -> tuple[Any, Any]:
            return await self.kit.call("hands", "list_hands"), await self.kit.call("hands", "show_stage")

        hands, stage = self.run(looking())
        model = self.model
        assert [hand["participant_id"] for hand in hands["queue"]] == model.queue
        assert [hand["position"] for hand in hands["queue"]] == list(range(1, len(model.queue) + 1))
        assert {hand["participant_id"] for hand in hands["queue"] if hand.get("away")} == {
            who for who in model.queue if who in model.away
        }
        assert {each["participant_id"] for each in stage["invited"]} == set(model.invited)
        assert [each["participant_id"] for each in stage["on_stage"]] == model.stage
        assert stage["pending"] == []
        for who, guest in self.guests.items():
            assert guest.presence.can_publish == (who in model.stage), who

    def teardown(self) -> None:
        try:
            if hasattr(self, "kit"):
                self.run(self._replays())
                self.run(self.stack.aclose())
        finally:
            self.patch.undo()
            self.runner.close()

    async def _replays(self) -> None:
        assert self.kit.fingerprints() == await self.kit.replayed()


def test_hands_and_stage_agree_with_the_model() -> None:
    run_state_machine_as_test(
        HandsMachine,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes longer than a test may
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
