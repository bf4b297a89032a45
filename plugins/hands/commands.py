"""Hands and the stage by chat commands, for hosts and moderators. Names are identities or display names."""

from __future__ import annotations

from typing import Final

from plugins.hands.invites import InvitesPart
from plugins.hands.views import hands_view, stage_view
from relay_bot.plugin import Arguments, Context, Refuse, Role, command

_LISTED: Final = 30


class CommandsPart(InvitesPart):
    """Answers commands."""

    @command("hands", "[open|close]", role=Role.MODERATOR)
    def hands_command(self, arguments: Arguments, ctx: Context) -> str:
        """List the raised hands, or open or close the queue."""
        match arguments.choice():
            case "":
                return self._list_hands()
            case "open":
                self._switch(True, ctx)
                return "hands can be raised"
            case "close":
                self._switch(False, ctx)
                return "no more hands can be raised"
            case _:
                raise Refuse("malformed", "expected open, close or nothing more; usage: /hands [open|close]")

    def _list_hands(self) -> str:
        view = hands_view(self.state, self.hall.seq)
        if not view.queue:
            return "no hand is up" + ("" if view.open else " (the queue is closed)")
        return _listed(
            [
                f"{hand.position}. {_named(hand.participant_id, hand.display_name)}"
                + (f" ({hand.topic})" if hand.topic else "")
                + (" (away)" if hand.away else "")
                for hand in view.queue
            ]
        )

    @command("next", role=Role.MODERATOR)
    def next_command(self, arguments: Arguments, ctx: Context) -> str:
        """Invite the first in the queue onto the stage."""
        identity = self._next(ctx)
        return f"invited: {_named(identity, self._name_of(identity))}"

    @command("invite", "NAME", role=Role.MODERATOR)
    def invite_command(self, arguments: Arguments, ctx: Context) -> str:
        """Invite someone onto the stage."""
        identity = arguments.person(self.hall.roster.names(), whole=True)
        self._invite(identity, None, ctx)
        return f"invited: {_named(identity, self._name_of(identity))}"

    @command("lower", "NAME|all", role=Role.MODERATOR)
    def lower_command(self, arguments: Arguments, ctx: Context) -> str:
        """Lower a hand, or all."""
        if arguments.takes("all"):
            count = self._lower_all(ctx)
            return f"lowered {count} hand{'' if count == 1 else 's'}"
        identity = self._person(arguments, [(each, hand.name) for each, hand in self.state.hands.items()])
        self._lower_for(identity, ctx, other=True)
        return f"lowered: {_named(identity, self._name_of(identity))}"

    @command("stage", role=Role.MODERATOR, reads=True)
    def stage_command(self, arguments: Arguments, ctx: Context) -> str:
        """List who is on the stage and who is invited."""
        view = stage_view(self.state, self.hall.seq, self.settings.stage_limit)
        lines = [f"on the stage: {_named(each.participant_id, each.display_name)}" for each in view.on_stage]
        lines += [f"{each.status}: {_named(each.participant_id, each.display_name)}" for each in view.pending]
        lines += [f"invited: {_named(each.participant_id, each.display_name)}" for each in view.invited]
        return _listed(lines) if lines else f"the stage is empty ({view.limit} places)"

    @command("demote", "NAME", role=Role.MODERATOR)
    def demote_command(self, arguments: Arguments, ctx: Context) -> str:
        """Take someone off the stage, or take their invitation back."""
        guests = [(identity, guest.name) for identity, guest in self.state.stage.items()]
        invited = [(identity, each.name) for identity, each in self.state.invited.items()]
        identity = self._person(arguments, guests + invited)
        self._take_off(identity, "demoted", ctx)
        return f"off the stage: {_named(identity, self._name_of(identity))}"

    def _person(self, arguments: Arguments, known: list[tuple[str, str]]) -> str:
        """Take a name of those here, or of those `known` (identity, name), who may have dropped."""
        return arguments.person([*self.hall.roster.names(), *known], whole=True)


def _named(identity: str, name: str) -> str:
    return name if name == identity else f"{name} ({identity})"


def _listed(lines: list[str]) -> str:
    more = len(lines) - _LISTED
    return "\n".join(lines[:_LISTED] + ([f"… and {more} more"] if more > 0 else []))
