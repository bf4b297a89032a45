"""Polls as files: CSV for spreadsheets, JSON for programs, HTML for people."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import msgspec

from plugins.polls import views
from plugins.polls.asked import Scale
from plugins.polls.views import PollView
from relay_bot.plugin import Download, Refuse

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")

RESULT_COLUMNS: Final = (
    "poll_id", "question", "kind", "status", "opened_at", "closed_at", "total_voters", "total_votes",
    "option_index", "option", "count", "percentage", "weighted_count", "borda", "correct",
)  # fmt: skip
VOTE_COLUMNS: Final = (
    "poll_id",
    "participant_id",
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


class VoteList(msgspec.Struct, frozen=True):
    """All votes of a poll."""

    poll_id: str
    votes: list[VoteView]


class Exported(msgspec.Struct, frozen=True):
    """A poll with its votes; those of an anonymous one are left out."""

    poll: PollView
    votes: list[VoteView]


def download(polls: Sequence[Exported], name: str, file_format: str, part: str) -> Download:
    """Make the file of some polls; `name` is that of the poll or the hall."""
    stem = f"polls-{_UNSAFE.sub('_', name)}"
    if file_format == "json":
        content = msgspec.json.format(msgspec.json.encode({"polls": polls}))
        return Download(f"{stem}.json", "application/json", content)
    if file_format == "html":
        return Download(f"{stem}.html", "text/html", _page(polls).encode())
    if part == "results":
        return Download(f"{stem}.csv", "text/csv", _csv(RESULT_COLUMNS, _result_rows(polls)))
    if len(polls) == 1 and polls[0].poll.anonymous:
        raise Refuse("forbidden", "this poll is anonymous: its votes can't be told")
    return Download(f"{stem}-votes.csv", "text/csv", _csv(VOTE_COLUMNS, _vote_rows(polls)))


# -- CSV ------------------------------------------------------------------------------------------------


def safe_cell(value: Any) -> Any:
    """Make a cell's text one that no spreadsheet takes for a formula."""
    if isinstance(value, str) and (value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)):
        return f"'{value}"
    return value


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if value is None else safe_cell(value) for value in row])
    return "\ufeff".encode() + out.getvalue().encode()  # the mark tells Excel that it is UTF-8


def _result_rows(polls: Iterable[Exported]) -> Iterable[Sequence[Any]]:
    for exported in polls:
        poll = exported.poll
        head = (
            poll.poll_id, poll.question, poll.kind, poll.status, poll.opened_at, poll.closed_at, poll.total_voters,
            poll.total_votes,
        )  # fmt: skip
        if poll.words is not None:
            for index, word in enumerate(poll.words):
                yield (*head, index, word["word"], word["count"], None, None, None, None)
            continue
        for index, option in enumerate(poll.options):
            yield (
                *head, index, option, poll.counts[index], poll.percentages[index],
                None if poll.weighted_counts is None else poll.weighted_counts[index],
                None if poll.borda is None else poll.borda[index],
                None if poll.correct is None else int(index in poll.correct),
            )  # fmt: skip


def _vote_rows(polls: Iterable[Exported]) -> Iterable[Sequence[Any]]:
    for exported in polls:
        options = exported.poll.options
        for vote in exported.votes:
            yield (
                exported.poll.poll_id, vote.participant_id, int(vote.inferred),
                " ".join(map(str, vote.choices)), " | ".join(options[choice] for choice in vote.choices),
                vote.text, vote.weight, vote.points, vote.seconds,
            )  # fmt: skip


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
    about = [poll.status, f"{poll.total_voters} voters", f"{poll.total_votes} selections"]
    about += ["anonymous"] if poll.anonymous else []
    about += [f"opened {poll.opened_at}"] if poll.opened_at else []
    about += [f"closed {poll.closed_at}"] if poll.closed_at else []
    notes = views.notes(poll.options, msgspec.to_builtins(poll))
    return (
        f'<section><h2 dir="auto">{escape(poll.question)}</h2>\n<p class="small">{escape(" · ".join(about))}</p>\n'
        f"<table>{''.join(_bars(poll))}</table>\n{''.join(f'<p>{escape(note)}</p>' for note in notes)}"
        f"{_board(poll)}</section>\n"
    )


def _bars(poll: PollView) -> Iterable[str]:
    if poll.words is not None:
        most = max((word["count"] for word in poll.words), default=1)
        for word in poll.words:
            yield _bar(word["word"], str(word["count"]), word["count"] * 100 // most, right=False)
        return
    scale = None if poll.scale is None else msgspec.convert(poll.scale, Scale)
    for index, label in enumerate(views.labelled(poll.options, poll.correct, scale)):
        share = poll.percentages[index]
        right = poll.correct is not None and index in poll.correct
        yield _bar(label, f"{poll.counts[index]} ({share}%)", share, right=right)


def _bar(label: str, value: str, percent: int, *, right: bool) -> str:
    return (
        f'<tr{" class=right" if right else ""}><th dir="auto">{escape(label)}</th>'
        f'<td class="bar"><div style="width:{percent:d}%"></div></td><td class="count">{escape(value)}</td></tr>\n'
    )


def _board(poll: PollView) -> str:
    if not poll.leaderboard:
        return ""
    rows = "".join(
        f'<tr><td class="count">{place.rank}</td><th dir="auto">{escape(place.display_name)}</th>'
        f'<td class="count">{place.points} points</td><td class="count">{place.total_seconds:.1f} s</td></tr>\n'
        for place in poll.leaderboard
    )
    return f"<h3>Leaderboard</h3>\n<table>{rows}</table>\n"
