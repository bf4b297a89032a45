"""The polls plugin: its parts put together, and what late joiners are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from plugins.polls import leaderboard, views
from plugins.polls.bodies import GetPoll
from plugins.polls.commands import Commands
from plugins.polls.envelopes import Envelopes
from plugins.polls.events import PollClosed
from plugins.polls.kinds import KINDS
from plugins.polls.routes import Routes
from plugins.polls.state import Poll
from plugins.polls.visibility import is_addressed, is_host, is_public
from relay_bot.plugin import Context, Event, Participant, Refuse, Role, handle


class PollsPlugin(Envelopes, Commands, Routes):
    """Polls of one hall."""

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        """Tell the polls that run, each with the participant's own vote; to hosts also those that are planned."""
        host = is_host(participant.role)
        addressed = [poll for poll in self.state.running() if host or is_addressed(poll, participant.identity)]
        told: dict[str, Any] = {"polls": [self._told_to(poll, participant) for poll in addressed]}
        if host:
            planned = self.state.planned()
            if planned:
                told["planned_polls"] = [views.announcement(poll, self.hall.seq) for poll in planned]
        quiz = self._last_quiz(participant)
        if quiz is not None:
            told["quiz"] = self.own_rank(quiz, participant.identity)
        return told

    def greet(self, people: Sequence[Participant], ctx: Context) -> None:
        """Say the polls that run to those who have come: a client may know `poll` and not `hall_state`."""
        for poll in self.state.running():
            to = [each.identity for each in people if is_host(each.role) or is_addressed(poll, each.identity)]
            if to:
                ctx.publish("poll", views.announcement(poll, self.hall.seq), to=to)
            for each in people:
                if self.was_dropped(poll, each.identity):
                    said = {"poll_id": poll.poll_id, "seq": self.hall.seq, "reason": "left"}
                    ctx.publish("poll_vote_dropped", said, to=(each.identity,))

    def say_again(self, event: Event, ctx: Context) -> None:
        """Say that a poll is closed, where that may not have been said before a restart."""
        if isinstance(event, PollClosed):
            poll = self.state.polls.get(event.poll_id)
            if poll is not None and poll.closed_at == event.closed_at and event.reason != "discarded":
                self.say_closed(poll, ctx)

    @handle(forward=False, reads=True)
    def get_one(self, body: GetPoll, ctx: Context) -> dict[str, Any]:
        """Tell a participant of one poll what `hall_state` tells of those that run."""
        sender = ctx.sender
        if sender.role is Role.BACKEND:
            raise Refuse("forbidden", "a backend reads polls by GET …/polls/{poll_id}")
        poll = self.find(body.poll_id)
        hidden = poll.is_planned or poll.archived_at is not None or not is_addressed(poll, sender.identity)
        if hidden and not is_host(sender.role):
            raise Refuse("poll_not_found", "there is no such poll in this hall", field="poll_id")
        person = self.hall.roster.get(sender.identity) or Participant(sender.identity, sender.name, sender.role)
        return views.fitted(self._told_to(poll, person))

    def _told_to(self, poll: Poll, participant: Participant) -> dict[str, Any]:
        said = views.announcement(poll, self.hall.seq)
        ballot = self.own_ballot(poll, participant.identity)
        said["my_vote"] = None if ballot is None else KINDS[poll.rules.kind].own(poll, ballot)
        if self.was_dropped(poll, participant.identity):
            said["vote_dropped"] = True
        if poll.rules.eligible is not None:
            said["may_vote"] = poll.rules.eligible.has(participant.identity, participant.role.label)
        # `results` is the mode in `poll`; here, as ever, the results themselves, for those who may see them.
        mode = said.pop("results")
        said["visibility"] = mode
        if poll.suggested and is_host(participant.role):
            said["suggested"] = msgspec.to_builtins(views.suggestions(poll))
        results = self.results_for(poll, participant)
        if results is not None:
            said["results"] = results
        return said

    def _last_quiz(self, participant: Participant) -> Poll | None:
        """Find the quiz on whose leaderboard someone stands who took part in it."""
        for poll in reversed(self.state.polls.values()):
            if participant.identity in poll.took and poll.archived_at is None:
                return poll if leaderboard.is_counted(poll) and is_public(poll) else None
        return None

    def wants_command(self, name: str) -> bool:
        """Leave `/next` to others while no series has a poll left to open."""
        return name != "next" or any(poll.rules.series for poll in self.state.planned())

    def summary(self) -> dict[str, Any]:
        """Tell how many polls there are."""
        return {"polls": len(self.state.polls), "open_polls": len(self.state.running())}
