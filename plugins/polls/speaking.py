"""The base of the plugin: finding polls and tallies, and saying what happens to those who may know."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import msgspec

from plugins.polls import leaderboard, views
from plugins.polls.kinds import KINDS
from plugins.polls.kinds.base import View
from plugins.polls.kinds.quiz import points
from plugins.polls.leaderboard import Standing
from plugins.polls.sealing import unseal, voter_of
from plugins.polls.settings import PollsSettings
from plugins.polls.state import Poll, Polls
from plugins.polls.tally import Ballot, Tally
from plugins.polls.texts import stop_words, words
from plugins.polls.visibility import is_addressed, is_host, is_public, sees_results
from relay_bot.plugin import Context, Participant, Plugin, Refuse, Role

_ANSWERS_SAID: Final = 30


class Speaking(Plugin[Polls, PollsSettings]):
    """What all parts of the plugin need.

    Beside the state, an instance remembers what it can make again from it: the keys and tallies of open
    anonymous polls, and leaderboards.
    """

    state_version = 4

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        self._tallies: dict[str, Tally] = {}
        self._boards: dict[tuple[str, bool], tuple[list[Standing], dict[str, Standing]]] = {}

    @cached_property
    def view(self) -> View:
        """What bounds the words that are shown."""
        unwanted = frozenset(word for text in self.settings.stop_words for word in words(text))
        return View(self.settings.words_shown, stop_words(self.settings.stop_words_language), unwanted)

    # -- finding ------------------------------------------------------------------------------------

    def find(self, poll_id: str) -> Poll:
        """Find a poll."""
        poll = self.state.polls.get(poll_id)
        if poll is None:
            raise Refuse("poll_not_found", "there is no such poll in this hall", field="poll_id")
        return poll

    def find_running(self, poll_id: str) -> Poll:
        """Find a poll that is open or paused."""
        poll = self.find(poll_id)
        if not poll.is_running:
            state = "not open yet" if poll.is_planned else poll.status
            raise Refuse("poll_closed", f"this poll is {state}", field="poll_id")
        return poll

    # -- anonymous polls ----------------------------------------------------------------------------

    def key(self, poll: Poll, ctx: Context) -> bytes:
        """Give the key of an open anonymous poll."""
        found = self._keys.get(poll.poll_id)
        if found is None:
            found = self._keys[poll.poll_id] = ctx.secret(f"ballots.{poll.poll_id}")
        return found

    def tally(self, poll: Poll) -> Tally | None:
        """Give a poll's tally; `None` for an anonymous one whose key is not at hand: it has ended meanwhile."""
        if not poll.rules.anonymous or poll.closed_at is not None:
            return poll.tally
        found = self._tallies.get(poll.poll_id)
        key = self._keys.get(poll.poll_id)
        if found is None and (key is not None or not poll.sealed):
            found = msgspec.json.decode(msgspec.json.encode(poll.tally), type=Tally)
            for voter, sealed in poll.sealed.items():
                KINDS[poll.rules.kind].add(poll, found, unseal(key or b"", voter, sealed), 1)
            self._tallies[poll.poll_id] = found
        return found

    def opened(self, ctx: Context) -> None:
        """Take up the keys of open anonymous polls, so that `hall_state` can tell their results and own votes."""
        for poll in self.state.running():
            if poll.rules.anonymous:
                self.key(poll, ctx)

    def sure_tally(self, poll: Poll, ctx: Context) -> Tally:
        """Give a poll's tally."""
        if poll.rules.anonymous and poll.closed_at is None:
            self.key(poll, ctx)
        found = self.tally(poll)
        assert found is not None
        return found

    def voted_as(self, poll: Poll, identity: str) -> str:
        """Give the name that someone's vote stands under in a poll that is not anonymous: erased since, a pseudonym."""
        if identity not in poll.ballots:
            for name in self.hall.erased_as(identity):
                if name in poll.ballots:
                    return name
        return identity

    def own_ballot(self, poll: Poll, identity: str) -> Ballot | None:
        """Give someone's own vote."""
        if not poll.rules.anonymous:
            return poll.ballot(self.voted_as(poll, identity))
        key = self._keys.get(poll.poll_id)
        if key is None:
            return None
        voter = voter_of(key, identity)
        sealed = poll.sealed.get(voter)
        return None if sealed is None else unseal(key, voter, sealed)

    def was_dropped(self, poll: Poll, identity: str) -> bool:
        """Tell whether someone's vote was taken out because they had left."""
        if not poll.dropped:
            return False
        if poll.rules.anonymous:
            key = self._keys.get(poll.poll_id)
            return key is not None and voter_of(key, identity) in poll.dropped
        if identity in poll.dropped:
            return True
        return any(name in poll.dropped for name in self.hall.erased_as(identity)) and identity not in poll.ballots

    # -- results ------------------------------------------------------------------------------------

    def results(self, poll: Poll, *, host: bool) -> dict[str, Any] | None:
        """Make the results as they go into an envelope; `None` where the tally can't be read now."""
        tally = self.tally(poll)
        if tally is None:
            return None
        said = views.results(poll, tally, self.hall.seq, self.view)
        if leaderboard.is_counted(poll):
            top = self.board(poll, host=host)[0][: self.settings.leaderboard_top]
            said["leaderboard"] = msgspec.to_builtins(top)
        if host and poll.rules.kind == "text":
            said["answers"] = msgspec.to_builtins(views.answers(poll, tally, _ANSWERS_SAID))
        return views.fitted(said)

    def results_for(self, poll: Poll, participant: Participant) -> dict[str, Any] | None:
        """Make the results that a participant may see now, if any."""
        host = is_host(participant.role)
        voted = self.own_ballot(poll, participant.identity) is not None
        addressed = host or is_addressed(poll, participant.identity)
        if not addressed or not sees_results(poll, host=host, voted=voted):
            return None
        return self.results(poll, host=host)

    def board(self, poll: Poll, *, host: bool) -> tuple[list[Standing], dict[str, Standing]]:
        """Give the leaderboard of a poll's series (or its own), and everybody's place on it."""
        series = poll.rules.series
        name = f"poll {poll.poll_id}" if series is None else f"series {series.series_id}"
        found = self._boards.get((name, host))
        if found is None:
            polls = [poll] if series is None else self.state.series(series.series_id)
            counted = [each for each in polls if leaderboard.is_counted(each) and (host or _seen_alike(each, poll))]
            standings = leaderboard.standings(counted)
            found = standings, {standing.participant_id: standing for standing in standings}
            self._boards[(name, host)] = found
        return found

    def forget_boards(self) -> None:
        """Make leaderboards anew when they are asked for: a quiz was closed, published or discarded."""
        self._boards.clear()

    # -- saying -------------------------------------------------------------------------------------

    def say_poll(self, poll: Poll, ctx: Context) -> None:
        """Tell that a poll was opened or changed; one that is planned is told to hosts alone."""
        said = views.announcement(poll, self.hall.seq)
        if poll.opened_at is None:
            ctx.publish("poll", said, to=Role.HOST)
            return
        ctx.publish("poll", said, to=poll.rules.audience)
        if poll.rules.audience is not None:
            self._tell_other_hosts(poll, "poll", said, ctx)

    def say_results(self, poll: Poll, ctx: Context) -> None:
        """Tell the results so far, throttled, to those who may see them now."""
        rules = poll.rules
        if rules.kind == "text":
            ctx.publish_latest("poll_answers", self._answers_maker(poll), key=poll.poll_id, to=Role.HOST)
        if rules.audience is None and (rules.results == "live" or is_public(poll)):
            ctx.publish_latest("poll_results", self._results_maker(poll), key=poll.poll_id)
        else:
            ctx.publish_latest("poll_results", self._results_maker(poll), key=poll.poll_id, to=self._seers(poll))

    def _results_maker(self, poll: Poll) -> Callable[[], dict[str, Any] | None]:
        # It never holds what is for hosts alone, so it is the same for all who see results.
        return lambda: self.results(poll, host=False)

    def _answers_maker(self, poll: Poll) -> Callable[[], dict[str, Any] | None]:
        def make() -> dict[str, Any] | None:
            tally = self.tally(poll)
            if tally is None:
                return None
            told = msgspec.to_builtins(views.answers(poll, tally, _ANSWERS_SAID))
            return views.fitted({"poll_id": poll.poll_id, "seq": self.hall.seq, "answers": told})

        return make

    def _seers(self, poll: Poll) -> Callable[[], list[str]]:
        """Give a function that lists those who see results now, where that is not everybody."""

        def seers() -> list[str]:
            if not sees_results(poll, host=False, voted=True):
                return self.hall.roster.at_least(Role.HOST)
            return [
                person.identity
                for person in self.hall.roster
                if is_host(person.role) or self._may_see(poll, person.identity)
            ]

        return seers

    def _may_see(self, poll: Poll, identity: str) -> bool:
        if not is_addressed(poll, identity):
            return False
        return is_public(poll) or self.own_ballot(poll, identity) is not None

    def forget_results(self, poll: Poll, ctx: Context) -> None:
        """Take back what was to be told: something final is said in its place."""
        ctx.drop_latest("poll_results", key=poll.poll_id)
        ctx.drop_latest("poll_results", key=poll.poll_id, to=self._seers(poll))
        if poll.rules.kind == "text":
            ctx.drop_latest("poll_answers", key=poll.poll_id, to=Role.HOST)

    def say_closed(self, poll: Poll, ctx: Context) -> None:
        """Tell that a poll is closed, with its results to those who may see them."""
        self.forget_results(poll, ctx)
        audience = poll.rules.audience
        public = is_public(poll)
        said = self.results(poll, host=False) if public else None
        if said is None:
            said = {
                "poll_id": poll.poll_id,
                "seq": self.hall.seq,
                "status": poll.status,
                "closed_at": views.iso_or_none(poll.closed_at),
                "hidden": True,
            }
        ctx.publish("poll_closed", said, to=audience)
        if audience is not None:
            self._tell_other_hosts(poll, "poll_closed", said, ctx)
        if not public or poll.rules.kind == "text":
            self.say_to_hosts(poll, ctx)
        if public:
            self._say_ranks(poll, ctx)

    def say_published(self, poll: Poll, ctx: Context) -> None:
        """Tell the results of a closed poll to all who may see them."""
        said = self.results(poll, host=False)
        if said is None:
            return
        ctx.publish("poll_results", said, to=poll.rules.audience)
        if poll.rules.audience is not None:
            self._tell_other_hosts(poll, "poll_results", said, ctx)
        self._say_ranks(poll, ctx)

    def say_to_hosts(self, poll: Poll, ctx: Context) -> None:
        """Tell hosts the results, with what is for them alone."""
        full = self.results(poll, host=True)
        if full is not None:
            ctx.publish("poll_results", full, to=Role.HOST)

    def _tell_other_hosts(self, poll: Poll, kind: str, said: dict[str, Any], ctx: Context) -> None:
        """Tell a poll that was sent to some to those hosts who are not among them."""
        others = [identity for identity in self.hall.roster.at_least(Role.HOST) if not is_addressed(poll, identity)]
        if others:
            ctx.publish(kind, said, to=others)

    def _say_ranks(self, poll: Poll, ctx: Context) -> None:
        """Tell each who stands on the leaderboard of a quiz their own place."""
        if not leaderboard.is_counted(poll):
            return
        places = self.board(poll, host=False)[1]
        present = [person.identity for person in self.hall.roster if person.identity in places]
        for identity in present[: self.settings.max_rank_messages]:
            ctx.publish("quiz_rank", self.own_rank(poll, identity), to=(identity,))

    def own_rank(self, poll: Poll, identity: str) -> dict[str, Any]:
        """Make the payload of `quiz_rank`: someone's points for a quiz and their place."""
        board, places = self.board(poll, host=False)
        place = places.get(identity)
        choices = poll.ballots.get(identity)
        series = poll.rules.series
        return {
            "poll_id": poll.poll_id,
            "series_id": None if series is None else series.series_id,
            "seq": self.hall.seq,
            "points": None if choices is None else points(poll, choices, poll.took.get(identity, 0)),
            "total_points": None if place is None else place.points,
            "rank": None if place is None else place.rank,
            "of": len(board),
        }


def _seen_alike(poll: Poll, other: Poll) -> bool:
    """Tell whether the results of a poll are public to those who were sent another one."""
    return poll is other or (is_public(poll) and poll.rules.audience == other.rules.audience)
