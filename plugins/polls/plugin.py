"""The decisions about polls."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from plugins.polls.bodies import AllPolls, Choice, ClosePoll, OnePoll, OpenPoll, Vote
from plugins.polls.state import Poll, PollClosed, PollOpened, Polls, Voted
from plugins.polls.views import PollList, PollView, announcement, results, view
from relay_bot.plugin import Arguments, Context, Participant, Plugin, Refuse, Role, command, handle, route, timer


class PollsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`plugins.polls`."""

    max_open: int = 20
    max_polls: int = 500
    max_options: int = 100


class PollsPlugin(Plugin[Polls, PollsSettings]):
    """Polls of one hall."""

    # -- opening ------------------------------------------------------------------------------------

    @handle
    def open(self, body: OpenPoll, ctx: Context) -> dict[str, Any] | None:
        """Open a poll; a host or a backend may."""
        ctx.sender.require(Role.HOST)
        self._check_new(body)
        poll_id = body.poll_id or str(uuid.uuid4())
        closes_at = None if body.duration_seconds is None else ctx.now + round(body.duration_seconds * 1000)
        ctx.record(
            PollOpened(poll_id, body.question, body.options, body.min_choices, body.max_choices, ctx.now, closes_at)
        )
        if closes_at is not None:
            ctx.set_timer(self.time_is_up, poll_id, closes_at)
        ctx.publish("poll", announcement(self.state.polls[poll_id], self.hall.seq), to=ctx.audience)
        return None if body.poll_id else {"poll_id": poll_id}

    def _check_new(self, body: OpenPoll) -> None:
        if len(body.options) > self.settings.max_options:
            raise Refuse(
                "malformed", f"a poll has at most {self.settings.max_options} options", field="payload.options"
            )
        if len(set(body.options)) < len(body.options):
            raise Refuse("malformed", "two options are the same", field="payload.options")
        if not body.min_choices <= body.max_choices <= len(body.options):
            raise Refuse(
                "malformed",
                "expected min_choices ≤ max_choices ≤ the number of options",
                field="payload.max_choices",
            )
        if body.poll_id in self.state.polls:
            raise Refuse("poll_exists", "there is a poll with this id; choose another", field="payload.poll_id")
        if len(self.state.open_polls()) >= self.settings.max_open:
            raise Refuse("busy", f"{self.settings.max_open} polls are open; close one first")
        if len(self.state.polls) >= self.settings.max_polls:
            raise Refuse("busy", f"this hall has had {self.settings.max_polls} polls, which is the limit")

    # -- voting -------------------------------------------------------------------------------------

    @handle
    def vote(self, body: Vote, ctx: Context) -> None:
        """Take a participant's vote, once; another one of theirs takes its place."""
        poll = self._open_poll(body.poll_id)
        identity = ctx.sender.identity
        if not identity:
            raise Refuse("forbidden", "a vote needs a participant: name one in sender_id")
        choices = _choices(poll, body)
        inferred = ctx.sender.inferred
        before = poll.ballots.get(identity)
        if inferred and before is not None and identity not in poll.inferred:
            raise Refuse("already_voted", "your vote was counted already; send again to change it")
        if before != choices or inferred != (identity in poll.inferred):
            ctx.record(Voted(poll.poll_id, identity, choices, inferred))
        self._publish_results(poll, ctx)

    def _publish_results(self, poll: Poll, ctx: Context) -> None:
        ctx.publish_latest("poll_results", lambda: results(poll, self.hall.seq), key=poll.poll_id)

    # -- closing ------------------------------------------------------------------------------------

    @handle
    def close(self, body: ClosePoll, ctx: Context) -> None:
        """Close a poll before its time; a host or a backend may."""
        ctx.sender.require(Role.HOST)
        self._close(self._open_poll(body.poll_id), "closed", ctx)

    @timer
    def time_is_up(self, key: str, ctx: Context) -> None:
        """Close a poll whose time is over."""
        poll = self.state.polls.get(key)
        if poll is not None and poll.closed_at is None:
            self._close(poll, "time", ctx)

    @command("close", "[POLL_ID]", role=Role.HOST)
    def close_command(self, arguments: Arguments, ctx: Context) -> str:
        """Close a poll: the one named, or the last one opened."""
        poll_id = arguments.rest()
        found = self.state.open_polls()
        poll = self._open_poll(poll_id) if poll_id else found[-1] if found else None
        if poll is None:
            raise Refuse("poll_not_found", "no poll is open")
        self._close(poll, "closed", ctx)
        return f"closed: {poll.question}"

    def ended(self, ctx: Context) -> None:
        """Close what is open when the hall ends."""
        for poll in self.state.open_polls():
            self._close(poll, "hall_ended", ctx)

    def _close(self, poll: Poll, reason: str, ctx: Context) -> None:
        ctx.record(PollClosed(poll.poll_id, ctx.now, reason))
        ctx.clear_timer(self.time_is_up, poll.poll_id)
        ctx.drop_latest("poll_results", key=poll.poll_id)
        ctx.publish("poll_closed", results(poll, self.hall.seq))

    # -- reading ------------------------------------------------------------------------------------

    @route("GET", "/polls")
    def list_polls(self, request: AllPolls, ctx: Context) -> PollList:
        """List the polls of this hall session."""
        return PollList([view(poll, self.hall.seq) for poll in self.state.polls.values()])

    @route("GET", "/polls/{poll_id}")
    def get_poll(self, request: OnePoll, ctx: Context) -> PollView:
        """Show one poll with its results so far."""
        return view(self._poll(request.poll_id), self.hall.seq)

    @route("POST", "/polls/{poll_id}/close")
    def close_poll(self, request: OnePoll, ctx: Context) -> PollView:
        """Close a poll before its time."""
        poll = self._open_poll(request.poll_id)
        self._close(poll, "closed", ctx)
        return view(poll, self.hall.seq)

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        """Tell the open polls, each with the participant's own vote."""
        return {
            "polls": [
                announcement(poll, self.hall.seq)
                | {"results": results(poll, self.hall.seq), "my_vote": _own(poll, participant.identity)}
                for poll in self.state.open_polls()
            ]
        }

    def _poll(self, poll_id: str) -> Poll:
        poll = self.state.polls.get(poll_id)
        if poll is None:
            raise Refuse("poll_not_found", "there is no such poll in this hall", field="payload.poll_id")
        return poll

    def _open_poll(self, poll_id: str) -> Poll:
        poll = self._poll(poll_id)
        if poll.closed_at is not None:
            raise Refuse("poll_closed", "this poll is closed", field="payload.poll_id")
        return poll


