"""What is derived from the votes follows the poll's own rule, and what the votes did not decide is told."""

from __future__ import annotations

import base64
import csv
import io
import zipfile
from typing import Any

import pytest

from plugins.polls.kinds.ranking import instant_runoff
from plugins.polls.shares import exact
from relay_bot.testing import Guest, HallKit, Refused

POLL: dict[str, Any] = {"poll_id": "p", "question": "?", "options": ["a", "b", "c"]}


async def _shown(kit: HallKit) -> dict[str, Any]:
    return await kit.call("polls", "get_poll", poll_id="p")


async def _text(kit: HallKit, **parameters: Any) -> str:
    file = await kit.call("polls", "export_poll", poll_id="p", **parameters)
    return base64.b64decode(file["content"]).decode("utf-8-sig")


async def _rows(kit: HallKit, delimiter: str = ",", **parameters: Any) -> list[dict[str, str]]:
    text = await _text(kit, delimiter=delimiter, **parameters)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


async def _votes(kit: HallKit, *votes: dict[str, Any]) -> None:
    for number, vote in enumerate(votes):
        guest = await kit.join(f"v{number}", name=f"Voter {number}")
        await guest.ask("poll_response", {"poll_id": "p"} | vote)


async def _told(host: Guest) -> str:
    await host.say("/results p")
    return (await host.wait("notice"))["text"]


async def test_weights_decide_all_figures(kit: HallKit, host: Guest) -> None:
    weights = {"identities": {"v0": 10, "v1": 1, "v2": 1}}
    await host.ask("poll", POLL | {"weights": weights})
    await _votes(kit, {"option": 0}, {"option": 1}, {"option": 1})
    shown = await _shown(kit)
    assert (shown["counts"], shown["weighted_counts"], shown["total_weight"]) == ([1, 2, 0], [10, 2, 0], 12)
    assert (shown["leaders"], shown["tie"]) == ([0], False)
    assert (shown["percentages"], shown["shares"]) == ([83, 17, 0], [83.3, 16.7, 0])
    assert [(row["percentage"], row["leader"]) for row in await _rows(kit)] == [
        ("83.3", "1"),
        ("16.7", "0"),
        ("0", "0"),
    ]
    assert "width:83%" in await _text(kit, format="html")
    assert "weight 10 (83.3%)" in await _text(kit, format="html")
    assert "a: 1, weight 10 (83.3%)" in await _told(host)


@pytest.mark.parametrize("weight", [0.0004, 0.000001, 1.5, 1_000_000])
async def test_a_weight_counts_as_it_is(kit: HallKit, host: Guest, weight: float) -> None:
    await host.ask("poll", POLL | {"weights": {"identities": {"v0": weight}}})
    await _votes(kit, {"option": 0})
    shown = await _shown(kit)
    assert (shown["weighted_counts"], shown["leaders"], shown["percentages"]) == ([weight, 0, 0], [0], [100, 0, 0])
    assert (await _rows(kit, part="votes"))[0]["weight"] == str(float(weight))


async def test_a_weight_too_small_to_count_is_refused(host: Guest) -> None:
    with pytest.raises(Refused) as refused:
        await host.ask("poll", POLL | {"weights": {"identities": {"v0": 1e-9}}})
    assert refused.value.payload["field"] == "payload.weights.identities[v0]"


async def test_several_choices_are_read_as_shares_of_the_voters(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL | {"max_choices": 3})
    await _votes(kit, *[{"options": [0, 1]}] * 4, {"options": [2]})
    shown = await _shown(kit)
    assert (shown["voter_percentages"], shown["voter_shares"]) == ([80, 80, 20], [80, 80, 20])
    assert "4 (80%)" in await _text(kit, format="html")
    assert "a: 4 (80%)" in await _told(host)
    assert [row["voter_percentage"] for row in await _rows(kit)] == ["80", "80", "20"]


