"""Polls on the control endpoint: `/v1/halls/{hall_id}/polls…`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from plugins.polls import leaderboard, views
from plugins.polls.bodies import (
    AllPolls,
    CreatePoll,
    DecideRequest,
    EditRequest,
    ExportAllRequest,
    ExportRequest,
    ExtendRequest,
    OnePoll,
    OneSeries,
    RerunRequest,
    SavePollRequest,
    SaveSeriesRequest,
    StartRequest,
    UseTemplateRequest,
)
from plugins.polls.editing import Editing
from plugins.polls.envelopes import milliseconds
from plugins.polls.export import FILES, Exported, VoteList, VoteView, download
from plugins.polls.kinds.quiz import points
from plugins.polls.leaderboard import Standing
from plugins.polls.state import Poll
from plugins.polls.suggesting import Suggesting
from plugins.polls.templates import Templates
from plugins.polls.views import PollList, PollView
from relay_bot.plugin import Context, Download, Refuse, route


class SeriesView(msgspec.Struct, frozen=True):
    """A series: its polls in their order, and the leaderboard of its closed quizzes."""

    series_id: str
    polls: list[PollView]
    leaderboard: list[Standing]


class SavedTemplate(msgspec.Struct, frozen=True):
    """The template that was kept."""

    template: str


class Routes(Suggesting, Editing, Templates):
    """What backends call. They see everything that is kept."""

    @route("POST", "/polls")
    def create_poll(self, request: CreatePoll, ctx: Context) -> PollView:
        """Open a poll, or make one for later."""
        return self._view(self.make(request, ctx), ctx)

    @route("GET", "/polls")
    def list_polls(self, request: AllPolls, ctx: Context) -> PollList:
        """List the polls of this hall session."""
        return PollList([self._view(poll, ctx, whole=False) for poll in self.state.polls.values()])

    @route("GET", "/polls/{poll_id}")
    def get_poll(self, request: OnePoll, ctx: Context) -> PollView:
        """Show one poll with its results so far."""
        return self._view(self.find(request.poll_id), ctx)

    @route("POST", "/polls/{poll_id}/open")
    def open_poll(self, request: StartRequest, ctx: Context) -> PollView:
        """Open a draft or a scheduled poll now."""
        poll = self.find(request.poll_id)
        self.start(poll, milliseconds(request.duration_seconds), ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/edit")
    def edit_poll(self, request: EditRequest, ctx: Context) -> PollView:
        """Change a draft or a scheduled poll; what is left out stays as it is."""
        self.edit(self.find(request.poll_id), request, ctx)
        return self._view(self.find(request.poll_id), ctx)

    @route("POST", "/polls/{poll_id}/close")
    def close_poll(self, request: OnePoll, ctx: Context) -> PollView:
        """Close a poll before its time."""
        poll = self.find_running(request.poll_id)
        self.close(poll, "closed", ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/extend")
    def extend_poll(self, request: ExtendRequest, ctx: Context) -> PollView:
        """Move a poll's end by so many seconds."""
        poll = self.find_running(request.poll_id)
        self.extend(poll, request.seconds, ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/pause")
    def pause_poll(self, request: OnePoll, ctx: Context) -> PollView:
        """Take no votes for a while, and stop the clock."""
        poll = self.find_running(request.poll_id)
        self.pause(poll, ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/resume")
    def resume_poll(self, request: OnePoll, ctx: Context) -> PollView:
        """Let a paused poll go on."""
        poll = self.find_running(request.poll_id)
        self.resume(poll, ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/reopen")
    def reopen_poll(self, request: StartRequest, ctx: Context) -> PollView:
        """Take votes again after the closing."""
        poll = self.find(request.poll_id)
        self.reopen(poll, milliseconds(request.duration_seconds), ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/publish")
    def publish_poll(self, request: OnePoll, ctx: Context) -> PollView:
        """Let everybody see the results."""
        poll = self.find(request.poll_id)
        self.publish_results(poll, ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/discard")
    def discard_poll(self, request: OnePoll, ctx: Context) -> PollView:
        """Put a poll out of sight for good."""
        poll = self.find(request.poll_id)
        self.discard(poll, ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/options")
    def decide_option(self, request: DecideRequest, ctx: Context) -> PollView:
        """Take or refuse a suggested option."""
        poll = self.find_running(request.poll_id)
        self.decide(poll, request.text, approved=request.approved, ctx=ctx)
        return self._view(poll, ctx)

    @route("POST", "/polls/{poll_id}/rerun")
    def rerun_poll(self, request: RerunRequest, ctx: Context) -> PollView:
        """Ask an ended poll again, as a new round."""
        poll = self.find(request.poll_id)
        again = self.rerun(poll, request.new_poll_id, milliseconds(request.duration_seconds), ctx)
        return self._view(again, ctx)

    @route("POST", "/polls/from-template")
    def use_poll_template(self, request: UseTemplateRequest, ctx: Context) -> PollList:
        """Ask what a template holds: its poll, or its polls as a series."""
        polls = self.use_template(request.template, request.series_id, request.state, ctx)
        return PollList([self._view(poll, ctx, whole=False) for poll in polls])

    @route("POST", "/polls/{poll_id}/save")
    def save_poll(self, request: SavePollRequest, ctx: Context) -> SavedTemplate:
        """Keep a poll as a template for all halls."""
        self.save_template(request.template, [self.find(request.poll_id)], ctx)
        return SavedTemplate(request.template)

    @route("POST", "/series/{series_id}/save")
    def save_series(self, request: SaveSeriesRequest, ctx: Context) -> SavedTemplate:
        """Keep a series as a template for all halls."""
        self.save_template(request.template, self.find_series(request.series_id), ctx)
        return SavedTemplate(request.template)

    @route("GET", "/polls/{poll_id}/votes")
    def list_votes(self, request: OnePoll, ctx: Context) -> VoteList:
        """List the votes of a poll that is not anonymous."""
        poll = self.find(request.poll_id)
        if poll.rules.anonymous:
            raise Refuse("forbidden", "this poll is anonymous: its votes can't be told")
        return VoteList(poll.poll_id, _votes(poll, self.state.names))

    @route("GET", "/polls/{poll_id}/export", files=FILES)
    def export_poll(self, request: ExportRequest, ctx: Context) -> Download:
        """Download one poll as csv, xlsx, json or html."""
        poll = self.find(request.poll_id)
        return download([self._exported(poll, ctx)], poll.poll_id, request.format, request.part, request.delimiter)

    @route("GET", "/export/polls", files=FILES)
    def export_polls(self, request: ExportAllRequest, ctx: Context) -> Download:
        """Download all polls of this hall session that were opened as csv, xlsx, json or html."""
        polls = [poll for poll in self.state.polls.values() if poll.opened_at is not None and poll.archived_at is None]
        return download(
            [self._exported(poll, ctx) for poll in polls],
            self.hall.name,
            request.format,
            request.part,
            request.delimiter,
        )

    @route("GET", "/series/{series_id}")
    def get_series(self, request: OneSeries, ctx: Context) -> SeriesView:
        """Show a series with its leaderboard."""
        return self._series_view(request.series_id, ctx)

    @route("POST", "/series/{series_id}/next")
    def next_poll(self, request: OneSeries, ctx: Context) -> PollView:
        """Close what is open of a series and open what comes next."""
        return self._view(self.next_in_series(request.series_id, ctx), ctx)

    @route("POST", "/series/{series_id}/publish")
    def publish_polls(self, request: OneSeries, ctx: Context) -> SeriesView:
        """Let everybody see the results of a series' closed polls together."""
        self.publish_series(request.series_id, ctx)
        return self._series_view(request.series_id, ctx)

    # -- views --------------------------------------------------------------------------------------

    def _series_view(self, series_id: str, ctx: Context) -> SeriesView:
        polls = self.find_series(series_id)
        board = self.board(polls[0], host=True)[0]
        return SeriesView(series_id, [self._view(poll, ctx, whole=False) for poll in polls], board)

    def _view(self, poll: Poll, ctx: Context, *, whole: bool = True) -> PollView:
        """Describe a poll with its results; not `whole`: without lists that grow with the voters."""
        tally = self.sure_tally(poll, ctx)
        seq = self.hall.seq
        shown: dict[str, Any] = views.announcement(poll, seq) | views.results(poll, tally, seq, self.view)
        shown |= {"results": poll.rules.results, "published": poll.published}
        if poll.rules.quiz is not None:
            shown |= {"correct": list(poll.rules.quiz.correct), "explanation": poll.rules.quiz.explanation or None}
        if whole and leaderboard.is_counted(poll):
            shown["leaderboard"] = msgspec.to_builtins(self.board(poll, host=True)[0])
        if whole and poll.rules.kind == "text":
            shown["answers"] = msgspec.to_builtins(views.answers(poll, tally, names=self.state.names))
        if poll.suggested:
            shown["suggested"] = msgspec.to_builtins(views.suggestions(poll))
        return msgspec.convert(shown, PollView)

    def _exported(self, poll: Poll, ctx: Context) -> Exported:
        return Exported(self._view(poll, ctx), [] if poll.rules.anonymous else _votes(poll, self.state.names))


def _votes(poll: Poll, names: Mapping[str, str]) -> list[VoteView]:
    return [_vote(poll, identity, choices, names) for identity, choices in poll.ballots.items()]


def _vote(poll: Poll, identity: str, choices: tuple[int, ...], names: Mapping[str, str]) -> VoteView:
    rules = poll.rules
    is_quiz = rules.quiz is not None
    took = poll.took.get(identity, 0)
    return VoteView(
        identity,
        identity in poll.inferred,
        list(choices),
        rating=choices[0] + rules.scale.min if rules.scale is not None else None,
        text=poll.texts.get(identity),
        weight=poll.weights.get(identity, 0) / rules.weights.unit if rules.weights is not None else None,
        points=points(poll, choices, took) if is_quiz else None,
        seconds=took / 1000 if is_quiz else None,
        display_name=names.get(identity),
    )
