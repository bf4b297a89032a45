"""What hosts and backends ask for by envelope and RPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from plugins.polls import views
from plugins.polls.bodies import (
    ClosePoll,
    DecideOption,
    DiscardPoll,
    EditPoll,
    ExtendPoll,
    ListTemplates,
    NextPoll,
    OpenPoll,
    PausePoll,
    PublishPoll,
    ReopenPoll,
    RerunPoll,
    ResumePoll,
    SaveTemplate,
    StartPoll,
    UseTemplate,
)
from plugins.polls.define import malformed
from plugins.polls.editing import Editing
from plugins.polls.suggesting import Suggesting
from plugins.polls.templates import PollTemplate, Templates
from plugins.polls.voting import in_payload
from relay_bot.plugin import Context, Refuse, Role, handle

T = TypeVar("T")


def milliseconds(seconds: float | None) -> int | None:
    """Convert a duration that may not be given."""
    return None if seconds is None else max(1, round(seconds * 1000))


class Envelopes(Suggesting, Editing, Templates):
    """The steps of a poll's life as messages."""

    def _as_host(self, ctx: Context, step: Callable[[], T]) -> T:
        ctx.sender.require(Role.HOST)
        try:
            return step()
        except Refuse as refusal:
            raise in_payload(refusal) from None

    @handle
    def open(self, body: OpenPoll, ctx: Context) -> dict[str, Any] | None:
        """Open a poll, or make one for later; a host or a backend may."""
        poll = self._as_host(ctx, lambda: self.make(body, ctx))
        return None if body.poll_id else {"poll_id": poll.poll_id}

    @handle(forward=False)
    def start_poll(self, body: StartPoll, ctx: Context) -> None:
        """Open a draft or a scheduled poll now."""
        lasts = milliseconds(body.duration_seconds)
        self._as_host(ctx, lambda: self.start(self.find(body.poll_id), lasts, ctx))

    @handle(forward=False)
    def change_poll(self, body: EditPoll, ctx: Context) -> None:
        """Change a draft or a scheduled poll."""
        self._as_host(ctx, lambda: self.edit(self.find(body.poll_id), body, ctx))

    @handle(forward=False)
    def end_poll(self, body: ClosePoll, ctx: Context) -> None:
        """Close a poll before its time."""
        self._as_host(ctx, lambda: self.close(self.find_running(body.poll_id), "closed", ctx))

    @handle(forward=False)
    def move_end(self, body: ExtendPoll, ctx: Context) -> None:
        """Move a poll's end."""
        self._as_host(ctx, lambda: self.extend(self.find_running(body.poll_id), body.seconds, ctx))

    @handle(forward=False)
    def hold_poll(self, body: PausePoll, ctx: Context) -> None:
        """Take no votes, and stop the clock."""
        self._as_host(ctx, lambda: self.pause(self.find_running(body.poll_id), ctx))

    @handle(forward=False)
    def go_on(self, body: ResumePoll, ctx: Context) -> None:
        """Take votes again after a pause."""
        self._as_host(ctx, lambda: self.resume(self.find_running(body.poll_id), ctx))

    @handle(forward=False)
    def open_again(self, body: ReopenPoll, ctx: Context) -> None:
        """Take votes again after the closing."""
        lasts = milliseconds(body.duration_seconds)
        self._as_host(ctx, lambda: self.reopen(self.find(body.poll_id), lasts, ctx))

    @handle(forward=False)
    def show_all(self, body: PublishPoll, ctx: Context) -> None:
        """Let everybody see the results: of a poll, or of all closed ones of a series."""

        def step() -> None:
            if (body.poll_id is None) == (body.series_id is None):
                raise malformed("poll_id", "expected either poll_id or series_id")
            if body.poll_id is not None:
                self.publish_results(self.find(body.poll_id), ctx)
            elif body.series_id is not None:
                self.publish_series(body.series_id, ctx)

        self._as_host(ctx, step)

    @handle(forward=False)
    def throw_away(self, body: DiscardPoll, ctx: Context) -> None:
        """Put a poll out of sight for good."""
        self._as_host(ctx, lambda: self.discard(self.find(body.poll_id), ctx))

    @handle(forward=False)
    def decide_suggestion(self, body: DecideOption, ctx: Context) -> None:
        """Take or refuse a suggested option."""

        def step() -> None:
            self.decide(self.find_running(body.poll_id), body.text, approved=body.approved, ctx=ctx)

        self._as_host(ctx, step)

    @handle(forward=False)
    def next_one(self, body: NextPoll, ctx: Context) -> dict[str, Any]:
        """Close what is open of a series and open what comes next."""
        poll = self._as_host(ctx, lambda: self.next_in_series(body.series_id, ctx))
        return {"poll_id": poll.poll_id}

    @handle(forward=False)
    def ask_again(self, body: RerunPoll, ctx: Context) -> dict[str, Any] | None:
        """Ask an ended poll again, as a new round."""
        lasts = milliseconds(body.duration_seconds)
        poll = self._as_host(ctx, lambda: self.rerun(self.find(body.poll_id), body.new_poll_id, lasts, ctx))
        return None if body.new_poll_id else {"poll_id": poll.poll_id}

    @handle(forward=False)
    def ask_template(self, body: UseTemplate, ctx: Context) -> dict[str, Any]:
        """Ask what a template holds."""
        polls = self._as_host(ctx, lambda: self.use_template(body.template, body.series_id, body.state, ctx))
        series = polls[0].rules.series
        return {
            "poll_ids": [poll.poll_id for poll in polls],
            "series_id": None if series is None else series.series_id,
        }

    @handle(forward=False)
    def keep_template(self, body: SaveTemplate, ctx: Context) -> None:
        """Keep a poll, or a series, as a template for all halls."""

        def step() -> None:
            if (body.poll_id is None) == (body.series_id is None):
                raise malformed("poll_id", "expected either poll_id or series_id")
            polls = self.find_series(body.series_id) if body.series_id else [self.find(body.poll_id or "")]
            self.save_template(body.template, polls, ctx)

        self._as_host(ctx, step)

    @handle(forward=False, reads=True)
    def list_templates(self, body: ListTemplates, ctx: Context) -> dict[str, Any]:
        """Tell a host which templates there are."""
        ctx.sender.require(Role.HOST)
        return views.fitted({"templates": ctx.names_shelved(PollTemplate)})
