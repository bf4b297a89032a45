"""How polls look on the wire and on the control endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from plugins.polls import shares
from plugins.polls.asked import Scale
from plugins.polls.kinds import KINDS, RANKING
from plugins.polls.kinds.base import View
from plugins.polls.kinds.quiz import solution
from plugins.polls.leaderboard import Standing
from plugins.polls.state import Poll
from plugins.polls.tally import Tally
from relay_bot.plugin import iso, iso_or_none

_ROOM: Final = 14_000
"""Bytes that a payload may have: an envelope has at most 15,000."""
MAX_ANNOUNCEMENT: Final = 10_000
"""Bytes of question, options and rules: then a late joiner gets them together with the results."""
_CUT: Final = ("templates", "suggested", "answers", "leaderboard", "words", "irv")


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One text answer; `participant_id` is missing in an anonymous poll."""

    text: str
    participant_id: str | None = None
    count: int = 1
    display_name: str | None = None


class Suggestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """An option that waits for approval; `participant_id` is missing in an anonymous poll."""

    text: str
    participant_id: str | None = None


class PollView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A poll on the control endpoint; times are ISO 8601. What a kind doesn't have is left out."""

    poll_id: str
    kind: str
    question: str
    options: list[str]
    status: str
    seq: int
    counts: list[int]
    percentages: list[int]
    total_voters: int
    total_votes: int
    inferred_voters: int
    min_choices: int
    max_choices: int
    allow_revote: bool
    results: str
    published: bool
    anonymous: bool
    opened_at: str | None
    closes_at: str | None
    closed_at: str | None
    opens_at: str | None = None
    remaining_seconds: float | None = None
    voter_percentages: list[int] | None = None
    shares: list[float] | None = None
    voter_shares: list[float] | None = None
    total_weight: float | None = None
    leaders: list[int] | None = None
    tie: bool | None = None
    weighted_counts: list[float] | None = None
    average: float | None = None
    weighted_average: float | None = None
    nps: int | None = None
    scale: dict[str, Any] | None = None
    borda: list[int] | None = None
    irv: dict[str, Any] | None = None
    max_length: int | None = None
    words: list[dict[str, Any]] | None = None
    answers: list[Answer] | None = None
    points: int | None = None
    negative_points: int | None = None
    speed_bonus: int | None = None
    correct: list[int] | None = None
    correct_voters: int | None = None
    explanation: str | None = None
    leaderboard: list[Standing] | None = None
    series: dict[str, Any] | None = None
    rerun_of: str | None = None
    round: int | None = None
    restricted: bool | None = None
    user_options: str | None = None
    suggested: list[Suggestion] | None = None


class PollList(msgspec.Struct, frozen=True):
    """The polls of a hall session, in the order in which they were made."""

    polls: list[PollView]


def announcement(poll: Poll, seq: int) -> dict[str, Any]:
    """Make the payload of `poll`: what is asked, and when it closes by the bot's clock. No result is in it."""
    rules = poll.rules
    said: dict[str, Any] = {
        "poll_id": poll.poll_id,
        "kind": rules.kind,
        "question": poll.question,
        "options": poll.options,
        "min_choices": poll.min_choices,
        "max_choices": poll.max_choices,
        "allow_revote": rules.allow_revote,
        "anonymous": rules.anonymous,
        "results": rules.results,
        "status": poll.status,
        "opened_at": iso_or_none(poll.opened_at),
        "closes_at": iso_or_none(poll.closes_at),
        "seq": seq,
    }
    if poll.closes_at is not None and poll.opened_at is not None:
        said["duration_seconds"] = (poll.closes_at - poll.opened_at) / 1000
    elif poll.opened_at is None and rules.duration_ms is not None:
        said["duration_seconds"] = rules.duration_ms / 1000
    if poll.opens_at is not None and poll.opened_at is None:
        said["opens_at"] = iso(poll.opens_at)
    if poll.remaining_ms is not None:
        said["remaining_seconds"] = poll.remaining_ms / 1000
    if rules.eligible is not None:
        said["restricted"] = True
    if rules.user_options != "no":
        said["user_options"] = rules.user_options
    if rules.series is not None:
        said["series"] = msgspec.to_builtins(rules.series)
    if rules.rerun_of is not None:
        said |= {"rerun_of": rules.rerun_of, "round": rules.round}
    return said | _of_kind(poll)


def _of_kind(poll: Poll) -> dict[str, Any]:
    rules = poll.rules
    if rules.scale is not None:
        return {"scale": msgspec.to_builtins(rules.scale)}
    if rules.kind == "text":
        return {"max_length": rules.max_length}
    if rules.quiz is not None:
        quiz = rules.quiz
        return {"points": quiz.points, "negative_points": quiz.negative_points, "speed_bonus": quiz.speed_bonus}
    return {}


