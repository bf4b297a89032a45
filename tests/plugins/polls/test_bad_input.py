"""What can't be taken is refused with a code and a field, changes nothing, and nothing of it is logged."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from plugins.polls.bodies import CreatePoll, OpenPoll
from relay_bot.link import Frame
from relay_bot.plugin import Request
from relay_bot.testing import Guest, HallKit, Refused

MARK = "xyzzy-mark"
GOOD: dict[str, Any] = {"question": "Which?", "options": ["left", "right"]}

OPENING: list[tuple[dict[str, Any], str, str]] = [
    ({"question": ""}, "malformed", "question"),
    ({"question": "\x00\u202e\u200b"}, "malformed", "question"),
    ({"question": MARK * 100}, "malformed", "question"),
    ({"question": 5}, "malformed", "question"),
    ({"options": []}, "malformed", "options"),
    ({"options": ["one"]}, "malformed", "options"),
    ({"options": ["same", "same"]}, "malformed", "options[1]"),
    ({"options": ["same", " same\u200f"]}, "malformed", "options[1]"),
    ({"options": ["a", "\u2066\u2069"]}, "malformed", "options[1]"),
    ({"options": ["a", MARK * 30]}, "malformed", "options[1]"),
    ({"options": [str(n) for n in range(101)]}, "malformed", "options"),
    ({"options": ["ü" * 150 + str(n) for n in range(45)]}, "too_large", "options"),
    ({"options": "left|right"}, "malformed", "options"),
    ({"poll_id": ""}, "malformed", "poll_id"),
    ({"poll_id": "a\nb"}, "malformed", "poll_id"),
    ({"poll_id": "x" * 65}, "malformed", "poll_id"),
    ({"poll_id": "taken"}, "poll_exists", "poll_id"),
    ({"duration_seconds": 0}, "malformed", "duration_seconds"),
    ({"duration_seconds": -3}, "malformed", "duration_seconds"),
    ({"duration_seconds": 86_401}, "malformed", "duration_seconds"),
    ({"min_choices": 2}, "", ""),
    ({"min_choices": 2, "max_choices": 1}, "malformed", "max_choices"),
    ({"max_choices": 3}, "malformed", "max_choices"),
    ({"max_choices": 0}, "malformed", "max_choices"),
    ({"kind": MARK}, "malformed", "kind"),
    ({"results": MARK}, "malformed", "results"),
    ({"opens_at": MARK}, "malformed", "opens_at"),
    ({"opens_at": "2999-01-01T00:00:00Z"}, "malformed", "opens_at"),
    ({"opens_at": "2026-13-45T00:00:00Z"}, "malformed", "opens_at"),
    ({"opens_at": "2027-01-01T00:00:00Z", "state": "draft"}, "malformed", "opens_at"),
    ({"state": "closed"}, "malformed", "state"),
    ({"eligible": {}}, "malformed", "eligible"),
    ({"eligible": {"roles": [MARK]}}, "malformed", "eligible.roles[0]"),
    ({"weights": {}}, "malformed", "weights"),
    ({"weights": {"identities": {"a": -1}}}, "malformed", "weights.identities[...]"),
    ({"weights": {"identities": {"a": 1}}, "anonymous": True}, "malformed", "weights"),
    ({"weights": {"identities": {"a": 1}}, "kind": "ranking"}, "malformed", "weights"),
    ({"kind": "quiz"}, "malformed", "correct"),
    ({"kind": "quiz", "correct": []}, "malformed", "correct"),
    ({"kind": "quiz", "correct": [2]}, "malformed", "correct"),
    ({"kind": "quiz", "correct": [-1]}, "malformed", "correct"),
    ({"kind": "quiz", "correct": [1, 1]}, "malformed", "correct"),
    ({"kind": "quiz", "correct": [0, 1], "max_choices": 1}, "malformed", "correct"),
    ({"kind": "quiz", "correct": [0], "speed_bonus": 5}, "malformed", "speed_bonus"),
    ({"kind": "quiz", "correct": [0], "allow_revote": True}, "malformed", "allow_revote"),
    ({"correct": [0]}, "malformed", "correct"),
    ({"explanation": MARK}, "malformed", "explanation"),
    ({"kind": "rating"}, "malformed", "options"),
    ({"kind": "rating", "options": [], "scale": {"min": 5, "max": 1}}, "malformed", "scale"),
    ({"kind": "rating", "options": [], "scale": {"min": 0, "max": 100}}, "malformed", "scale"),
    ({"kind": "rating", "options": [], "scale": {"labels": ["a", "b", "c"]}}, "malformed", "scale.labels"),
    ({"kind": "rating", "options": [], "scale": {"min": 1.5, "max": 3}}, "malformed", "scale.min"),
    ({"kind": "rating", "options": [], "max_choices": 2}, "malformed", "max_choices"),
    ({"kind": "ranking", "options": [str(n) for n in range(21)]}, "malformed", "options"),
    ({"kind": "text", "options": [], "max_length": 0}, "malformed", "max_length"),
    ({"kind": "text"}, "malformed", "options"),
    ({"series": {"series_id": "s"}}, "malformed", "series"),
]


async def _unchanged(kit: HallKit, before: dict[str, bytes], capfd: pytest.CaptureFixture[str]) -> None:
    await kit.settle()
    assert kit.fingerprints() == before
    logged = capfd.readouterr()
    assert MARK not in logged.out + logged.err


@pytest.mark.parametrize("door", ["rpc", "backend", "http"])
async def test_opening(kit: HallKit, host: Guest, capfd: pytest.CaptureFixture[str], door: str) -> None:
    await host.ask("poll", GOOD | {"poll_id": "taken"})
    for change, code, field in OPENING:
        if not code:
            continue
        before = kit.fingerprints()
        with pytest.raises(Refused) as refused:
            await _open(kit, host, door, GOOD | change)
        assert (refused.value.code, refused.value.payload.get("field")) == (
            code,
            field if door == "http" else f"payload.{field}",
        ), change
        await _unchanged(kit, before, capfd)


async def _open(kit: HallKit, host: Guest, door: str, asked: dict[str, Any]) -> None:
    if door == "rpc":
        await host.ask("poll", asked)
    elif door == "backend":
        await kit.backend("poll", asked)
    else:
        _converts(asked)
        await kit.call("polls", "create_poll", **asked)


def _converts(asked: dict[str, Any]) -> None:
    """Refuse as the control endpoint does what doesn't fit the type."""
    try:
        msgspec.convert(asked, CreatePoll)
    except msgspec.ValidationError as error:
        path = str(error).partition(" - at `")[2].rstrip("`").removeprefix("$.")
        raise Refused({"code": "malformed", "message": str(error), "field": path}) from None


