"""A vote counts once: over an erasure, over a page that is loaded anew; and it can be taken back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from relay_bot.testing import Guest, HallKit, Refused

POLL: dict[str, Any] = {"poll_id": "p", "question": "?", "options": ["a", "b"]}
QUIZ = POLL | {"poll_id": "q", "kind": "quiz", "correct": [0], "duration_seconds": 60, "speed_bonus": 900}


async def _shown(kit: HallKit, poll_id: str = "p") -> dict[str, Any]:
    return await kit.call("polls", "get_poll", poll_id=poll_id)


async def _code(asked: Any) -> str:
    try:
        await asked
    except Refused as refused:
        return refused.code
    return ""


async def _erase(kit: HallKit, guest: Guest, times: int = 1) -> Guest:
    guest.leave()
    await kit.settle()
    for _ in range(times):
        await kit.hall.erase(guest.identity)
    await kit.settle()
    return await kit.join(guest.identity, name="Ann again")


@pytest.mark.parametrize(
    ("more", "first", "second"),
    [
        ({}, {"option": 0}, {"option": 1}),
        ({"max_choices": 2}, {"options": [0, 1]}, {"options": [1]}),
        ({"weights": {"roles": {"viewer": 0.5}}}, {"option": 0}, {"option": 1}),
        ({"kind": "ranking"}, {"ranking": [0, 1]}, {"ranking": [1, 0]}),
        ({"kind": "rating", "options": []}, {"rating": 1}, {"rating": 5}),
        ({"kind": "text", "options": [], "allow_revote": True}, {"text": "one"}, {"text": "two"}),
        ({"anonymous": True}, {"option": 0}, {"option": 1}),
    ],
)
async def test_whoever_is_erased_and_votes_again_counts_once(
    kit: HallKit, host: Guest, ann: Guest, more: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    await host.ask("poll", POLL | more)
    await ann.ask("poll_response", {"poll_id": "p"} | first)
    ann = await _erase(kit, ann)
    await kit.restart()
    await ann.ask("poll_response", {"poll_id": "p"} | second)
    after = await _shown(kit)
    assert after["total_voters"] == 1
    await ann.ask("poll_response", {"poll_id": "p"} | first)
    assert (await _shown(kit))["total_voters"] == 1
    await host.ask("poll_close", {"poll_id": "p"})
    assert (await _shown(kit))["total_voters"] == 1


@pytest.mark.parametrize("anonymous", [False, True])
async def test_a_quiz_is_not_answered_twice(kit: HallKit, host: Guest, ann: Guest, anonymous: bool) -> None:
    await host.ask("poll", QUIZ | {"anonymous": anonymous})
    await ann.ask("poll_response", {"poll_id": "q", "option": 1})
    ann = await _erase(kit, ann)
    assert await _code(ann.ask("poll_response", {"poll_id": "q", "option": 0})) == "already_voted"
    assert await _code(ann.ask("poll_response", {"poll_id": "q", "option": 1})) == ""
    assert (await _shown(kit, "q"))["counts"] == [0, 1]


async def test_options_are_not_suggested_twice(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"user_options": "free"})
    await ann.ask("poll_option", {"poll_id": "p", "text": "mine"})
    ann = await _erase(kit, ann)
    assert await _code(ann.ask("poll_option", {"poll_id": "p", "text": "another"})) == "forbidden"


async def test_a_poll_that_is_opened_again_knows_its_voters(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL)
    await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    await host.ask("poll_close", {"poll_id": "p"})
    await host.ask("poll_reopen", {"poll_id": "p"})
    ann = await _erase(kit, ann, 2)
    await ann.ask("poll_response", {"poll_id": "p", "option": 1})
    assert (await _shown(kit))["counts"] == [0, 1]


@pytest.mark.parametrize("more", [{}, {"kind": "ranking"}, {"weights": {"roles": {"viewer": 2}}}])
async def test_erased_again_and_again(kit: HallKit, host: Guest, ann: Guest, more: dict[str, Any]) -> None:
    await host.ask("poll", POLL | more)
    for number in range(4):
        vote = {"ranking": [number % 2, 1 - number % 2]} if "kind" in more else {"option": number % 2}
        await ann.ask("poll_response", {"poll_id": "p"} | vote)
        ann = await _erase(kit, ann)
        assert (await _shown(kit))["total_voters"] == 1
        await kit.settle()
        assert kit.fingerprints() == await kit.replayed()
    assert len(kit.hall.erased_as("ann")) == 4


async def test_what_counts_is_shown_to_those_who_were_erased(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"allow_revote": False})
    await ann.ask("poll_response", {"poll_id": "p", "option": 1})
    ann = await _erase(kit, ann)
    assert (await ann.ask("sync", {}))["polls"][0]["my_vote"] == [1]
    assert await _code(ann.ask("poll_response", {"poll_id": "p", "option": 0})) == "already_voted"
    other = await kit.join("other")
    assert (await other.ask("sync", {}))["polls"][0]["my_vote"] is None
    await other.ask("poll_response", {"poll_id": "p", "option": 0})
    assert (await _shown(kit))["counts"] == [1, 1]


async def test_a_vote_is_taken_back_after_an_erasure(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL)
    await ann.ask("poll_response", {"poll_id": "p", "option": 1})
    ann = await _erase(kit, ann)
    await ann.ask("poll_response", {"poll_id": "p", "options": []})
    assert (await _shown(kit))["counts"] == [0, 0]


# -- a page that is loaded anew ------------------------------------------------------------------------------


def _dropping(folder: Path, grace: float) -> AbstractAsyncContextManager[HallKit]:
    return HallKit.open(folder, {"polls": {"votes_of_leavers": "drop", "grace_seconds": grace}})


@pytest.mark.parametrize("anonymous", [False, True])
async def test_a_reload_is_not_leaving(tmp_path: Path, anonymous: bool) -> None:
    async with _dropping(tmp_path, 0.3) as kit:
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        await host.ask("poll", POLL | {"anonymous": anonymous})
        await ann.ask("poll_response", {"poll_id": "p", "option": 0})
        ann.leave()
        await kit.settle()
        ann = await kit.join("ann")
        await kit.restart()
        await host.ask("poll", {"poll_id": "later", "question": "?", "options": ["a", "b"], "duration_seconds": 0.6})
        await host.wait("poll_closed", lambda said: said["poll_id"] == "later")  # the grace is over
        assert (await _shown(kit))["counts"] == [1, 0]
        assert not ann.all("poll_vote_dropped")


@pytest.mark.parametrize("anonymous", [False, True])
async def test_whoever_stays_away_loses_the_vote_and_hears_it(tmp_path: Path, anonymous: bool) -> None:
    async with _dropping(tmp_path, 0.1) as kit:
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        await host.ask("poll", POLL | {"anonymous": anonymous})
        await host.ask("poll", QUIZ)
        await ann.ask("poll_response", {"poll_id": "p", "option": 0})
        await ann.ask("poll_response", {"poll_id": "q", "option": 1})
        ann.leave()
        await host.wait("poll_results", lambda said: said["poll_id"] == "p" and said["counts"] == [0, 0])
        ann = await kit.join("ann")
        assert (await ann.wait("poll_vote_dropped"))["poll_id"] == "p"
        polls = {poll["poll_id"]: poll for poll in (await ann.ask("sync", {}))["polls"]}
        assert (polls["p"]["my_vote"], polls["p"]["vote_dropped"]) == (None, True)
        assert "vote_dropped" not in polls["q"]
        assert await _code(ann.ask("poll_response", {"poll_id": "q", "option": 0})) == "already_voted"
        await ann.ask("poll_response", {"poll_id": "p", "option": 1})
        [poll, _] = (await ann.ask("sync", {}))["polls"]
        assert "vote_dropped" not in poll
        assert (await _shown(kit))["counts"] == [0, 1]
        await kit.settle()
        assert kit.fingerprints() == await kit.replayed()


async def test_a_grace_that_runs_at_the_erasure_ends_with_coming_again(tmp_path: Path) -> None:
    async with _dropping(tmp_path, 0.5) as kit:
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        await host.ask("poll", POLL)
        await ann.ask("poll_response", {"poll_id": "p", "option": 0})
        ann = await _erase(kit, ann)
        await host.ask("poll", {"poll_id": "later", "question": "?", "options": ["a", "b"], "duration_seconds": 0.8})
        await host.wait("poll_closed", lambda said: said["poll_id"] == "later")  # the grace is over
        assert (await _shown(kit))["counts"] == [1, 0]
        ann.leave()
        await host.wait("poll_results", lambda said: said["poll_id"] == "p" and said["counts"] == [0, 0])
        ann = await kit.join("ann")
        assert (await ann.wait("poll_vote_dropped"))["poll_id"] == "p"
        await ann.ask("poll_response", {"poll_id": "p", "option": 1})
        assert "vote_dropped" not in (await ann.ask("sync", {}))["polls"][0]


# -- taking it back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "vote"),
    [
        ({}, {"option": 0}),
        ({"anonymous": True}, {"option": 0}),
        ({"min_choices": 0, "max_choices": 2}, {"options": [0, 1]}),
        ({"weights": {"roles": {"viewer": 3}}}, {"option": 0}),
        ({"kind": "ranking"}, {"ranking": [0, 1]}),
        ({"kind": "rating", "options": []}, {"rating": 1}),
        ({"kind": "text", "options": [], "allow_revote": True}, {"text": "one"}),
    ],
)
async def test_a_vote_is_taken_back(
    kit: HallKit, host: Guest, ann: Guest, ben: Guest, more: dict[str, Any], vote: dict[str, Any]
) -> None:
    await host.ask("poll", POLL | more)
    before = await _shown(kit)
    for guest in (ann, ben):
        await guest.ask("poll_response", {"poll_id": "p"} | vote)
    for guest in (ann, ben):
        await guest.ask("poll_response", {"poll_id": "p", "options": []})
    after = await _shown(kit)
    assert {name: value for name, value in after.items() if name != "seq"} == {
        name: value for name, value in before.items() if name != "seq"
    }
    assert (await ann.ask("sync", {}))["polls"][0]["my_vote"] is None
    await ann.ask("poll_response", {"poll_id": "p"} | vote)
    assert (await _shown(kit))["total_voters"] == 1


async def test_where_votes_are_final_none_is_taken_back(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"allow_revote": False})
    await host.ask("poll", QUIZ)
    assert await _code(ann.ask("poll_response", {"poll_id": "p", "options": []})) == "invalid_choice"
    for poll_id in ("p", "q"):
        await ann.ask("poll_response", {"poll_id": poll_id, "option": 0})
        assert await _code(ann.ask("poll_response", {"poll_id": poll_id, "options": []})) == "already_voted"
    await host.ask("poll", POLL | {"poll_id": "none", "min_choices": 0})
    assert await _code(ann.ask("poll_response", {"poll_id": "none", "options": []})) == ""
    assert (await _shown(kit, "none"))["total_voters"] == 0
