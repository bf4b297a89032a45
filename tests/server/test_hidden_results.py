"""Results that a viewer may not see are in nothing that their client receives: every byte of it is looked through."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from tests.server.polls import poll_of
from tests.support.bot import Bot
from tests.support.clients import Join, Participant, Received, RefusedError

pytestmark = pytest.mark.server

FIELDS = (
    "counts",
    "percentages",
    "total_voters",
    "total_votes",
    "inferred_voters",
    "leaders",
    "tie",
    "words",
    "answers",
    "correct",
    "leaderboard",
)
"""What only results have; in quotes, as JSON writes them."""
WEIGHT = "7919"
WORD = "zanzibar"
EXPLANATION = "because of the monsoon"
TRACES = (*(f'"{name}"' for name in FIELDS), WEIGHT, WORD, EXPLANATION)

POLLS: dict[str, dict[str, object]] = {
    "weighed": {"options": ["a", "b"], "weights": {"identities": {"ann": int(WEIGHT)}}},
    "said": {"kind": "text"},
    "known": {"kind": "quiz", "options": ["a", "b"], "correct": [1], "explanation": EXPLANATION},
}
VOTES: dict[str, dict[str, object]] = {"weighed": {"option": 0}, "said": {"text": WORD}, "known": {"option": 1}}


def _bytes_of(person: Participant) -> str:
    """All that somebody's client was given: packets, answers to RPCs, streams, and what it knows of the room."""
    people = person.room.remote_participants.values()
    about = [person.room.metadata, *(each.metadata for each in people), *(str(each.attributes) for each in people)]
    said = [item.data.decode() for item in person.received] + [text for _, text in person.streams]
    return "\n".join([*said, *person.answers, *(text or "" for text in about)])


def _traces(people: Iterable[Participant]) -> dict[str, list[str]]:
    found = {person.identity: [trace for trace in TRACES if trace in _bytes_of(person)] for person in people}
    return {identity: traces for identity, traces in found.items() if traces}


async def _look_everywhere(person: Participant) -> None:
    """Ask for results by every door that a participant has."""
    mark = person.mark()
    await person.rpc("sync", {})
    await person.send("sync", {}, to_bot=True)
    await person.wait_for("hall_state", since=mark)
    for poll_id in POLLS:
        with pytest.raises(RefusedError) as refused:
            await person.rpc("chat", {"text": f"/results {poll_id}"})
        assert refused.value.code == "forbidden"


async def _told_of_all(person: Participant, kind: str, **fields: object) -> list[Received]:
    """Wait until somebody is told this of every poll, with these fields."""

    def told(poll_id: str) -> Callable[[Received], bool]:
        return lambda item: item.payload | fields | {"poll_id": poll_id} == item.payload

    return [await person.wait_for(kind, told(poll_id)) for poll_id in POLLS]


@pytest.mark.parametrize("mode", ["hosts", "held", "on_close"])
async def test_a_client_is_sent_no_byte_of_hidden_results(bot: Bot, join: Join, mode: str) -> None:
    hall = await bot.open_hall()
    host, ann, bystander = await asyncio.gather(
        join(hall, "host", role="host"), join(hall, "ann", role="viewer"), join(hall, "bystander", role="viewer")
    )
    await bot.live(hall, present=3)
    for poll_id, poll in POLLS.items():
        await host.request("poll", {"poll_id": poll_id, "question": "?", "results": mode} | poll)
    for poll_id, vote in VOTES.items():
        await ann.rpc("poll_response", {"poll_id": poll_id} | vote)
    await _told_of_all(host, "poll_results", total_voters=1)
    late = await join(hall, "late")
    await late.wait_for("hall_state", timeout=10)
    viewers = [bystander, late]
    for person in viewers:
        await _look_everywhere(person)
    with pytest.raises(RefusedError):
        await ann.rpc("chat", {"text": "/results weighed"})
    assert not _traces(viewers)
    own = _traces([ann])
    assert own in ({}, {"ann": [WORD]}), "her own answer, which her client may be told, and no more"

    for poll_id in POLLS:
        await bot.call("POST", f"/v1/halls/{hall}/polls/{poll_id}/close", {})
    for person in (*viewers, host):
        for closed in await _told_of_all(person, "poll_closed"):
            assert closed.payload.get("hidden", False) is (mode != "on_close")
    if mode != "on_close":
        for person in viewers:
            await _look_everywhere(person)
        later = await join(hall, "later")
        await later.wait_for("hall_state", timeout=10)
        viewers.append(later)
        assert not _traces(viewers)
        await _told_of_all(host, "poll_results", status="closed")
        await _publish(bot, hall, refused=mode == "hosts")
        if mode == "hosts":
            for person in viewers:
                await _look_everywhere(person)
            assert not _traces(viewers)
    if mode != "hosts":  # now they may see them, and the same look finds every trace but what is for hosts alone
        for person in viewers[:2]:
            await _told_of_all(person, "poll_closed" if mode == "on_close" else "poll_results", status="closed")
        for traces in _traces(viewers[:2]).values():
            assert set(TRACES) - set(traces) == {'"answers"'}
    assert set(_traces([host])["host"]) == set(TRACES)
    assert (await poll_of(bot, hall, "weighed"))["weighted_counts"] == [int(WEIGHT), 0]


async def _publish(bot: Bot, hall: str, *, refused: bool) -> None:
    for poll_id in POLLS:
        answer = await bot.call("POST", f"/v1/halls/{hall}/polls/{poll_id}/publish", {})
        assert answer.status == (403 if refused else 200), answer