VOTES: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("none", {"option": 0}, "poll_not_found", "poll_id"),
    ("closed", {"option": 0}, "poll_closed", "poll_id"),
    ("paused", {"option": 0}, "poll_closed", "poll_id"),
    ("draft", {"option": 0}, "poll_not_found", "poll_id"),
    ("gone", {"option": 0}, "poll_closed", "poll_id"),
    ("single", {}, "invalid_choice", "option"),
    ("single", {"option": 2}, "invalid_choice", "option"),
    ("single", {"option": -1}, "invalid_choice", "option"),
    ("single", {"option": 10**30}, "invalid_choice", "option"),
    ("single", {"option": 0.5}, "malformed", "option"),
    ("single", {"option": True}, "malformed", "option"),
    ("single", {"option": [0]}, "malformed", "option"),
    ("single", {"option": MARK}, "invalid_choice", "option"),
    ("single", {"option": MARK * 30}, "malformed", "option"),
    ("single", {"option": 0, "options": [0]}, "invalid_choice", "option"),
    ("single", {"options": []}, "invalid_choice", "options"),
    ("single", {"options": [0, 1]}, "invalid_choice", "options"),
    ("single", {"options": [0, 0]}, "invalid_choice", "options"),
    ("single", {"options": list(range(101))}, "malformed", "options"),
    ("single", {"rating": 1}, "invalid_choice", "option"),
    ("single", {"text": MARK}, "invalid_choice", "option"),
    ("rating", {"rating": 0}, "invalid_choice", "rating"),
    ("rating", {"rating": 6}, "invalid_choice", "rating"),
    ("rating", {"rating": 2.5}, "malformed", "rating"),
    ("rating", {"rating": "5"}, "malformed", "rating"),
    ("rating", {"option": 1}, "invalid_choice", "rating"),
    ("ranking", {"ranking": []}, "invalid_choice", "ranking"),
    ("ranking", {"ranking": [0, 0]}, "invalid_choice", "ranking"),
    ("ranking", {"ranking": [0, 1, 2]}, "invalid_choice", "ranking"),
    ("ranking", {"ranking": [5]}, "invalid_choice", "ranking"),
    ("text", {"text": ""}, "invalid_choice", "text"),
    ("text", {"text": "\u202e \n\t\x00"}, "invalid_choice", "text"),
    ("text", {"text": MARK * 21}, "invalid_choice", "text"),
    ("text", {"text": 7}, "malformed", "text"),
    ("x" * 65, {"option": 0}, "malformed", "poll_id"),
]


