"""A poll's life: drafts, times, pauses, series, rounds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from relay_bot.plugin import iso, parse_iso
from relay_bot.testing import Guest, HallKit, Refused

POLL: dict[str, Any] = {"poll_id": "p", "question": "Which?", "options": ["left", "right"]}


def _in(seconds: float) -> str:
    return iso(round((time.time() + seconds) * 1000))


async def _shown(kit: HallKit, poll_id: str = "p") -> dict[str, Any]:
    return await kit.call("polls", "get_poll", poll_id=poll_id)


async def _status(kit: HallKit, poll_id: str = "p") -> str:
    return (await _shown(kit, poll_id))["status"]


async def test_the_published_form(kit: HallKit, ann: Guest) -> None:
    payload = {"poll_id": "poll_001", "question": "How?", "options": ["Great", "Good"], "duration_seconds": 30}
    answer = await kit.backend("poll", payload)
    assert "result" not in answer
    said = await ann.wait("poll")
    assert said | payload == said
    assert parse_iso(said["closes_at"]) - parse_iso(said["opened_at"]) == 30_000
    assert len(ann.all("poll")) == 1
    shown = await _shown(kit, "poll_001")
    wanted = "poll_id question options status seq counts total_voters total_votes opened_at closes_at closed_at"
    assert set(wanted.split()) <= set(shown)


async def test_an_id_is_made_where_none_is_given(kit: HallKit, host: Guest) -> None:
    made = await host.ask("poll", {"question": "Which?", "options": ["a", "b"]})
    assert await _status(kit, made["poll_id"]) == "open"
    assert await host.ask("poll", POLL) is None


async def test_a_draft_is_opened_by_hand(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"state": "draft", "duration_seconds": 60})
    assert await _status(kit) == "draft"
    await host.ask("poll_open", {"poll_id": "p"})
    said = await ann.wait("poll")
    assert parse_iso(said["closes_at"]) - parse_iso(said["opened_at"]) == 60_000
    await host.ask("poll_open", {"poll_id": "p"})
    assert len(ann.all("poll")) == 1


@pytest.mark.parametrize("restart", [False, True])
async def test_a_scheduled_poll_opens_and_closes_by_itself(
    kit: HallKit, host: Guest, ann: Guest, restart: bool
) -> None:
    await host.ask("poll", POLL | {"opens_at": _in(0.25), "duration_seconds": 0.3})
    assert await _status(kit) == "scheduled"
    if restart:
        await kit.restart()
    assert (await ann.wait("poll"))["status"] == "open"
    await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    if restart:
        await kit.restart()
    assert (await ann.wait("poll_closed"))["counts"] == [1, 0]
    shown = await _shown(kit)
    assert parse_iso(shown["closed_at"]) >= parse_iso(shown["closes_at"])


async def test_a_scheduled_poll_waits_where_too_many_are_open(tmp_path: Any) -> None:
    async with HallKit.open(tmp_path, {"polls": {"max_open": 1}}) as kit:
        host = await kit.join("host", role="host")
        await host.ask("poll", POLL | {"poll_id": "first"})
        await host.ask("poll", POLL | {"opens_at": _in(0.05)})
        assert "too many" in (await host.wait("notice"))["text"]
        assert await _status(kit) == "draft"


async def test_after_its_time_no_vote_counts(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"duration_seconds": 0.15})
    task = kit._task  # pyright: ignore[reportPrivateUsage]  (the bot is killed, and is away when the time is over)
    assert task is not None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.2)
    kit.room.sinks.clear()
    await kit.start()
    with pytest.raises(Refused, match="poll_closed"):
        await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    assert (await ann.wait("poll_closed"))["total_voters"] == 0


async def test_a_vote_that_comes_before_the_timer_but_after_the_time(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"duration_seconds": 0.05})
    time.sleep(0.1)  # noqa: ASYNC251  (the loop is busy, so that the vote is taken up before the timer)
    ann.send("poll_response", {"poll_id": "p", "option": 0}, "late")
    await ann.wait("poll_closed")
    assert ann.last("error")["code"] == "poll_closed"
    assert (await _shown(kit))["total_voters"] == 0


@pytest.mark.parametrize("end", ["poll_close", "poll_discard"])
async def test_what_has_ended_leaves_no_timer(kit: HallKit, host: Guest, ann: Guest, end: str) -> None:
    await host.ask("poll", POLL | {"duration_seconds": 60, "results": "after_vote"})
    await host.ask("poll", POLL | {"poll_id": "later", "opens_at": _in(60)})
    await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    session = kit.hall.session
    assert session is not None
    assert len(session.core.timers) == 2
    await host.ask(end, {"poll_id": "p"})
    await host.ask("poll_discard", {"poll_id": "later"})
    assert session.core.timers == {}


async def test_extend_and_shorten(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"duration_seconds": 60})
    before = parse_iso(ann.last("poll")["closes_at"])
    longer = await kit.call("polls", "extend_poll", poll_id="p", seconds=30)
    assert parse_iso(longer["closes_at"]) - before == 30_000
    await host.ask("poll_extend", {"poll_id": "p", "seconds": -45.5})
    said = ann.last("poll")
    assert parse_iso(said["closes_at"]) - before == -15_500
    assert said["seq"] > ann.all("poll")[0]["seq"]
    await host.ask("poll_extend", {"poll_id": "p", "seconds": -45})
    assert ann.last("poll_closed")["status"] == "closed"


async def test_an_extended_poll_closes_at_its_new_time_only(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"duration_seconds": 0.2})
    await host.ask("poll_extend", {"poll_id": "p", "seconds": 0.3})
    await asyncio.sleep(0.3)
    await kit.restart()
    await ann.ask("poll_response", {"poll_id": "p", "option": 1})
    await ann.wait("poll_closed")
    shown = await _shown(kit)
    assert parse_iso(shown["closes_at"]) - parse_iso(shown["opened_at"]) == 500


async def test_a_poll_without_an_end_gets_one(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL)
    await host.ask("poll_extend", {"poll_id": "p", "seconds": 0.1})
    await ann.wait("poll_closed")


async def test_a_pause_stops_the_clock(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"duration_seconds": 0.3})
    await host.ask("poll_pause", {"poll_id": "p"})
    said = ann.last("poll")
    assert (said["status"], said["closes_at"]) == ("paused", None)
    assert 0 < said["remaining_seconds"] <= 0.3
    await asyncio.sleep(0.4)
    await kit.restart()
    with pytest.raises(Refused, match="poll_closed"):
        await ann.ask("poll_response", {"poll_id": "p", "option": 1})
    await host.ask("poll_extend", {"poll_id": "p", "seconds": 1})
    await host.ask("poll_resume", {"poll_id": "p"})
    await ann.ask("poll_response", {"poll_id": "p", "option": 1})
    assert (await ann.wait("poll_closed"))["counts"] == [0, 1]


async def test_reopen_keeps_votes(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await host.ask("poll", POLL)
    await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    await host.ask("poll_close", {"poll_id": "p"})
    await kit.call("polls", "reopen_poll", poll_id="p", duration_seconds=0.2)
    await ben.ask("poll_response", {"poll_id": "p", "option": 0})
    await kit.until(lambda: len(ann.all("poll_closed")) == 2)
    assert ann.last("poll_closed")["counts"] == [2, 0]


async def test_a_rerun_is_a_new_round(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"results": "on_close"})
    await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    await host.ask("poll_close", {"poll_id": "p"})
    made = await host.ask("poll_rerun", {"poll_id": "p", "duration_seconds": 9})
    said = ann.last("poll")
    assert (said["poll_id"], said["rerun_of"], said["round"]) == (made["poll_id"], "p", 2)
    assert (said["question"], said["results"], said["duration_seconds"]) == ("Which?", "on_close", 9)
    assert (await _shown(kit))["counts"] == [1, 0]
    assert (await _shown(kit, made["poll_id"]))["counts"] == [0, 0]


async def test_a_series_runs_in_its_order(kit: HallKit, host: Guest, ann: Guest) -> None:
    for index in (2, 0, 1):
        series = {"series": {"series_id": "s", "index": index}, "state": "draft", "poll_id": f"q{index}"}
        await host.ask("poll", POLL | series)
    opened: list[str] = []
    for _ in range(3):
        opened.append((await host.ask("poll_next", {}))["poll_id"])
        assert [poll["poll_id"] for poll in (await ann.ask("sync", {}))["polls"]] == opened[-1:]
    assert opened == ["q0", "q1", "q2"]
    with pytest.raises(Refused, match="poll_not_found"):
        await host.ask("poll_next", {"series_id": "s"})
    assert await _status(kit, "q2") == "open"
    series = await kit.call("polls", "get_series", series_id="s")
    assert [poll["poll_id"] for poll in series["polls"]] == opened


async def test_several_are_open_at_once(kit: HallKit, host: Guest, ann: Guest) -> None:
    for name in ("a", "b"):
        await host.ask("poll", POLL | {"poll_id": name})
    await ann.ask("poll_response", {"poll_id": "a", "option": 0})
    await ann.ask("poll_response", {"poll_id": "b", "option": 1})
    await host.ask("poll_close", {"poll_id": "a"})
    assert (await _status(kit, "a"), await _status(kit, "b")) == ("closed", "open")
    listed = (await kit.call("polls", "list_polls"))["polls"]
    assert [poll["counts"] for poll in listed] == [[1, 0], [0, 1]]
    assert kit.hall.summary()["open_polls"] == 1


async def test_the_end_of_the_hall_closes_polls(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL)
    await host.ask("poll", POLL | {"poll_id": "later", "state": "draft"})
    session = kit.hall.session
    kit.close_room()
    await kit.until(lambda: kit.hall.status == "ended")
    assert session is not None
    polls = session.plugins["polls"].state.polls
    assert (polls["p"].status, polls["later"].status) == ("closed", "draft")
    await kit.stop()
    await kit.start()


async def test_commands(kit: HallKit, host: Guest, ann: Guest) -> None:
    said = await host.say('/poll "Tea or coffee?" Tea | Oat milk | "A 3" 60s')
    poll = ann.last("poll")
    assert (poll["question"], poll["options"]) == ("Tea or coffee?", ["Tea", "Oat milk", "A 3"])
    assert poll["duration_seconds"] == 60
    assert poll["poll_id"] in said["notice"]
    await ann.ask("poll_response", {"poll_id": poll["poll_id"], "option": "Tea"})
    assert "Tea: 1 (100%)" in (await ann.say("/results"))["notice"]
    assert (await host.say("/extend 30s"))["notice"].endswith(" s left: Tea or coffee?")
    assert ann.last("poll")["duration_seconds"] == 90
    await host.say(f"/extend -1m {poll['poll_id']}")
    assert ann.last("poll")["duration_seconds"] == 30
    await host.say("/close")
    assert ann.last("poll_closed")["counts"] == [1, 0, 0]
    assert "1 voter" in (await host.say("/results"))["notice"]
    await host.ask("poll", POLL | {"state": "draft", "series": {"series_id": "s", "index": 1}})
    assert "Which?" in (await host.say("/next"))["notice"]
    await host.say('/poll "No end?" yes | no')
    assert ann.last("poll")["closes_at"] is None
    await host.say("/poll “Typed on a telephone?” yes | no")
    assert ann.last("poll")["question"] == "Typed on a telephone?"


async def test_results_in_words(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    async def told(poll: dict[str, Any], one: dict[str, Any], other: dict[str, Any]) -> list[str]:
        """Ask, vote, close; gives the lines after the first."""
        poll_id = (await host.ask("poll", {"question": "?"} | poll))["poll_id"]
        await ann.ask("poll_response", {"poll_id": poll_id} | one)
        await ben.ask("poll_response", {"poll_id": poll_id} | other)
        await host.ask("poll_close", {"poll_id": poll_id})
        return (await ann.say(f"/results {poll_id}"))["notice"].splitlines()[1:]

    assert await told({"options": ["a", "b"]}, {"option": 0}, {"option": 1}) == [
        "a: 1 (50%)",
        "b: 1 (50%)",
        "Tie: a, b",
    ]
    quiz = {"kind": "quiz", "options": ["a", "b"], "correct": [1], "explanation": "so it is"}
    assert await told(quiz, {"option": 1}, {"option": 1}) == ["a: 0 (0%)", "b ✓: 2 (100%)", "so it is"]
    ends = {"kind": "rating", "scale": {"min": 1, "max": 3, "labels": ["bad", "good"]}}
    said = await told(ends, {"rating": 3}, {"rating": 3})
    assert said == ["1 (bad): 0 (0%)", "2: 0 (0%)", "3 (good): 2 (100%)", "Average 3.0"]
    steps = {"kind": "rating", "scale": {"min": 0, "max": 2, "labels": ["no", "so-so", "yes"]}}
    assert (await told(steps, {"rating": 1}, {"rating": 1}))[1] == "1 (so-so): 2 (100%)"
    ranking = {"kind": "ranking", "options": ["a", "b", "c"]}
    said = await told(ranking, {"ranking": [1, 0]}, {"ranking": [1, 2]})
    assert said[3:] == ["Borda points: a 1, b 4, c 1", "Instant runoff: b"]


@pytest.mark.parametrize(
    "line",
    [
        "/poll",
        '/poll "Q?"',
        '/poll "Q?" one',
        '/poll "Q?" a|a',
        "/poll Shall we? yes | no",
        "/extend",
        "/extend soon",
        "/close nothing",
    ],
)
async def test_commands_that_cannot_be(kit: HallKit, host: Guest, ann: Guest, line: str) -> None:
    before = kit.fingerprints()
    with pytest.raises(Refused) as refused:
        await host.say(line)
    assert refused.value.code in ("malformed", "poll_not_found")
    with pytest.raises(Refused, match="forbidden"):
        await ann.say(line)
    assert kit.fingerprints() == before


async def test_a_late_joiner_hears_the_polls_that_run(kit: HallKit, host: Guest) -> None:
    """Clients of the published text know `poll` alone."""
    await host.ask("poll", POLL | {"duration_seconds": 60})
    await host.ask("poll", POLL | {"poll_id": "planned", "state": "draft"})
    await host.ask("poll", POLL | {"poll_id": "over"})
    await host.ask("poll_close", {"poll_id": "over"})
    late, absent = await kit.join("late"), await kit.join("absent", active=False)
    await kit.settle()
    assert late.all("poll") == [host.all("poll")[0] | {"seq": late.last("hall_state")["seq"]}]
    assert late.last("poll")["closes_at"] is not None
    assert [packet["type"] for packet in late.received[:2]] == ["hall_state", "poll"]
    assert absent.all("poll") == []


async def test_a_late_joiner_hears_only_of_polls_for_them(kit: HallKit, host: Guest) -> None:
    await kit.backend("poll", POLL, to=["ann"])
    guests = [await kit.join("ann"), await kit.join("ben"), await kit.join("other", role="host")]
    await kit.settle()
    ann, ben, other = ([packet["type"] for packet in guest.received] for guest in guests)
    assert ann[ann.index("hall_state") :] == ["hall_state", "poll"]
    assert (ben, other) == (["hall_state"], ["hall_state", "poll"])
