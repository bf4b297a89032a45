"""Polls as files: CSV and XLSX for spreadsheets, JSON for programs, HTML for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import msgspec

from plugins.polls import views
from plugins.polls.asked import Scale
from plugins.polls.views import Answer, PollView
from plugins.polls.wording import counted
from relay_bot.plugin import XLSX, Delimiter, Download, Refuse, csv_file, safe_cell, xlsx_file

__all__ = ["Exported", "VoteList", "VoteView", "download", "safe_cell"]

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")

FILES: Final = ("text/csv", XLSX, "application/json", "text/html")
"""The content types that there are."""
RESULT_COLUMNS: Final = (
    "poll_id", "question", "kind", "status", "opened_at", "closed_at", "total_voters", "total_votes",
    "option_index", "option", "count", "percentage", "weighted_count", "borda", "correct",
    "voter_percentage", "leader", "average", "weighted_average", "nps", "note", "answer",
)  # fmt: skip
VOTE_COLUMNS: Final = (
    "poll_id",
    "participant_id",
    "display_name",
    "inferred",
    "choices",
    "options",
    "text",
    "weight",
    "points",
    "seconds",
)


class VoteView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One vote: options by index, in the order of a ranking; of a rating `rating`, of a text poll `text`."""

    participant_id: str
    inferred: bool
    choices: list[int]
    rating: int | None = None
    text: str | None = None
    weight: float | None = None
    points: int | None = None
    seconds: float | None = None
    display_name: str | None = None


class VoteList(msgspec.Struct, frozen=True):
    """All votes of a poll."""

    poll_id: str
    votes: list[VoteView]


class Exported(msgspec.Struct, frozen=True):
    """A poll with its votes; those of an anonymous one are left out."""

    poll: PollView
    votes: list[VoteView]


def download(polls: Sequence[Exported], name: str, file_format: str, part: str, delimiter: Delimiter = ",") -> Download:
    """Make the file of some polls; `name` is that of the poll or the hall."""
    stem = f"polls-{_UNSAFE.sub('_', name)}"
    if file_format == "json":
        content = msgspec.json.format(msgspec.json.encode({"polls": polls}))
        return Download(f"{stem}.json", "application/json", content)
    if file_format == "html":
        return Download(f"{stem}.html", "text/html", _page(polls).encode())
    if file_format == "xlsx":
        sheets = [("results", RESULT_COLUMNS, _result_rows(polls)), ("votes", VOTE_COLUMNS, _vote_rows(polls))]
        return Download(f"{stem}.xlsx", XLSX, xlsx_file(sheets))
    if part == "results":
        return Download(f"{stem}.csv", "text/csv", csv_file(RESULT_COLUMNS, _result_rows(polls), delimiter))
    if len(polls) == 1 and polls[0].poll.anonymous and polls[0].poll.kind != "text":
        raise Refuse("forbidden", "this poll is anonymous: its votes can't be told")
    return Download(f"{stem}-votes.csv", "text/csv", csv_file(VOTE_COLUMNS, _vote_rows(polls), delimiter))


# -- tables ---------------------------------------------------------------------------------------------

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})")


def _option(text: str) -> str | int:
    """Give an option that is a whole number, as a rating's steps are, as a number."""
    return int(text) if _NUMBER.fullmatch(text) and text != "-0" else text


def _result_rows(polls: Iterable[Exported]) -> Iterable[Sequence[Any]]:
    for exported in polls:
        poll = exported.poll
        head = (
            poll.poll_id, poll.question, poll.kind, poll.status, poll.opened_at, poll.closed_at, poll.total_voters,
            poll.total_votes,
        )  # fmt: skip
        behind = (poll.average, poll.weighted_average, poll.nps, "; ".join(views.notes(poll.options, _said(poll))))
        if poll.words is not None:
            for index, word in enumerate(poll.words):
                yield (*head, index, word["word"], word["count"], *[None] * 6, *behind, None)
            for answer in poll.answers or ():
                yield (*head, None, None, answer.count, *[None] * 6, *behind, answer.text)
            continue
        leading = poll.leaders or ()
        for index, option in enumerate(poll.options):
            yield (
                *head, index, _option(option), poll.counts[index], _percent((poll.shares or [])[index]),
                None if poll.weighted_counts is None else poll.weighted_counts[index],
                None if poll.borda is None else poll.borda[index],
                None if poll.correct is None else int(index in poll.correct),
                None if poll.voter_shares is None else _percent(poll.voter_shares[index]),
                None if poll.leaders is None else int(index in leading),
                *behind, None,
            )  # fmt: skip


def _percent(share: float) -> float | int:
    return int(share) if share == int(share) else share


