"""`Idempotency-Key`: the same key and body give the same answer and act once, also after a restart."""

import asyncio
from typing import Any

import pytest

from relay_bot.control import idempotency
from relay_bot.control.idempotency import IdempotencyLog
from relay_bot.journal.batch import Batch, Unavailable
from relay_bot.wire.clock import now_ms
from tests.control.support import Endpoint


async def notes(endpoint: Endpoint) -> list[str]:
    answer = await endpoint.call("GET", f"{endpoint.hall}/notes")
    return [note["text"] for note in answer.body["notes"]]


async def test_an_interaction_acts_once(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    first = await endpoint.interact("note", {"text": "a", "slip": True}, key="k-1")
    again = await endpoint.interact("note", {"text": "a", "slip": True}, key="k-1")

    assert first.status == again.status == 200
    assert first.body == again.body
    await endpoint.interact("last", {})
    await ann.wait("last")
    assert len(ann.all("note")) == 1
    assert await notes(endpoint) == ["a"]


async def test_also_when_both_come_at_once(endpoint: Endpoint) -> None:
    answers = await asyncio.gather(*(endpoint.interact("note", {"text": "a"}, key="k") for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len({str(answer.body) for answer in answers}) == 1
    assert await notes(endpoint) == ["a"]


async def test_also_after_a_restart(endpoint: Endpoint) -> None:
    interaction = await endpoint.interact("note", {"text": "a"}, key="k")
    posted = await endpoint.call("POST", f"{endpoint.hall}/notes", {"text": "b"}, key="k")
    room = await endpoint.call("POST", "/v1/rooms", {"name": "r"}, key="k")
    endpoint.rooms.open.clear()

    await endpoint.restart()

    assert (await endpoint.interact("note", {"text": "a"}, key="k")).body == interaction.body
    assert (await endpoint.call("POST", f"{endpoint.hall}/notes", {"text": "b"}, key="k")).body == posted.body
    assert (await endpoint.call("POST", "/v1/rooms", {"name": "r"}, key="k")).body == room.body
    assert await notes(endpoint) == ["a", "b"]
    assert endpoint.rooms.open == {}


async def test_another_body_under_the_same_key(endpoint: Endpoint) -> None:
    await endpoint.interact("note", {"text": "a"}, key="k")
    await endpoint.call("POST", f"{endpoint.hall}/join", JOIN, key="k")
    changed = await endpoint.interact("note", {"text": "b"}, key="k")
    joined = await endpoint.call("POST", f"{endpoint.hall}/join", JOIN | {"role": "subscriber"}, key="k")
    for answer in (changed, joined):
        assert answer.status == 422
        assert "Idempotency-Key" in answer.body["error"]["message"]
    assert await notes(endpoint) == ["a"]


async def test_a_key_counts_for_one_path(endpoint: Endpoint) -> None:
    first = await endpoint.call("POST", f"{endpoint.hall}/join", JOIN, key="k")
    other = await endpoint.call("POST", "/v1/halls/other/join", JOIN, key="k")
    assert other.status == 200
    assert other.body != first.body


async def test_a_refusal_is_given_again(endpoint: Endpoint) -> None:
    first = await endpoint.call("POST", f"{endpoint.hall}/notes/0/copy", key="k")
    await endpoint.interact("note", {"text": "a"})
    again = await endpoint.call("POST", f"{endpoint.hall}/notes/0/copy", key="k")
    assert first.error == again.error == (404, "not_found", "not_found")


async def test_without_a_key_each_acts(endpoint: Endpoint) -> None:
    for _ in range(2):
        await endpoint.interact("note", {"text": "a"})
    assert await notes(endpoint) == ["a", "a"]


@pytest.mark.parametrize("key", ["", "x" * 201, "schlüssel", "\udcff", "a\tb"])
async def test_keys_that_can_not_be(endpoint: Endpoint, key: str) -> None:
    answer = await endpoint.interact("note", {"text": "a"}, key=key)
    assert answer.error == (422, "invalid_request", "invalid_request")
    assert await notes(endpoint) == []


async def test_the_longest_key(endpoint: Endpoint) -> None:
    assert (await endpoint.interact("note", {"text": "a"}, key="x" * 200)).status == 200


async def test_on_others_than_post_it_means_nothing(endpoint: Endpoint) -> None:
    assert (await endpoint.call("GET", "/v1/halls", key="x" * 500)).status == 200


async def test_two_bots_with_one_address_and_database(endpoint: Endpoint) -> None:
    """The second one's claim fences the first; both go on, and each knows what was kept when it claimed."""
    other = IdempotencyLog(endpoint.journal, "control")

    async def made() -> str:
        return "made"

    async def never() -> str:
        raise AssertionError("it was answered before")

    assert await endpoint.once.once("a", "", made) == "made"
    await other.start()
    assert await other.once("a", "", never) == "made"
    assert await endpoint.once.once("b", "", made) == "made"
    assert await other.once("c", "", made) == "made"
    assert await other.once("b", "", never) == "made"


async def test_the_journal_does_not_keep_it(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(batch: Batch) -> None:
        batch.done(Unavailable("disk full"))

    monkeypatch.setattr(endpoint.journal, "submit", submit)
    answer = await endpoint.call("POST", f"{endpoint.hall}/join", JOIN, key="k")
    assert answer.error == (503, "busy", "busy")
    monkeypatch.undo()
    assert (await endpoint.call("POST", f"{endpoint.hall}/join", JOIN, key="k")).status == 200


async def test_the_log_lets_one_through_after_the_other(endpoint: Endpoint) -> None:
    """One that fails lets the next one try; never do two run at once."""
    running = 0
    outcomes = iter([RuntimeError("first"), RuntimeError("second"), "made"])

    async def run() -> Any:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.01)
        running -= 1
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def later() -> Any:
        await asyncio.sleep(0.015)  # while the second one runs
        return await endpoint.once.once("k", "d", run)

    found = await asyncio.gather(
        endpoint.once.once("k", "d", run), endpoint.once.once("k", "d", run), later(), return_exceptions=True
    )
    assert [str(each) for each in found] == ["first", "second", "made"]


JOIN = {"participant_id": "ann", "display_name": "Ann", "role": "publisher"}


# -- how long -----------------------------------------------------------------------------------------


async def test_keys_of_no_hall_are_forgotten_by_age(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the halls' sessions: the log is in use however long ago it was begun."""
    now = now_ms()
    room = {"name": "r"}
    monkeypatch.setattr(idempotency, "now_ms", lambda: now - 100_000_000)
    await endpoint.restart()
    await endpoint.call("POST", "/v1/rooms", room, key="old")
    monkeypatch.setattr(idempotency, "now_ms", lambda: now)
    await endpoint.call("POST", "/v1/rooms", room, key="new")
    assert await endpoint.journal.forget_sessions(now - 50_000_000, []) == 0
    assert await endpoint.journal.forget_answers(now - 50_000_000) == 1
    await endpoint.restart()
    endpoint.rooms.open.clear()
    await endpoint.call("POST", "/v1/rooms", room, key="new")
    assert endpoint.rooms.open == {}, "its answer is kept"
    await endpoint.call("POST", "/v1/rooms", room, key="old")
    assert set(endpoint.rooms.open) == {"r"}, "it is a new key again"


async def test_keys_of_a_hall_stay_as_long_as_its_session(endpoint: Endpoint) -> None:
    first = await endpoint.interact("note", {"text": "a"}, key="k")
    assert await endpoint.journal.forget_answers(now_ms() + 120_000) == 0
    await endpoint.restart()
    assert (await endpoint.interact("note", {"text": "a"}, key="k")).body == first.body
    assert await notes(endpoint) == ["a"]
