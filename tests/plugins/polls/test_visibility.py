"""Who sees what, and that nobody else gets the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plugins.polls.plugin import PollsPlugin
from plugins.polls.state import Poll
from plugins.polls.views import fitted
from relay_bot.settings import HallsSettings
from relay_bot.testing import Guest, HallKit, Refused
from tests.plugins.polls.conftest import UNLIMITED

QUESTION = {"poll_id": "p", "question": "Which?", "options": ["left", "right"]}
TELLING = ('"counts"', '"percentages"', '"total_votes"', '"total_voters"', '"leaders"', '"words"', '"correct"',
           '"average"', '"irv"', '"leaderboard"', '"answers"', '"explanation"')  # fmt: skip


def told(guest: Guest) -> str:
    """All that a guest has ever received, as text."""
    return "\n".join(msgspec.json.encode(packet).decode() for packet in guest.received)


def knows(guest: Guest) -> bool:
    return any(word in told(guest) for word in TELLING)


async def _vote(guest: Guest, option: int, poll_id: str = "p") -> None:
    await guest.ask("poll_response", {"poll_id": poll_id, "option": option})


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    """A hall whose results leave as often as they may: these tests wait for what does not come."""
    settings = msgspec.structs.replace(UNLIMITED, halls=HallsSettings(snapshots_per_second=20))
    async with HallKit.open(tmp_path, {"polls": {"required": True}}, settings=settings) as hall:
        yield hall
        await hall.settle()
        assert hall.fingerprints() == await hall.replayed()


async def _pushed(kit: HallKit) -> None:
    """Let throttled results leave: three times as long as the throttle holds them."""
    await asyncio.sleep(0.15)
    await kit.settle()


@pytest.mark.parametrize(
    ("mode", "open_voter", "open_viewer", "closed", "published"),
    [
        ("live", True, True, True, True),
        ("after_vote", True, False, True, True),
        ("on_close", False, False, True, True),
        ("held", False, False, False, True),
        ("hosts", False, False, False, None),
    ],
)
@pytest.mark.parametrize("anonymous", [False, True])
async def test_who_gets_results(
    kit: HallKit, host: Guest, ann: Guest, ben: Guest, *,
    mode: str, anonymous: bool, open_voter: bool, open_viewer: bool, closed: bool, published: bool | None,
) -> None:  # fmt: skip
    await host.ask("poll", QUESTION | {"results": mode, "anonymous": anonymous})
    await _vote(ann, 1)
    await _pushed(kit)
    late = await kit.join("late")
    synced = await ben.ask("sync", {})
    assert host.last("poll_results")["counts"] == [0, 1]
    assert (knows(ann), knows(ben), knows(late)) == (open_voter, open_viewer, open_viewer)
    assert ("results" in synced["polls"][0]) is open_viewer
    assert ("results" in (await ann.ask("sync", {}))["polls"][0]) is open_voter
    assert (await host.ask("sync", {}))["polls"][0]["results"]["counts"] == [0, 1]
    if not open_viewer:
        with pytest.raises(Refused, match="forbidden"):
            await ben.say("/results")

    await host.ask("poll_close", {"poll_id": "p"})
    await kit.settle()
    assert ben.last("poll_closed").get("counts") == ([0, 1] if closed else None)
    assert knows(ben) is closed
    assert "[0,1]" in told(host).replace('"my_vote":[0,1]', "")

    if published is None:
        with pytest.raises(Refused, match="forbidden"):
            await host.ask("poll_publish", {"poll_id": "p"})
    else:
        await host.ask("poll_publish", {"poll_id": "p"})
        await kit.settle()
        newest = [packet["payload"] for packet in ben.received if packet["type"] in ("poll_closed", "poll_results")]
        assert newest[-1]["counts"] == [0, 1]
    seqs = [payload["seq"] for payload in ben.all("poll_results")]
    assert seqs == sorted(seqs)


async def test_results_published_while_open_are_live_from_then_on(kit: HallKit, host: Guest, ben: Guest) -> None:
    await host.ask("poll", QUESTION | {"results": "held"})
    await _vote(ben, 0)
    assert not knows(ben)
    await host.ask("poll_publish", {"poll_id": "p"})
    assert (await ben.wait("poll_results"))["counts"] == [1, 0]
    await _vote(ben, 1)
    await ben.wait("poll_results", lambda payload: payload["counts"] == [0, 1])


async def test_a_series_is_published_together(kit: HallKit, host: Guest, ann: Guest) -> None:
    for index in range(3):
        series = {"series": {"series_id": "s", "index": index}, "results": "held"}
        await host.ask("poll", QUESTION | series | {"poll_id": f"p{index}"})
        await _vote(ann, index % 2, f"p{index}")
    for poll_id in ("p0", "p1"):
        await host.ask("poll_close", {"poll_id": poll_id})
    assert not knows(ann)
    await host.ask("poll_publish", {"series_id": "s"})
    assert {payload["poll_id"] for payload in ann.all("poll_results")} == {"p0", "p1"}  # p2 is still open


async def test_nobody_but_hosts_hears_of_a_draft(kit: HallKit, host: Guest, ann: Guest) -> None:
    quiz = {"kind": "quiz", "correct": [1], "explanation": "because-of-this"}
    await host.ask("poll", QUESTION | quiz | {"state": "draft"})
    await kit.backend("poll", QUESTION | quiz | {"poll_id": "b", "state": "draft"})
    late = await kit.join("late")
    for guest in (ann, late):
        assert '"p"' not in told(guest)
        assert '"b"' not in told(guest)
        assert "because-of-this" not in told(guest)
        assert not knows(guest)
    assert {poll["poll_id"] for poll in (await host.ask("sync", {}))["planned_polls"]} == {"p", "b"}
    with pytest.raises(Refused, match="poll_not_found"):
        await _vote(ann, 0)


async def test_a_quiz_tells_its_solution_when_its_results_are_told(kit: HallKit, host: Guest, ann: Guest) -> None:
    quiz = {"kind": "quiz", "correct": [1], "explanation": "because-of-this", "results": "held"}
    await host.ask("poll", QUESTION | quiz)
    await _vote(ann, 1)
    await host.ask("poll_close", {"poll_id": "p"})
    await kit.settle()
    assert "because-of-this" not in told(ann)
    assert not knows(ann)
    assert not ann.all("quiz_rank")
    assert "quiz" not in await ann.ask("sync", {})
    assert host.last("poll_results")["correct"] == [1]
    await host.ask("poll_publish", {"poll_id": "p"})
    assert ann.last("poll_results")["explanation"] == "because-of-this"
    assert ann.last("quiz_rank")["rank"] == 1
    assert (await ann.ask("sync", {}))["quiz"]["rank"] == 1


async def test_a_poll_sent_to_some_is_theirs_and_the_hosts(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await kit.backend("poll", QUESTION, to=["ann"])
    await _vote(ann, 1)
    await _pushed(kit)
    assert (await ben.ask("sync", {}))["polls"] == []
    with pytest.raises(Refused, match="poll_not_found"):
        await _vote(ben, 0)
    assert (ann.last("poll_results")["counts"], host.last("poll_results")["counts"]) == ([0, 1], [0, 1])
    await host.ask("poll_close", {"poll_id": "p"})
    await kit.settle()
    assert ann.last("poll_closed")["counts"] == host.last("poll_closed")["counts"] == [0, 1]
    assert "Which?" not in told(ben)
    assert not knows(ben)


async def test_what_a_backend_sends_about_polls_is_not_passed_on(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", QUESTION | {"results": "hosts"})
    await kit.backend("poll_response", {"poll_id": "p", "option": 1}, sender_id="ben")
    await kit.backend("poll_pause", {"poll_id": "p"})
    await kit.settle()
    assert {packet["type"] for packet in ann.received} <= {"hall_state", "poll"}
    assert (await kit.call("polls", "get_poll", poll_id="p"))["counts"] == [0, 1]


async def test_text_answers_go_to_hosts_alone(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await host.ask("poll", {"poll_id": "p", "kind": "text", "question": "Why?"})
    await ann.ask("poll_response", {"poll_id": "p", "text": "Secret Sentence"})
    await ben.wait("poll_results")
    answers = await host.wait("poll_answers")
    assert answers["answers"] == [{"text": "Secret Sentence", "participant_id": "ann"}]
    await host.ask("poll_close", {"poll_id": "p"})
    await kit.settle()
    assert "Secret Sentence" not in told(ben)
    assert ben.last("poll_closed")["words"] == [{"word": "Secret", "count": 1}, {"word": "Sentence", "count": 1}]
    assert host.last("poll_results")["answers"] == answers["answers"]


async def test_a_discarded_poll_tells_participants_nothing(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", QUESTION | {"results": "on_close"})
    await _vote(ann, 1)
    await host.ask("poll_discard", {"poll_id": "p"})
    await kit.settle()
    assert ann.last("poll_closed")["status"] == "archived"
    assert not knows(ann)
    assert (await kit.call("polls", "get_poll", poll_id="p"))["counts"] == [0, 1]
    with pytest.raises(Refused, match="poll_closed"):
        await host.ask("poll_publish", {"poll_id": "p"})


async def test_results_are_throttled_and_in_order(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", QUESTION)
    voters = [await kit.join(f"v{number}") for number in range(60)]
    for round_ in range(2):
        for guest in voters:
            guest.send("poll_response", {"poll_id": "p", "option": round_}, f"{round_}-{guest.identity}-{'x' * 16}")
        await kit.settle()
    final: dict[str, Any] = await ann.wait("poll_results", lambda payload: payload["counts"] == [0, 60])
    assert final["total_voters"] == 60
    seqs = [payload["seq"] for payload in ann.all("poll_results")]
    assert seqs == sorted(set(seqs))
    assert len(seqs) <= 8


async def test_results_that_wait_for_their_time_go_to_who_has_voted_meanwhile(
    kit: HallKit, host: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is journaled for the sake of telling them, and who they are is asked once for each telling."""
    asked: list[str] = []
    may_see = PollsPlugin._may_see

    def counted(self: PollsPlugin, poll: Poll, identity: str) -> bool:
        asked.append(identity)
        return may_see(self, poll, identity)

    monkeypatch.setattr(PollsPlugin, "_may_see", counted)
    guests = [await kit.join(f"p{number}") for number in range(4)]
    await host.ask("poll", QUESTION | {"results": "after_vote"})
    seq = kit.hall.seq
    for guest in guests[:3]:
        await _vote(guest, 0)
    for guest in [host, *guests[:3]]:
        await guest.wait("poll_results", lambda payload: payload["total_voters"] == 3)
    assert not knows(guests[3])
    assert kit.hall.seq == seq + 3
    told = len(host.all("poll_results"))
    assert told <= 3
    assert len(asked) == told * len(guests)