async def test_a_ratings_steps_are_numbers_with_their_average(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", {"poll_id": "p", "kind": "rating", "question": "?", "scale": {"min": -2, "max": 2}})
    await _votes(kit, {"rating": -2}, {"rating": 1})
    rows = await _rows(kit)
    assert [row["option"] for row in rows] == ["-2", "-1", "0", "1", "2"]
    assert {row["average"] for row in rows} == {"-0.5"}
    assert [row["options"] for row in await _rows(kit, part="votes")] == ["-2", "1"]


async def test_the_nps_is_in_the_file(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", {"poll_id": "p", "kind": "rating", "question": "?", "scale": {"min": 0, "max": 10}})
    await _votes(kit, {"rating": 10}, {"rating": 0}, {"rating": 9})
    assert {row["nps"] for row in await _rows(kit)} == {"33"}


@pytest.mark.parametrize("anonymous", [False, True])
async def test_open_answers_are_in_every_file(kit: HallKit, host: Guest, anonymous: bool) -> None:
    await host.ask("poll", {"poll_id": "p", "kind": "text", "question": "?", "anonymous": anonymous})
    await _votes(kit, {"text": "more tea"}, {"text": "<b>bread"}, {"text": "more tea"})
    await host.ask("poll_close", {"poll_id": "p"})
    page = await _text(kit, format="html")
    assert "more tea" in page
    assert "&lt;b&gt;bread" in page
    assert sorted(row["text"] for row in await _rows(kit, part="votes")) == ["<b>bread", "more tea", "more tea"]
    assert "more tea" in {row["answer"] for row in await _rows(kit)}
    names = {row["display_name"] for row in await _rows(kit, part="votes")}
    assert names == ({""} if anonymous else {"Voter 0", "Voter 1", "Voter 2"})
    assert ("v0" in await _text(kit, part="votes")) != anonymous


async def test_names_stand_beside_ids(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL)
    await _votes(kit, {"option": 0}, {"option": 1})
    for guest in ("v0", "v1"):
        kit.room.guests[guest].leave()
    await kit.restart()
    found = [(row["participant_id"], row["display_name"]) for row in await _rows(kit, part="votes")]
    assert found == [("v0", "Voter 0"), ("v1", "Voter 1")]
    votes = (await kit.call("polls", "list_votes", poll_id="p"))["votes"]
    assert [vote["display_name"] for vote in votes] == ["Voter 0", "Voter 1"]


async def test_delimiter_and_workbook(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL | {"options": ["=1+1", ";=1+1", "＝1+1"]})
    await _votes(kit, {"option": 0})
    for delimiter in (",", ";", "\t"):
        rows = await _rows(kit, delimiter)
        assert [row["option"] for row in rows] == ["'=1+1", "';=1+1" if delimiter == ";" else "';'=1+1", "'＝1+1"]
    file = await kit.call("polls", "export_poll", poll_id="p", format="xlsx")
    assert file["filename"] == "polls-p.xlsx"
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(file["content"]))) as book:
        assert "=1+1" in book.read("xl/sharedStrings.xml").decode()
        assert all(b"<f>" not in book.read(f"xl/worksheets/sheet{number}.xml") for number in (1, 2))


def test_equals_have_equal_shares() -> None:
    assert exact([1, 1, 1]) == [33.3, 33.3, 33.3]
    assert exact([0, 0]) == [0, 0]
    assert exact([2, 1], 3) == [66.7, 33.3]


async def test_equal_thirds_are_told_alike(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL)
    await _votes(kit, *[{"option": index} for index in range(3)])
    assert (await _shown(kit))["shares"] == [33.3, 33.3, 33.3]
    assert (await _text(kit, format="html")).count("1 (33.3%)") == 3
    assert {row["percentage"] for row in await _rows(kit)} == {"33.3"}
    assert (await _told(host)).count("1 (33.3%)") == 3


