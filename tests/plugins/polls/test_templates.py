"""Templates: a poll or a series that is kept, and asked again in another hall."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plugins.polls.bodies import AskedFields
from plugins.polls.define import asked_of, define
from plugins.polls.settings import PollsSettings
from plugins.polls.templates import PollTemplate
from relay_bot.journal.writer import Journal
from relay_bot.plugin import Refuse
from relay_bot.testing import Guest, HallKit, Refused
from tests.plugins.polls.conftest import UNLIMITED

ASKED: list[dict[str, Any]] = [
    {"question": "Which?", "options": ["a", "b"]},
    {"question": "Which?", "options": ["a", "b", "c"], "min_choices": 2, "max_choices": 3, "allow_revote": False},
    {"question": "Which?", "options": ["a", "b"], "duration_seconds": 12.5, "results": "held", "anonymous": True},
    {"question": "Which?", "options": ["a", "b"], "user_options": "approval"},
    {"question": "Which?", "options": ["a", "b"], "eligible": {"roles": ["speaker", "host"], "identities": ["z", "a"]}},
    {"question": "Which?", "options": ["a", "b"], "weights": {"identities": {"a": 2.5}, "roles": {"host": 0.125}}},
    {"question": "Right?", "options": ["a", "b"], "kind": "quiz", "correct": [1]},
    {
        "question": "Right?",
        "options": ["a", "b", "c"],
        "kind": "quiz",
        "correct": [2, 0],
        "points": 7,
        "negative_points": 3,
        "speed_bonus": 9,
        "duration_seconds": 30,
        "explanation": "so it is",
    },
    {"question": "How?", "kind": "rating"},
    {"question": "How?", "kind": "rating", "scale": {"min": 0, "max": 10, "labels": ["bad", "good"]}},
    {"question": "Order?", "kind": "ranking", "options": ["a", "b", "c"], "max_choices": 2},
    {"question": "What?", "kind": "text", "max_length": 50, "allow_revote": True},
]


@pytest.mark.parametrize("asked", ASKED)
def test_a_saved_poll_is_defined_as_it_was(asked: dict[str, Any]) -> None:
    poll = define("p", msgspec.convert(asked, AskedFields), PollsSettings())
    # By way of JSON, as it is kept: each bound of the fields is checked again.
    kept = msgspec.convert(msgspec.to_builtins(asked_of(poll)), AskedFields)
    assert define("p", kept, PollsSettings()) == poll


@pytest.fixture
async def halls(tmp_path: Path) -> AsyncGenerator[list[HallKit]]:
    """Two halls of one bot."""
    journal = Journal(f"sqlite:///{tmp_path / 'relay.db'}")
    await journal.start()
    section = {"polls": {"required": True, "max_polls": 4}}
    try:
        async with (
            HallKit.open(tmp_path, section, settings=UNLIMITED, journal=journal) as first,
            HallKit.open(tmp_path, section, settings=UNLIMITED, journal=journal, shelf=first.shelf) as second,
        ):
            yield [first, second]
            for kit in (first, second):
                await kit.settle()
                assert kit.fingerprints() == await kit.replayed()
    finally:
        await journal.stop()


async def _host(kit: HallKit) -> Guest:
    return await kit.join("host", role="host")


async def test_a_poll_that_was_saved_is_opened_in_another_hall(halls: list[HallKit]) -> None:
    here, there = halls
    host, other = await _host(here), await _host(there)
    asked = {"poll_id": "p", "question": "Which?", "options": ["a", "b"], "duration_seconds": 60, "results": "held"}
    await host.ask("poll", asked)
    await host.ask("poll_save", {"template": "the one", "poll_id": "p"})
    assert await other.ask("poll_templates", {}) == {"templates": ["the one"]}

    answer = await other.ask("poll_use", {"template": "the one"})
    said = await other.wait("poll")
    assert answer == {"poll_ids": [said["poll_id"]], "series_id": None}
    assert said["poll_id"] != "p"
    assert (said["question"], said["options"], said["results"], said["status"]) == (
        "Which?",
        ["a", "b"],
        "held",
        "open",
    )
    assert said["duration_seconds"] == 60
    again = await other.ask("poll_use", {"template": "the one", "state": "draft"})
    assert (await there.call("polls", "get_poll", poll_id=again["poll_ids"][0]))["status"] == "draft"


async def test_a_series_that_was_saved_runs_in_another_hall(halls: list[HallKit]) -> None:
    here, there = halls
    host, other = await _host(here), await _host(there)
    for index in (1, 0):
        series = {"series_id": "s", "index": index}
        await host.ask("poll", {"question": f"Q{index}", "options": ["a", "b"], "series": series, "state": "draft"})
    await here.call("polls", "save_series", series_id="s", template="two")

    said = await other.say("/poll template two")
    assert "opened: Q0" in said["notice"]
    assert "1 more to come" in said["notice"]
    assert "opened: Q1" in (await other.say("/next"))["notice"]
    polls = (await there.call("polls", "list_polls"))["polls"]
    assert [(poll["question"], poll["status"]) for poll in polls] == [("Q0", "closed"), ("Q1", "open")]
    assert polls[0]["series"]["series_id"] == polls[1]["series"]["series_id"] != "s"

    listed = await there.call("polls", "use_poll_template", template="two", series_id="mine", state="draft")
    assert [(each["series"], each["status"]) for each in listed["polls"]] == [
        ({"series_id": "mine", "index": 0}, "draft"),
        ({"series_id": "mine", "index": 1}, "draft"),
    ]
    with pytest.raises(Refused, match="poll_exists"):
        await other.ask("poll_use", {"template": "two", "series_id": "mine"})
    with pytest.raises(Refused, match="busy"):  # two more would be more than max_polls: neither is made
        await other.ask("poll_use", {"template": "two"})
    assert len((await there.call("polls", "list_polls"))["polls"]) == 4


async def test_hosts_keep_new_templates_and_replace_none(halls: list[HallKit]) -> None:
    here, there = halls
    host, other = await _host(here), await _host(there)
    viewer = await here.join("ann")
    await host.ask("poll", {"poll_id": "p", "question": "Mine?", "options": ["a", "b"]})
    await host.ask("poll_save", {"template": "x", "poll_id": "p"})
    await other.ask("poll", {"poll_id": "q", "question": "Theirs?", "options": ["a", "b"]})
    with pytest.raises(Refused, match="poll_exists"):
        await other.ask("poll_save", {"template": "x", "poll_id": "q"})
    for kind, payload in (
        ("poll_save", {"template": "y", "poll_id": "p"}),
        ("poll_use", {"template": "x"}),
        ("poll_templates", {}),
    ):
        with pytest.raises(Refused, match="forbidden"):
            await viewer.ask(kind, payload)
    await there.call("polls", "save_poll", poll_id="q", template="x")  # a backend may
    assert (await host.ask("poll_use", {"template": "x", "state": "draft"}))["poll_ids"]
    assert host.last("poll")["question"] == "Theirs?"


@pytest.mark.parametrize(
    ("kind", "payload", "code", "field"),
    [
        ("poll_use", {"template": "none"}, "not_found", "payload.template"),
        ("poll_use", {"template": "one", "series_id": "s"}, "malformed", "payload.series_id"),
        ("poll_save", {"template": "new"}, "malformed", "payload.poll_id"),
        ("poll_save", {"template": "new", "poll_id": "p", "series_id": "s"}, "malformed", "payload.poll_id"),
        ("poll_save", {"template": "new", "poll_id": "none"}, "poll_not_found", "payload.poll_id"),
        ("poll_save", {"template": "new", "series_id": "none"}, "poll_not_found", "payload.series_id"),
        ("poll_save", {"template": "a/b", "poll_id": "p"}, "malformed", "payload.template"),
        ("poll_save", {"template": "a\u202eb", "poll_id": "p"}, "malformed", "payload.template"),
    ],
)
async def test_what_cant_be_done_is_refused(
    halls: list[HallKit], kind: str, payload: dict[str, Any], code: str, field: str
) -> None:
    host = await _host(halls[0])
    await host.ask("poll", {"poll_id": "p", "question": "Which?", "options": ["a", "b"]})
    await host.ask("poll_save", {"template": "one", "poll_id": "p"})
    before = halls[0].fingerprints()
    with pytest.raises(Refused) as refused:
        await host.ask(kind, payload)
    assert (refused.value.code, refused.value.payload.get("field")) == (code, field)
    assert halls[0].fingerprints() == before
    assert await host.ask("poll_templates", {}) == {"templates": ["one"]}


def test_a_template_that_no_hall_could_ask_is_not_kept() -> None:
    def template(*polls: dict[str, Any]) -> PollTemplate:
        return msgspec.convert({"polls": [{"question": "?", "options": ["a", "b"]}, *polls]}, PollTemplate)

    template({"question": "?", "options": ["a", "b"]}).check(PollsSettings())
    for poll, code, field in (
        ({"question": "?", "options": ["a", "a"]}, "malformed", "polls[1].options[1]"),
        ({"question": "?", "kind": "quiz", "options": ["a", "b"]}, "malformed", "polls[1].correct"),
        ({"question": "?", "options": [str(n) * 66 for n in range(100)]}, "too_large", "polls[1].options"),
    ):
        with pytest.raises(Refuse) as refused:
            template(poll).check(PollsSettings())
        assert (refused.value.code, refused.value.field) == (code, field)
    for extra in ({"poll_id": "p"}, {"series": {"series_id": "s", "index": 0}}, {"opens_at": "2030-01-01T00:00:00Z"}):
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            template({"question": "?", "options": ["a", "b"]} | extra)
