"""Counts one vote for everybody: what the smallest plugin does that records, answers and tells all."""

from __future__ import annotations

from typing import Any

from relay_bot.plugin import Body, Context, Event, Participant, Plugin, Refuse, Request, State, handle, route


class Vote(Body, type="vote"):
    option: str = "yes"


class WhoAmI(Body, type="who_am_i"):
    pass


class Voted(Event, frozen=True):
    identity: str
    option: str
    inferred: bool


class Ended(Event, frozen=True):
    pass


class TallyState(State):
    votes: dict[str, str] = {}
    inferred: set[str] = set()
    recorded: int = 0
    ended: bool = False

    def on_voted(self, event: Voted) -> None:
        self.recorded += 1
        self.votes[event.identity] = event.option
        if event.inferred:
            self.inferred.add(event.identity)
        else:
            self.inferred.discard(event.identity)

    def on_ended(self, event: Ended) -> None:
        self.ended = True


class AllVotes(Request, frozen=True):
    pass


class TallyPlugin(Plugin[TallyState]):
    @handle
    def vote(self, body: Vote, ctx: Context) -> None:
        sender = ctx.sender
        if sender.inferred and sender.identity in self.state.votes.keys() - self.state.inferred:
            raise Refuse("already_voted", "counted already")
        ctx.record(Voted(sender.identity, body.option, sender.inferred))
        ctx.publish_latest("tally", lambda: {"voters": len(self.state.votes), "seq": self.hall.seq})

    @handle
    def who_am_i(self, body: WhoAmI, ctx: Context) -> dict[str, Any]:
        sender = ctx.sender
        return {"identity": sender.identity, "role": sender.role.label, "inferred": sender.inferred}

    @route("GET", "/votes")
    def all_votes(self, request: AllVotes, ctx: Context) -> dict[str, Any]:
        state = self.state
        return {"votes": state.votes, "inferred": sorted(state.inferred), "recorded": state.recorded}

    def ended(self, ctx: Context) -> None:
        ctx.record(Ended())
        ctx.publish("tally_ended", {"voters": len(self.state.votes)})

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        return {"voters": len(self.state.votes), "my_vote": self.state.votes.get(participant.identity)}