def _own(poll: Poll, identity: str) -> list[int] | None:
    ballot = poll.ballots.get(identity)
    return None if ballot is None else list(ballot)


def _choices(poll: Poll, body: Vote) -> tuple[int, ...]:
    """Read a vote's options as indices; raises `Refuse("invalid_choice")`."""
    if (body.option is None) == (body.options is None):
        raise Refuse("invalid_choice", "expected either option or options", field="payload.option")
    field = "payload.option" if body.options is None else "payload.options"
    named: list[Choice] = body.options if body.options is not None else [body.option]  # type: ignore[list-item]
    choices = tuple(sorted({_index(poll, choice, field) for choice in named}))
    if not poll.min_choices <= len(choices) <= poll.max_choices or len(choices) < len(named):
        wanted = (
            str(poll.min_choices)
            if poll.min_choices == poll.max_choices
            else f"{poll.min_choices} to {poll.max_choices}"
        )
        raise Refuse("invalid_choice", f"choose {wanted} different options", field=field)
    return choices


def _index(poll: Poll, choice: Choice, field: str) -> int:
    if isinstance(choice, str):
        if choice not in poll.options:
            raise Refuse("invalid_choice", "the poll has no option with this text", field=field)
        return poll.options.index(choice)
    if not 0 <= choice < len(poll.options):
        raise Refuse("invalid_choice", f"options are numbered 0 to {len(poll.options) - 1}", field=field)
    return choice