async def test_voting(kit: HallKit, host: Guest, ann: Guest, capfd: pytest.CaptureFixture[str]) -> None:
    polls: dict[str, dict[str, Any]] = {
        "single": {}, "closed": {}, "paused": {}, "gone": {}, "draft": {"state": "draft"},
        "rating": {"kind": "rating", "options": []}, "ranking": {"kind": "ranking"},
        "text": {"kind": "text", "options": []},
    }  # fmt: skip
    for poll_id, more in polls.items():
        await host.ask("poll", GOOD | {"poll_id": poll_id} | more)
    await host.ask("poll_close", {"poll_id": "closed"})
    await host.ask("poll_pause", {"poll_id": "paused"})
    await host.ask("poll_discard", {"poll_id": "gone"})
    for poll_id, vote, code, field in VOTES:
        before = kit.fingerprints()
        with pytest.raises(Refused) as refused:
            await ann.ask("poll_response", {"poll_id": poll_id} | vote)
        assert (refused.value.code, refused.value.payload.get("field")) == (code, f"payload.{field}"), (poll_id, vote)
        await _unchanged(kit, before, capfd)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 400])
async def test_numbers_that_are_none(
    kit: HallKit, host: Guest, capfd: pytest.CaptureFixture[str], number: bytes
) -> None:
    await host.ask("poll", {"poll_id": "p", "kind": "rating", "question": "How?"})
    before = kit.fingerprints()
    for kind, field in (("poll_response", b"rating"), ("poll_extend", b"seconds")):
        data = b'{"relay_version":"1","type":"%s","id":"n-%s","payload":{"poll_id":"p","%s":%s}}' % (
            kind.encode(), field, field, number,
        )  # fmt: skip
        kit.room.tell(Frame(data, "host", time.monotonic()))
        await kit.settle()
        assert host.last("error")["code"] in ("malformed", "invalid_choice")
        await _unchanged(kit, before, capfd)


async def test_two_megabytes(kit: HallKit, host: Guest, capfd: pytest.CaptureFixture[str]) -> None:
    await host.ask("poll", {"poll_id": "p", "kind": "text", "question": "Why?"})
    before = kit.fingerprints()
    for kind, payload in (
        ("poll_response", {"poll_id": "p", "text": MARK * 200_000}),
        ("poll", {"question": MARK * 200_000, "options": ["a", "b"]}),
        ("poll", GOOD | {"options": [f"{MARK}{n}" for n in range(10_000)]}),
    ):
        host.send(kind, payload, "big")
        await kit.settle()
        assert (host.last("error")["code"], host.last("error")["id"]) == ("too_large", None)
        with pytest.raises(Refused) as refused:
            await kit.backend(kind, payload, sender_id="host")
        assert refused.value.code == ("invalid_choice" if kind == "poll_response" else "too_large")
        await _unchanged(kit, before, capfd)


LIFE: list[tuple[str, str, dict[str, Any], str]] = [
    ("poll_close", "none", {}, "poll_not_found"),
    ("poll_close", "closed", {}, "poll_closed"),
    ("poll_close", "draft", {}, "poll_closed"),
    ("poll_extend", "closed", {"seconds": 5}, "poll_closed"),
    ("poll_extend", "open", {"seconds": -5}, "malformed"),
    ("poll_extend", "open", {}, "malformed"),
    ("poll_extend", "open", {"seconds": 1e6}, "malformed"),
    ("poll_open", "closed", {}, "poll_closed"),
    ("poll_open", "none", {}, "poll_not_found"),
    ("poll_open", "draft", {"duration_seconds": -1}, "malformed"),
    ("poll_pause", "draft", {}, "poll_closed"),
    ("poll_resume", "closed", {}, "poll_closed"),
    ("poll_reopen", "draft", {}, "poll_closed"),
    ("poll_reopen", "quiz", {}, "forbidden"),
    ("poll_publish", "draft", {}, "poll_closed"),
    ("poll_publish", "open", {"series_id": "s"}, "malformed"),
    ("poll_rerun", "open", {}, "poll_exists"),
    ("poll_rerun", "closed", {"new_poll_id": "open"}, "poll_exists"),
    ("poll_next", "open", {"series_id": "s"}, "poll_not_found"),
    ("poll_next", "open", {}, "poll_not_found"),
]