@pytest.mark.parametrize(
    ("options", "rankings", "winner", "tie", "by_order"),
    [
        (3, {(0,): 1, (1,): 1, (2,): 1}, None, [0, 1, 2], False),
        (4, {(0,): 2, (1,): 2, (2,): 2}, None, [0, 1, 2], False),
        (4, {(0,): 1, (1,): 1, (2,): 1, (3,): 1}, None, [0, 1, 2, 3], False),
        (3, {(0, 1): 1, (1, 0): 1, (2, 0): 1}, 0, [], True),
        (2, {(0, 1): 1, (1, 0): 1}, None, [0, 1], False),
        (2, {(0, 1): 2, (1, 0): 1}, 0, [], False),
    ],
)
def test_a_runoff_says_what_the_votes_did_not_decide(
    options: int, rankings: dict[tuple[int, ...], int], winner: int | None, tie: list[int], by_order: bool
) -> None:
    found = instant_runoff(options, rankings)
    assert (found["winner"], found["tie"], found.get("by_order", False)) == (winner, tie, by_order)


@pytest.mark.parametrize(
    ("rankings", "note"),
    [
        ([[0], [1], [2]], "a tie of a, b, c"),
        ([[0, 1], [1, 0], [2, 0]], "Instant runoff: a. Not decided by votes: of equals, the option listed last went"
         " out: c (round 1)"),
    ],
)  # fmt: skip
async def test_what_decided_is_told_everywhere(kit: HallKit, host: Guest, rankings: list[list[int]], note: str) -> None:
    await host.ask("poll", POLL | {"kind": "ranking"})
    await _votes(kit, *[{"ranking": ranking} for ranking in rankings])
    assert note in await _text(kit, format="html")
    assert note in await _told(host)
    assert all(note in row["note"] for row in await _rows(kit))


# -- drafts and quizzes -------------------------------------------------------------------------------------------

QUIZ = POLL | {"kind": "quiz", "correct": [0], "points": 100, "speed_bonus": 1000}


async def test_the_bonus_goes_by_the_duration_of_the_opening(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", QUIZ | {"state": "draft", "duration_seconds": 0.001})
    await host.ask("poll_open", {"poll_id": "p", "duration_seconds": 3600})
    await _votes(kit, {"option": 0})
    await host.ask("poll_close", {"poll_id": "p"})
    assert (await _shown(kit))["leaderboard"][0]["points"] > 1000


async def test_a_draft_is_edited(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"state": "draft", "max_choices": 2})
    await host.ask("poll_edit", {"poll_id": "p", "question": "Better?", "options": ["x", "y"]})
    shown = await _shown(kit)
    assert (shown["question"], shown["options"], shown["max_choices"]) == ("Better?", ["x", "y"], 2)
    assert (await host.wait("poll", lambda said: said["question"] == "Better?"))["status"] == "draft"
    shown = await kit.call("polls", "edit_poll", poll_id="p", kind="quiz", correct=[1], max_choices=1)
    assert (shown["kind"], shown["correct"], shown["options"]) == ("quiz", [1], ["x", "y"])
    assert not ann.all("poll")
    with pytest.raises(Refused, match="different options"):
        await host.ask("poll_edit", {"poll_id": "p", "correct": [5]})
    for who, code in ((ann, "forbidden"), (host, "")):
        if code:
            with pytest.raises(Refused, match=code):
                await who.ask("poll_edit", {"poll_id": "p", "question": "mine"})
    await host.ask("poll_open", {"poll_id": "p"})
    with pytest.raises(Refused, match="poll_closed"):
        await host.ask("poll_edit", {"poll_id": "p", "question": "late"})
    await ann.ask("poll_response", {"poll_id": "p", "option": "y"})


async def test_a_scheduled_poll_is_moved(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL | {"opens_at": "2099-01-01T00:00:00Z"} | {"opens_at": None, "state": "draft"})
    with pytest.raises(Refused, match="30 days"):
        await host.ask("poll_edit", {"poll_id": "p", "opens_at": "2999-01-01T00:00:00Z"})
    assert (await _shown(kit))["status"] == "draft"