def _vote_rows(polls: Iterable[Exported]) -> Iterable[Sequence[Any]]:
    for exported in polls:
        poll = exported.poll
        if poll.anonymous:  # in the order of their text, which tells nothing of who was when
            for answer in poll.answers or ():
                for _ in range(answer.count):
                    yield (poll.poll_id, None, None, None, "", "", answer.text, None, None, None)
        for vote in exported.votes:
            chosen = [poll.options[choice] for choice in vote.choices]
            yield (
                poll.poll_id, vote.participant_id, vote.display_name, int(vote.inferred),
                " ".join(map(str, vote.choices)), _option(chosen[0]) if len(chosen) == 1 else " | ".join(chosen),
                vote.text, vote.weight, vote.points, vote.seconds,
            )  # fmt: skip


def _said(poll: PollView) -> dict[str, Any]:
    return msgspec.to_builtins(poll)


# -- HTML -----------------------------------------------------------------------------------------------

_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Poll results</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
section { margin-bottom: 3rem; break-inside: avoid; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .25rem .5rem; text-align: left; vertical-align: middle; font-weight: normal; }
td.count { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.bar { width: 45%; }
td.bar div { height: 1.1rem; min-width: 2px; background: #3267d6; border-radius: 3px; }
tr.right th { font-weight: 600; }
.small { color: #57606a; font-size: .875rem; }
</style></head><body>
"""


def _page(polls: Iterable[Exported]) -> str:
    return f"{_HEAD}<h1>Poll results</h1>\n{''.join(_section(each.poll) for each in polls)}</body></html>\n"


def _section(poll: PollView) -> str:
    about = [
        poll.status,
        counted(poll.total_voters, "voter"),
        counted(poll.total_votes, _NOUNS.get(poll.kind, "selection")),
    ]
    about += [f"total weight {poll.total_weight:g}"] if poll.total_weight is not None else []
    about += ["anonymous"] if poll.anonymous else []
    about += [f"opened {poll.opened_at}"] if poll.opened_at else []
    about += [f"closed {poll.closed_at}"] if poll.closed_at else []
    notes = views.notes(poll.options, _said(poll))
    about += ["percentages of the voters"] if poll.voter_shares is not None else []
    return (
        f'<section><h2 dir="auto">{escape(poll.question)}</h2>\n<p class="small">{escape(" · ".join(about))}</p>\n'
        f"<table>{''.join(_bars(poll))}</table>\n{''.join(f'<p>{escape(note)}</p>' for note in notes)}"
        f"{_answers(poll)}{_board(poll)}</section>\n"
    )


def _bars(poll: PollView) -> Iterable[str]:
    if poll.words is not None:
        most = max((word["count"] for word in poll.words), default=1)
        for word in poll.words:
            yield _bar(word["word"], str(word["count"]), word["count"] * 100 // most, right=False)
        return
    shares = views.shown_shares({"voter_shares": poll.voter_shares, "shares": poll.shares})
    scale = None if poll.scale is None else msgspec.convert(poll.scale, Scale)
    for index, label in enumerate(views.labelled(poll.options, poll.correct, scale)):
        share = shares[index]
        right = poll.correct is not None and index in poll.correct
        count = (
            counted(poll.counts[index], "vote") + f", weight {poll.weighted_counts[index]:g}"
            if (poll.weighted_counts is not None)
            else str(poll.counts[index])
        )
        yield _bar(label, f"{count} ({share:g}%)", round(share), right=right)


def _bar(label: str, value: str, percent: int, *, right: bool) -> str:
    return (
        f'<tr{" class=right" if right else ""}><th dir="auto">{escape(label)}</th>'
        f'<td class="bar"><div style="width:{percent:d}%"></div></td><td class="count">{escape(value)}</td></tr>\n'
    )


_NOUNS: Final = {"text": "answer", "rating": "rating", "ranking": "ballot"}


def _answers(poll: PollView) -> str:
    if not poll.answers:
        return ""
    rows = "".join(map(_answer, poll.answers))
    return f"<h3>Answers</h3>\n<ul>{rows}</ul>\n"


def _answer(answer: Answer) -> str:
    who = answer.display_name or answer.participant_id
    times = f" ({answer.count})" if answer.count > 1 else ""
    by = f' <span class="small">{escape(who)}</span>' if who else ""
    return f'<li dir="auto">{escape(answer.text)}{times}{by}</li>\n'


def _board(poll: PollView) -> str:
    if not poll.leaderboard:
        return ""
    rows = "".join(
        f'<tr><td class="count">{place.rank}</td><th dir="auto">{escape(place.display_name)}</th>'
        f'<td class="count">{counted(place.points, "point")}</td>'
        f'<td class="count">{place.total_seconds:.1f} s</td></tr>\n'
        for place in poll.leaderboard
    )
    return f"<h3>Leaderboard</h3>\n<table>{rows}</table>\n"