async def test_life(kit: HallKit, host: Guest, ann: Guest, capfd: pytest.CaptureFixture[str]) -> None:
    for poll_id in ("open", "closed", "draft", "quiz"):
        more: dict[str, Any] = {"kind": "quiz", "correct": [0]} if poll_id == "quiz" else {}
        await host.ask("poll", GOOD | {"poll_id": poll_id, "state": "draft" if poll_id == "draft" else "open"} | more)
    for poll_id in ("closed", "quiz"):
        await host.ask("poll_close", {"poll_id": poll_id})
    for kind, poll_id, more, code in LIFE:
        before = kit.fingerprints()
        with pytest.raises(Refused) as refused:
            await host.ask(kind, {"poll_id": poll_id} | more)
        assert refused.value.code == code, (kind, poll_id, more)
        with pytest.raises(Refused) as forbidden:
            await ann.ask(kind, {"poll_id": poll_id} | {"seconds": 5})
        assert forbidden.value.code == "forbidden", kind
        await _unchanged(kit, before, capfd)
    with pytest.raises(Refused, match="forbidden"):
        await ann.ask("poll", GOOD)


async def test_bounds(tmp_path: Any) -> None:
    async with HallKit.open(tmp_path, {"polls": {"max_open": 1, "max_polls": 3, "max_options": 2}}) as kit:
        host = await kit.join("host", role="host")
        await host.ask("poll", GOOD | {"poll_id": "a"})
        with pytest.raises(Refused, match="busy"):
            await host.ask("poll", GOOD)
        with pytest.raises(Refused, match="malformed"):
            await host.ask("poll", GOOD | {"options": ["a", "b", "c"]})
        await host.ask("poll", GOOD | {"poll_id": "b", "state": "draft"})
        with pytest.raises(Refused, match="busy"):
            await host.ask("poll_open", {"poll_id": "b"})
        await host.ask("poll", GOOD | {"poll_id": "c", "state": "draft"})
        with pytest.raises(Refused, match="busy"):
            await host.ask("poll", GOOD | {"state": "draft"})
        await host.ask("poll_close", {"poll_id": "a"})
        await host.ask("poll_open", {"poll_id": "b"})


async def test_what_is_shown_of_a_question_is_clean(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask(
        "poll", GOOD | {"poll_id": "p", "question": "Pay\t\u200bnow?\r\nYes", "options": ["a\nb", "\ue000c"]}
    )
    assert ann.last("poll")["question"] == "Pay now? Yes"
    assert ann.last("poll")["options"] == ["a b", "c"]


@pytest.mark.parametrize(
    "mark", ["\x00", "\x07", "\x1b[31m", "\x7f", "\x9b", "\u200e", "\u200f", "\u061c", "\u202e", "\u2066"]
)
async def test_marks_that_deceive(
    kit: HallKit, host: Guest, ann: Guest, capfd: pytest.CaptureFixture[str], mark: str
) -> None:
    """What a host asks is refused with them; in what voters say they are taken out."""
    quiz: dict[str, Any] = {"kind": "quiz", "correct": [0]}
    rating: dict[str, Any] = {"kind": "rating", "options": []}
    for change, field in (
        ({"question": f"{MARK}{mark}?"}, "question"),
        ({"options": ["a", f"{MARK}{mark}"]}, "options[1]"),
        (quiz | {"explanation": f"{MARK}{mark}"}, "explanation"),
        (rating | {"scale": {"labels": [f"{MARK}{mark}", "b"]}}, "scale.labels[0]"),
    ):
        before = kit.fingerprints()
        with pytest.raises(Refused) as refused:
            await host.ask("poll", GOOD | change)
        assert (refused.value.code, refused.value.payload["field"]) == ("malformed", f"payload.{field}")
        assert MARK not in str(refused.value.payload)
        await _unchanged(kit, before, capfd)
    await host.ask("poll", {"poll_id": "t", "kind": "text", "question": "Why?"})
    await ann.ask("poll_response", {"poll_id": "t", "text": f"be{mark}cause"})
    assert (await ann.ask("sync", {}))["polls"][0]["my_vote"] == f"be{mark.removeprefix(mark[0])}cause"


def test_every_field_comes_by_envelope_and_http_alike() -> None:
    assert OpenPoll.__struct_fields__ == CreatePoll.__struct_fields__
    assert issubclass(CreatePoll, Request)
