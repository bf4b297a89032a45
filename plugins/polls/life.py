"""The life of a poll: one method for each step, whoever asks for it."""

from __future__ import annotations

import uuid
from typing import Final

import msgspec

from plugins.polls import views
from plugins.polls.asked import Question, Series
from plugins.polls.bodies import PollFields
from plugins.polls.define import again, define, malformed
from plugins.polls.events import (
    PollClosed,
    PollDiscarded,
    PollExtended,
    PollOpened,
    PollPaused,
    PollPlanned,
    PollPostponed,
    PollPublished,
    PollReopened,
    PollResumed,
    PollStarted,
)
from plugins.polls.kinds import RANKING
from plugins.polls.speaking import Speaking
from plugins.polls.state import Poll
from plugins.polls.tally import Tally
from plugins.polls.visibility import is_public
from plugins.polls.wording import counted
from relay_bot.plugin import Context, Refuse, Role, parse_iso, timer

_MAX_AHEAD_MS: Final = 30 * 86_400_000


class Life(Speaking):
    """From a draft to the archive."""

    # -- making -------------------------------------------------------------------------------------

    def make(self, asked: PollFields, ctx: Context) -> Poll:
        """Make a poll: open it, or keep it for later."""
        if asked.state == "draft" and asked.opens_at is not None:
            raise malformed("opens_at", "a draft is opened by hand: leave out either opens_at or state")
        opens_at = self.opening_of(asked.opens_at, ctx)
        series = None if asked.series is None else Series(asked.series.series_id, asked.series.index)
        question = define(asked.poll_id or str(uuid.uuid4()), asked, self.settings, ctx.audience, series)
        self.check_new([question])
        if asked.state == "draft" or opens_at is not None:
            return self.plan(question, opens_at, ctx)
        return self.open_new(question, ctx)

    def opening_of(self, text: str | None, ctx: Context) -> int | None:
        """Read the time at which a poll is to be opened; `None`: at once, or by hand."""
        if text is None:
            return None
        try:
            opens_at = parse_iso(text)
        except (ValueError, OverflowError) as error:
            raise malformed("opens_at", str(error)) from None
        if opens_at > ctx.now + _MAX_AHEAD_MS:
            raise malformed("opens_at", "a poll can be scheduled 30 days ahead at most")
        return opens_at if opens_at > ctx.now else None

    def check_new(self, questions: list[Question]) -> None:
        """Refuse polls that this hall can't take."""
        if any(question.poll_id in self.state.polls for question in questions):
            raise Refuse("poll_exists", "there is a poll with this id; choose another", field="poll_id")
        if len(self.state.polls) + len(questions) > self.settings.max_polls:
            raise Refuse(
                "busy", f"this hall has at most {counted(self.settings.max_polls, 'poll')}, which is the limit"
            )
        for question in questions:
            check_size(question)

    def check_open(self) -> None:
        """Refuse to open one poll more than may be open."""
        if len(self.state.running()) >= self.settings.max_open:
            are = "is" if self.settings.max_open == 1 else "are"
            raise Refuse("busy", f"{counted(self.settings.max_open, 'poll')} {are} open; close one first")

    def open_new(self, made: Question, ctx: Context) -> Poll:
        """Make a poll and open it."""
        self.check_open()
        closes_at = None if made.rules.duration_ms is None else ctx.now + made.rules.duration_ms
        ctx.record(
            PollOpened(
                made.poll_id, made.question, made.options, made.min_choices, made.max_choices, ctx.now, closes_at,
                made.rules,
            )
        )  # fmt: skip
        poll = self.state.polls[made.poll_id]
        self._opened(poll, ctx)
        return poll

    def plan(self, made: Question, opens_at: int | None, ctx: Context) -> Poll:
        """Make a poll that is opened by hand, or at a time."""
        ctx.record(
            PollPlanned(
                made.poll_id, made.question, made.options, made.min_choices, made.max_choices, ctx.now, opens_at,
                made.rules,
            )
        )  # fmt: skip
        poll = self.state.polls[made.poll_id]
        if opens_at is not None:
            ctx.set_timer(self.opening_time, poll.poll_id, opens_at)
        self.say_poll(poll, ctx)
        return poll

    def _opened(self, poll: Poll, ctx: Context) -> None:
        if poll.rules.anonymous:
            self.key(poll, ctx)
        self._set_deadline(poll, ctx)
        self.say_poll(poll, ctx)

    def _set_deadline(self, poll: Poll, ctx: Context) -> None:
        if poll.closes_at is None:
            ctx.clear_timer(self.time_is_up, poll.poll_id)
        else:
            ctx.set_timer(self.time_is_up, poll.poll_id, poll.closes_at)

    def rerun(self, poll: Poll, poll_id: str | None, duration_ms: int | None, ctx: Context) -> Poll:
        """Ask an ended poll again."""
        if poll.is_planned or poll.is_running:
            raise Refuse("poll_exists", "this poll has not ended yet", field="poll_id")
        question = again(poll, poll_id or str(uuid.uuid4()), duration_ms)
        if question.poll_id in self.state.polls:
            raise Refuse("poll_exists", "there is a poll with this id; choose another", field="new_poll_id")
        self.check_new([question])
        return self.open_new(question, ctx)

    # -- opening ------------------------------------------------------------------------------------

    def start(self, poll: Poll, duration_ms: int | None, ctx: Context) -> None:
        """Open a draft or a scheduled poll now; one that is open stays so."""
        if poll.is_running:
            return
        if not poll.is_planned:
            raise Refuse("poll_closed", f"this poll is {poll.status}: reopen it, or run it again", field="poll_id")
        self.check_open()
        lasts = poll.rules.duration_ms if duration_ms is None else duration_ms
        ctx.record(PollStarted(poll.poll_id, ctx.now, None if lasts is None else ctx.now + lasts))
        ctx.clear_timer(self.opening_time, poll.poll_id)
        self._opened(poll, ctx)

    @timer
    def opening_time(self, key: str, ctx: Context) -> None:
        """Open a poll whose time has come; where too many are open, it becomes a draft and hosts hear of it."""
        poll = self.state.polls.get(key)
        if poll is None or poll.status != "scheduled":
            return
        if len(self.state.running()) < self.settings.max_open:
            self.start(poll, None, ctx)
            return
        ctx.record(PollPostponed(poll.poll_id))
        self.say_poll(poll, ctx)
        for host in self.hall.roster.at_least(Role.HOST):
            ctx.notice(f"too many polls are open: this one waits as a draft: {poll.question}", to=host)

    def reopen(self, poll: Poll, duration_ms: int | None, ctx: Context) -> None:
        """Take votes again; the votes that a poll has stay."""
        if poll.is_running:
            return
        if poll.status != "closed":
            raise Refuse("poll_closed", f"this poll is {poll.status}: only a closed one is reopened", field="poll_id")
        if poll.rules.anonymous:
            raise Refuse("forbidden", "nobody knows any more who voted in this anonymous poll: run it again")
        if poll.rules.kind == "quiz":
            raise Refuse("forbidden", "the answers of this quiz were told: run it again")
        self.check_open()
        ctx.record(PollReopened(poll.poll_id, ctx.now, None if duration_ms is None else ctx.now + duration_ms))
        self._set_deadline(poll, ctx)
        self.say_poll(poll, ctx)
        self.say_results(poll, ctx)

    # -- while it is open ---------------------------------------------------------------------------

    def extend(self, poll: Poll, seconds: float, ctx: Context) -> None:
        """Move a running poll's end; to the past, it is closed."""
        by = round(seconds * 1000)
        if poll.paused_at is not None:
            if poll.remaining_ms is None and by < 0:
                raise malformed("seconds", "this poll has no end that could be moved forward")
            remaining = max(0, (poll.remaining_ms or 0) + by)
            ctx.record(PollExtended(poll.poll_id, None, remaining))
        elif poll.closes_at is None and by < 0:
            raise malformed("seconds", "this poll has no end that could be moved forward")
        else:
            closes_at = (ctx.now if poll.closes_at is None else poll.closes_at) + by
            if closes_at > ctx.now + _MAX_AHEAD_MS:
                raise malformed("seconds", "a poll can't last longer than 30 days from now")
            if closes_at <= ctx.now:
                self.close(poll, "closed", ctx)
                return
            ctx.record(PollExtended(poll.poll_id, closes_at))
            self._set_deadline(poll, ctx)
        self.say_poll(poll, ctx)

    def pause(self, poll: Poll, ctx: Context) -> None:
        """Take no votes for a while, and stop the clock."""
        if poll.paused_at is not None:
            return
        ctx.record(PollPaused(poll.poll_id, ctx.now))
        self._set_deadline(poll, ctx)
        self.say_poll(poll, ctx)

    def resume(self, poll: Poll, ctx: Context) -> None:
        """Let a paused poll go on, with the time that was left."""
        if poll.paused_at is None:
            return
        closes_at = None if poll.remaining_ms is None else ctx.now + poll.remaining_ms
        ctx.record(PollResumed(poll.poll_id, ctx.now, closes_at))
        self._set_deadline(poll, ctx)
        self.say_poll(poll, ctx)

    # -- ending -------------------------------------------------------------------------------------

    @timer
    def time_is_up(self, key: str, ctx: Context) -> None:
        """Close a poll whose time is over."""
        poll = self.state.polls.get(key)
        if poll is not None and poll.is_running:
            self.close(poll, "time", ctx)

    def ended(self, ctx: Context) -> None:
        """Close what is open when the hall ends."""
        for poll in self.state.running():
            self.close(poll, "hall_ended", ctx)

    def close(self, poll: Poll, reason: str, ctx: Context) -> None:
        """Close a poll and tell it."""
        self._end(poll, reason, ctx)
        self.say_closed(poll, ctx)
        self._destroy_key(poll, ctx)

    def _end(self, poll: Poll, reason: str, ctx: Context) -> None:
        frozen = self._freeze(poll, ctx) if poll.rules.anonymous else None
        ctx.record(PollClosed(poll.poll_id, ctx.now, reason, frozen))
        ctx.clear_timer(self.time_is_up, poll.poll_id)
        self.forget_boards()

    def _freeze(self, poll: Poll, ctx: Context) -> Tally:
        """Make the tally that stays of an anonymous poll: no ballot can be read in it."""
        tally = self.sure_tally(poll, ctx)
        final = RANKING.final(poll, tally) if poll.rules.kind == "ranking" else {}
        return Tally(
            counts=list(tally.counts),
            total_votes=tally.total_votes,
            correct=tally.correct,
            words=dict(sorted(tally.words.items())),
            spellings=_sorted_within(tally.spellings),
            meant=_sorted_within(tally.meant),
            answers=dict(sorted(tally.answers.items())),
            voters=poll.total_voters,
            inferred=poll.inferred_voters,
            final=final,
        )

    def _destroy_key(self, poll: Poll, ctx: Context) -> None:
        if poll.rules.anonymous:
            self._keys.pop(poll.poll_id, None)
            self._tallies.pop(poll.poll_id, None)
            ctx.destroy_secret(f"ballots.{poll.poll_id}")

    def discard(self, poll: Poll, ctx: Context) -> None:
        """Put a poll out of sight for good: participants are told nothing of its results."""
        if poll.archived_at is not None:
            return
        was_planned, was_running = poll.is_planned, poll.is_running
        if was_running:
            self._end(poll, "discarded", ctx)
        ctx.record(PollDiscarded(poll.poll_id, ctx.now))
        ctx.clear_timer(self.opening_time, poll.poll_id)
        self.forget_boards()
        if was_planned:
            self.say_poll(poll, ctx)
        else:
            self.say_closed(poll, ctx)
        if was_running:
            self._destroy_key(poll, ctx)

    # -- results ------------------------------------------------------------------------------------

    def publish_results(self, poll: Poll, ctx: Context) -> None:
        """Let everybody see the results from now on."""
        self._check_publishable(poll)
        self._publish(poll, ctx)

    def publish_series(self, series_id: str, ctx: Context) -> list[Poll]:
        """Let everybody see the results of all closed polls of a series together."""
        polls = [poll for poll in self.find_series(series_id) if poll.status == "closed"]
        for poll in polls:
            self._check_publishable(poll)
        for poll in polls:
            self._publish(poll, ctx)
        return polls

    def _check_publishable(self, poll: Poll) -> None:
        if poll.rules.results == "hosts":
            raise Refuse("forbidden", "the results of this poll were promised to hosts alone")
        if poll.archived_at is not None:
            raise Refuse("poll_closed", "this poll was discarded", field="poll_id")
        if poll.is_planned:
            raise Refuse("poll_closed", "this poll is not open yet", field="poll_id")

    def _publish(self, poll: Poll, ctx: Context) -> None:
        if poll.published or is_public(poll):
            return
        ctx.record(PollPublished(poll.poll_id))
        self.forget_boards()
        if poll.is_running:
            self.say_results(poll, ctx)
        else:
            self.say_published(poll, ctx)

    # -- series -------------------------------------------------------------------------------------

    def find_series(self, series_id: str) -> list[Poll]:
        """Find the polls of a series in its running order."""
        found = self.state.series(series_id)
        if not found:
            raise Refuse("poll_not_found", "there is no such series in this hall", field="series_id")
        return found

    def next_in_series(self, series_id: str | None, ctx: Context) -> Poll:
        """Close what is open of a series, and open what comes next of it."""
        polls = self.find_series(self._going_series() if series_id is None else series_id)
        following = next((poll for poll in polls if poll.is_planned), None)
        if following is None:
            raise Refuse("poll_not_found", "nothing is left in this series", field="series_id")
        running = [poll for poll in polls if poll.is_running]
        if not running:
            self.check_open()
        for poll in running:
            self.close(poll, "closed", ctx)
        self.start(following, None, ctx)
        return following

    def _going_series(self) -> str:
        """Guess the series that is meant: that of the poll opened last, else the first that is planned."""
        opened = [poll for poll in self.state.polls.values() if poll.rules.series and poll.opened_at is not None]
        by_time = sorted(opened, key=lambda poll: poll.opened_at or 0, reverse=True)
        going = [*by_time, *(poll for poll in self.state.planned() if poll.rules.series)]
        planned = {poll.rules.series.series_id for poll in self.state.planned() if poll.rules.series}
        for poll in going:
            if poll.rules.series and poll.rules.series.series_id in planned:
                return poll.rules.series.series_id
        raise Refuse("poll_not_found", "no series has a poll left to open", field="series_id")


def check_size(question: Question) -> None:
    """Refuse a poll that would leave no room for its results in a late joiner's state."""
    size = len(msgspec.json.encode(views.announcement(_as_poll(question), 0)))
    if size > views.MAX_ANNOUNCEMENT:
        raise Refuse("too_large", f"the poll would have {size} bytes of {views.MAX_ANNOUNCEMENT}", field="options")


def _as_poll(question: Question) -> Poll:
    return Poll(
        question.poll_id, question.question, question.options, question.min_choices, question.max_choices,
        question.rules, opened_at=0, closes_at=0, opens_at=0, remaining_ms=0,
    )  # fmt: skip


def _sorted_within(counters: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    return {key: dict(sorted(inner.items())) for key, inner in sorted(counters.items())}