def results(poll: Poll, tally: Tally, seq: int, view: View) -> dict[str, Any]:
    """Make the payload of `poll_results` and `poll_closed`."""
    voters = poll.total_voters
    counted = tally.weighted or tally.counts
    said: dict[str, Any] = {
        "poll_id": poll.poll_id,
        "seq": seq,
        "status": poll.status,
        "counts": list(tally.counts),
        "percentages": shares.percentages(counted),
        "shares": shares.exact(counted),
        "total_voters": voters,
        "total_votes": tally.total_votes,
        "inferred_voters": poll.inferred_voters,
        "closed_at": iso_or_none(poll.closed_at),
    }
    if poll.max_choices > 1 and poll.rules.kind in ("choice", "quiz"):
        said["voter_percentages"] = shares.of_voters(counted, tally.weight if tally.weighted else voters)
        said["voter_shares"] = shares.exact(counted, tally.weight if tally.weighted else voters)
    if poll.rules.weights is not None:
        unit = poll.rules.weights.unit
        said["weighted_counts"] = [weight / unit for weight in tally.weighted]
        said["total_weight"] = tally.weight / unit
    if poll.rules.kind == "ranking" and poll.closed_at is not None:
        said |= RANKING.final(poll, tally)
    else:
        said |= KINDS[poll.rules.kind].results(poll, tally, view)
    if poll.rules.kind == "quiz" and poll.closed_at is not None:
        said |= solution(poll, tally)
    return said


def answers(
    poll: Poll, tally: Tally, newest: int | None = None, names: Mapping[str, str] | None = None
) -> list[Answer]:
    """List the answers of a text poll, the newest last; those of an anonymous one in the order of their text."""
    if poll.rules.anonymous:
        found = [Answer(text, None, count) for text, count in sorted(tally.answers.items())]
        return found[:newest]
    texts = list(poll.texts.items())
    if newest is not None:
        texts = texts[-newest:]
    return [Answer(text, identity, 1, (names or {}).get(identity)) for identity, text in texts]


def suggestions(poll: Poll) -> list[Suggestion]:
    """List the options that wait for approval."""
    anonymous = poll.rules.anonymous
    return [Suggestion(text, None if anonymous else by) for text, by in poll.suggested.items()]


def labelled(options: list[str], correct: list[int] | None, scale: Scale | None) -> list[str]:
    """Give the options as people read them: the right ones marked, a rating's steps with their labels."""
    labels: dict[int, str] = {}
    if scale is not None and scale.labels:
        last = len(options) - 1
        labels = {(index if len(scale.labels) > 2 else index * last): text for index, text in enumerate(scale.labels)}
    return [
        option + (f" ({labels[index]})" if index in labels else "") + (" ✓" if index in (correct or ()) else "")
        for index, option in enumerate(options)
    ]


def notes(options: list[str], said: Mapping[str, Any]) -> list[str]:
    """Say in words what results have beside their counts."""
    found: list[str] = []
    if said.get("tie"):
        leaders: list[int] = said["leaders"]
        found.append("Tie: " + ", ".join(options[index] for index in leaders))
    if said.get("average") is not None:
        found.append(f"Average {said['average']}" + ("" if said.get("nps") is None else f", NPS {said['nps']}"))
    if said.get("borda") is not None:
        told = (f"{option} {points}" for option, points in zip(options, said["borda"], strict=True))
        found.append("Borda points: " + ", ".join(told))
    if said.get("irv") is not None:
        found.append(_runoff(options, said["irv"]))
    if said.get("explanation"):
        found.append(said["explanation"])
    return found


def _runoff(options: list[str], irv: Mapping[str, Any]) -> str:
    """Say who has won, and what decided where the votes didn't."""
    winner: int | None = irv["winner"]
    tie: list[int] = irv["tie"]
    rounds: list[dict[str, Any]] = irv["rounds"]
    if winner is not None:
        told = f"Instant runoff: {options[winner]}"
    elif tie:
        told = "Instant runoff: a tie of " + _names(options, tie)
    else:
        told = "Instant runoff: no votes"
    drawn = [
        f"{_names(options, each['eliminated'])} (round {number})"
        for number, each in enumerate(rounds, 1)
        if each.get("by_order")
    ]
    if drawn:
        told += ". Not decided by votes: of equals, the option listed last went out: " + ", ".join(drawn)
    return told


def _names(options: list[str], indices: list[int]) -> str:
    return ", ".join(options[index] for index in indices)


def shown_shares(said: Mapping[str, Any]) -> list[float]:
    """Give the percentages that people read: of the voters where each has several choices, else of what was counted."""
    return said.get("voter_shares") or said["shares"]


def fitted(said: dict[str, Any]) -> dict[str, Any]:
    """Cut the long lists of a payload until it fits into an envelope; `truncated` names them."""
    cut: list[str] = []
    while len(msgspec.json.encode(said)) > _ROOM:
        name = next((name for name in _CUT if said.get(name)), None)
        if name is None:
            break
        if name == "irv":
            del said[name]
        else:
            said[name] = said[name][: len(said[name]) // 2]
        cut.append(name)
    if (
        isinstance(said.get("results"), dict) and len(msgspec.json.encode(said)) > _ROOM
    ):  # of `hall_state` and `poll_get`
        del said["results"]
        cut.append("results")
    if cut:
        said["truncated"] = list(dict.fromkeys(cut))
    return said
