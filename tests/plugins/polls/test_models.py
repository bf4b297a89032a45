"""Every kind of poll against a naive model, whatever happens in whatever order."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from relay_bot.testing import Guest, HallKit, Refused
from tests.plugins.polls import naive
from tests.plugins.polls.conftest import UNLIMITED, Ground

VOTERS = ("ann", "ben", "cat", "dan")
OPTIONS = ["red", "green", "blue", "grey"]
_WORDS = st.lists(st.sampled_from(["tea", "milk", "sugar", "rum"]), min_size=1, max_size=4).map(" ".join)


class Sort(msgspec.Struct, frozen=True):
    """How a kind is asked, voted on, and what its results must be."""

    name: str
    asked: dict[str, Any]
    field: str
    ballots: st.SearchStrategy[Any]
    results: Callable[[dict[str, Any]], dict[str, Any]]
    wrong: Any
    revote: bool = True
    reopens: bool = True


def _choice(ballots: dict[str, Any]) -> dict[str, Any]:
    counted = naive.counts(ballots, len(OPTIONS))
    most = max(counted)
    leaders = [index for index, count in enumerate(counted) if count == most] if most else []
    return {
        "counts": counted,
        "percentages": naive.percentages(counted),
        "total_votes": sum(counted),
        "leaders": leaders,
        "tie": len(leaders) > 1,
    }


def _quiz(ballots: dict[str, Any]) -> dict[str, Any]:
    counted = naive.counts(ballots, len(OPTIONS))
    return {"counts": counted, "total_votes": sum(counted)}


def _rating(ballots: dict[str, Any]) -> dict[str, Any]:
    given = list(ballots.values())
    net = sum((n >= 9) - (n <= 6) for n in given)
    return {
        "counts": [given.count(step) for step in range(11)],
        "total_votes": len(given),
        "average": round(sum(given) / len(given), 3) if given else None,
        "nps": (1 if net > 0 else -1) * int(abs(net) * 100 / len(given) + 0.5) if given else None,
    }


def _ranking(ballots: dict[str, Any]) -> dict[str, Any]:
    winner, rounds = naive.runoff(ballots, len(OPTIONS))
    return {
        "counts": naive.counts({name: ranking[:1] for name, ranking in ballots.items()}, len(OPTIONS)),
        "borda": naive.borda(ballots, len(OPTIONS)),
        "total_votes": len(ballots),
        "irv": (winner, rounds),
    }


def _text(ballots: dict[str, Any]) -> dict[str, Any]:
    return {"counts": [], "total_votes": len(ballots), "words": naive.words(ballots)}


_SOME = st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True)
SORTS = {
    sort.name: sort
    for sort in (
        Sort("single", {"options": OPTIONS}, "options", st.integers(0, 3).map(lambda n: [n]), _choice, [4]),
        Sort("multiple", {"options": OPTIONS, "max_choices": 3}, "options", _SOME, _choice, [1, 1]),
        Sort("quiz", {"kind": "quiz", "options": OPTIONS, "correct": [1, 2]}, "options",
             st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True), _quiz, [], revote=False, reopens=False),
        Sort("rating", {"kind": "rating", "scale": {"min": 0, "max": 10}}, "rating", st.integers(0, 10), _rating, 11),
        Sort("ranking", {"kind": "ranking", "options": OPTIONS}, "ranking",
             st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True), _ranking, [0, 0]),
        Sort("text", {"kind": "text", "allow_revote": True}, "text", _WORDS, _text, " "),
    )
}  # fmt: skip


class PollMachine(RuleBasedStateMachine):
    def __init__(self, ground: Ground, sort: Sort, *, anonymous: bool) -> None:
        super().__init__()
        self.ground = ground
        self.sort = sort
        self.anonymous = anonymous
        self.stack = AsyncExitStack()
        self.ballots: dict[str, Any] = {}
        self.status = "open"
        self.ids: dict[str, str] = {}

    def do(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.ground.runner.run(step)

    def guest(self, name: str) -> Guest:
        return self.kit.room.guests[name]

    @initialize(draft=st.booleans())
    def begin(self, draft: bool) -> None:
        self.status = "draft" if draft else "open"
        self.do(self._begin())

    async def _begin(self) -> None:
        opened = HallKit.open(
            self.ground.folder, {"polls": {"required": True}}, settings=UNLIMITED, journal=self.ground.journal
        )
        self.kit = await self.stack.enter_async_context(opened)
        for name in ("host", *VOTERS):
            await self.kit.join(name, role="host" if name == "host" else "")
        asked = {"poll_id": "p", "question": "Which?", "anonymous": self.anonymous, "duration_seconds": 9_000}
        await self.guest("host").ask("poll", asked | self.sort.asked | {"state": self.status})

    def teardown(self) -> None:
        self.do(self._end())

    async def _end(self) -> None:
        await self.kit.settle()
        live, replayed = self.kit.fingerprints(), await self.kit.replayed()
        await self.stack.aclose()
        assert live == replayed

    # -- steps --------------------------------------------------------------------------------------

    @rule(voter=st.sampled_from(VOTERS), data=st.data(), twice=st.booleans())
    def vote(self, voter: str, data: st.DataObject, twice: bool) -> None:
        ballot = data.draw(self.sort.ballots)
        message_id = self.ids[voter] = str(uuid.uuid4())
        said = self.do(self._vote(voter, ballot, message_id))
        if twice:
            assert self.do(self._vote(voter, ballot, message_id)) == said
        if self.status != "open":
            assert said == self._not_open()
        elif not self.sort.revote and voter in self.ballots and not _same(self.ballots[voter], ballot):
            assert said == "already_voted"
        else:
            assert said == ""
            self.ballots[voter] = ballot

    def _not_open(self) -> str:
        """The refusal of a vote: a draft is nobody's to know of."""
        return "poll_not_found" if self.status == "draft" else "poll_closed"

    async def _vote(self, voter: str, ballot: Any, message_id: str) -> str:
        try:
            await self.guest(voter).ask("poll_response", {"poll_id": "p", self.sort.field: ballot}, message_id)
        except Refused as refused:
            return refused.code
        return ""

    @rule(voter=st.sampled_from(VOTERS))
    def vote_wrongly(self, voter: str) -> None:
        said = self.do(self._vote(voter, self.sort.wrong, str(uuid.uuid4())))
        assert said == ("invalid_choice" if self.status == "open" else self._not_open())

    @rule(voter=st.sampled_from(VOTERS), data=st.data())
    def repeat_an_old_message(self, voter: str, data: st.DataObject) -> None:
        if voter in self.ids:
            self.do(self._vote(voter, data.draw(self.sort.ballots), self.ids[voter]))

    @rule(voter=st.sampled_from(VOTERS))
    def reconnect(self, voter: str) -> None:
        self.guest(voter).leave()
        self.do(self.kit.join(voter))

    @rule()
    def restart(self) -> None:
        self.do(self.kit.settle())
        self.do(self.kit.restart())

    @rule(seconds=st.sampled_from([-60, 30, 600]))
    def extend(self, seconds: int) -> None:
        self._ask("poll_extend", "poll_closed" if self.status in ("closed", "draft") else "", seconds=seconds)

    @precondition(lambda self: self.status == "draft")
    @rule()
    def open(self) -> None:
        self._ask("poll_open", "")
        self.status = "open"

    @precondition(lambda self: self.status in ("open", "paused"))
    @rule(way=st.sampled_from(["close", "extend"]))
    def close(self, way: str) -> None:
        if way == "extend" and self.status == "open":
            self._ask("poll_extend", "", seconds=-86_000)
        else:
            self._ask("poll_close", "")
        self.status = "closed"

    @precondition(lambda self: self.status == "open")
    @rule()
    def pause(self) -> None:
        self._ask("poll_pause", "")
        self.status = "paused"

    @precondition(lambda self: self.status == "paused")
    @rule()
    def resume(self) -> None:
        self._ask("poll_resume", "")
        self.status = "open"

    @precondition(lambda self: self.status == "closed")
    @rule()
    def reopen(self) -> None:
        may = self.sort.reopens and not self.anonymous
        self._ask("poll_reopen", "" if may else "forbidden", duration_seconds=9_000)
        self.status = "open" if may else "closed"

    def _ask(self, kind: str, expected: str, **more: Any) -> None:
        said = ""
        try:
            self.do(self.guest("host").ask(kind, {"poll_id": "p"} | more))
        except Refused as refused:
            said = refused.code
        assert said == expected

    # -- what must hold -----------------------------------------------------------------------------

    @invariant()
    def the_results_are_the_models(self) -> None:
        if not hasattr(self, "kit"):
            return
        shown = self.do(self.kit.call("polls", "get_poll", poll_id="p"))
        assert shown["status"] == self.status
        assert shown["total_voters"] == len(self.ballots)
        if "irv" in shown:
            shown["irv"] = (shown["irv"]["winner"], [each["counts"] for each in shown["irv"]["rounds"]])
        if "words" in shown:
            shown["words"] = {entry["word"]: entry["count"] for entry in shown["words"]}
        expected = self.sort.results(self.ballots)
        assert {name: shown.get(name) for name in expected} == expected

    @invariant()
    def everybody_sees_their_own_vote(self) -> None:
        if not hasattr(self, "kit") or self.status in ("closed", "draft"):
            return
        session = self.kit.hall.session
        assert session is not None
        for voter in VOTERS:
            person = self.kit.hall.roster.get(voter)
            assert person is not None
            (poll,) = session.plugins["polls"].hall_state(person)["polls"]
            mine = self.ballots.get(voter)
            assert _same(poll["my_vote"], mine) if self.sort.field == "options" else poll["my_vote"] == mine


def _same(one: Any, other: Any) -> bool:
    return (None if one is None else sorted(one)) == (None if other is None else sorted(other))


@pytest.mark.parametrize("anonymous", [False, True], ids=["named", "anonymous"])
@pytest.mark.parametrize("sort", SORTS.values(), ids=SORTS)
def test_model(ground: Ground, sort: Sort, anonymous: bool) -> None:
    machine: Any = partial(PollMachine, ground, sort, anonymous=anonymous)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=6,
            stateful_step_count=14,
            deadline=None,
            phases=[Phase.generate],  # making an example smaller takes minutes, and it is short already
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