async def test_one_poll_can_be_asked_for_as_hall_state_has_it(kit: HallKit) -> None:
    host, ann, bob = await kit.join("host", role="host"), await kit.join("ann"), await kit.join("bob")
    await host.ask("poll", QUESTION | {"results": "after_vote"})
    await _vote(ann, 1)
    for guest, vote in ((ann, [1]), (bob, None)):
        one = await guest.ask("poll_get", {"poll_id": "p"})
        [in_state] = (await guest.ask("sync", {}))["polls"]
        assert {**one, "seq": 0} == {**in_state, "seq": 0}
        assert (one["my_vote"], "results" in one) == (None if vote is None else in_state["my_vote"], vote is not None)
    await host.ask("poll_close", {"poll_id": "p"})
    one = await ann.ask("poll_get", {"poll_id": "p"})
    assert (one["status"], one["results"]["counts"]) == ("closed", [0, 1])
    ann.send("poll_get", {"poll_id": "p"}, "m1")
    await kit.settle()
    assert ann.last("ack")["result"]["poll_id"] == "p"
    bob.send("poll_get", {"poll_id": "p"}, "m2")
    await kit.settle()
    assert bob.last("ack")["result"]["my_vote"] is None


@pytest.mark.parametrize("hidden", ["unknown", "draft", "others", "discarded"])
async def test_a_poll_that_is_not_theirs_to_see_cannot_be_asked_for(kit: HallKit, hidden: str) -> None:
    host, ann = await kit.join("host", role="host"), await kit.join("ann")
    more = {"state": "draft"} if hidden == "draft" else {}
    if hidden != "unknown":
        await kit.backend("poll", QUESTION | more, to=["bob"] if hidden == "others" else None)
    if hidden == "discarded":
        await host.ask("poll_discard", {"poll_id": "p"})
    with pytest.raises(Refused) as refused:
        await ann.ask("poll_get", {"poll_id": "p"})
    assert refused.value.code == "poll_not_found"
    if hidden != "unknown":
        assert (await host.ask("poll_get", {"poll_id": "p"}))["poll_id"] == "p"


def test_results_that_are_too_long_give_way_to_the_poll() -> None:
    said = {"poll_id": "p", "question": "?" * 9_000, "results": {"counts": [10**9] * 600}}
    assert fitted(said) == {"poll_id": "p", "question": "?" * 9_000, "truncated": ["results"]}
