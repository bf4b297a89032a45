"""The decisions about who may speak and who may stay."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Annotated, Any, Final

import msgspec

from plugins.moderation.blocking import BlockedWords
from plugins.moderation.bodies import (
    MAX_REASON,
    MAX_SECONDS,
    Action,
    Decide,
    ListSanctions,
    Moderate,
    cleaned,
)
from plugins.moderation.events import (
    Kicked,
    Lifted,
    PermissionReturned,
    PermissionTaken,
    RankKnown,
    Sanctioned,
    SanctionKind,
)
from plugins.moderation.state import Sanction, Sanctions
from plugins.moderation.views import Decided, SanctionList, decided, listed, own
from relay_bot.plugin import (
    Arguments,
    Content,
    Context,
    Effect,
    Identity,
    Participant,
    Plugin,
    Refuse,
    RemoveParticipant,
    Role,
    Sender,
    SetPermissions,
    Verdict,
    command,
    handle,
    iso,
    parse_iso,
    route,
    timer,
)

_TOKEN_MS: Final = 6 * 3_600_000
"""How long a token lives unless it says otherwise (LiveKit's default); one that is refreshed lives as long."""


class ModerationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`plugins.moderation`."""

    max_sanctions: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_000
    """Mutes in force in one hall, and as many bans."""
    blocked_words: list[str] = []
    """Words and phrases: no text with one of them is kept or sent on."""
    hold_words: list[str] = []
    """Words and phrases: a text with one of them, unless a moderator's or a host's, waits for a moderator."""


class ModerationPlugin(Plugin[Sanctions, ModerationSettings]):
    """The moderation of one hall."""

    effect_keys = ("data {identity}", "remove {identity}")

    # -- who asks -----------------------------------------------------------------------------------

    @handle(forward=False)
    def moderate(self, body: Moderate, ctx: Context) -> None:
        """Sanction a participant, or lift a sanction; a moderator, a host or a backend may."""
        ctx.sender.require(Role.MODERATOR)
        until = _end(ctx.now, body.duration_seconds, body.until)
        self._carry_out(body.action, body.participant_id, body.reason or "", until, ctx)

    @route("POST", "/moderation")
    def decide(self, request: Decide, ctx: Context) -> Decided:
        """Sanction a participant, or lift a sanction."""
        until = _end(ctx.now, request.duration_seconds)
        return self._carry_out(request.action, request.participant_id, request.reason or "", until, ctx)

    @route("GET", "/moderation")
    def list_sanctions(self, request: ListSanctions, ctx: Context) -> SanctionList:
        """List the sanctions in force."""
        return SanctionList(listed(self.state))

    @command("mute", "NAME [10m] [REASON]", role=Role.MODERATOR)
    def mute_command(self, arguments: Arguments, ctx: Context) -> str:
        """Take someone's right to send messages."""
        identity = arguments.person(self.hall.roster.names())
        return self._command_with_end("mute", identity, arguments, ctx)

    @command("ban", "NAME [2h] [REASON]", role=Role.MODERATOR)
    def ban_command(self, arguments: Arguments, ctx: Context) -> str:
        """Remove someone and keep them out; whoever is not here is named by identity."""
        identity = arguments.person(self.hall.roster.names(), absent=True)
        return self._command_with_end("ban", identity, arguments, ctx)

    @command("kick", "NAME [REASON]", role=Role.MODERATOR)
    def kick_command(self, arguments: Arguments, ctx: Context) -> str:
        """Remove someone; they may come again."""
        identity = arguments.person(self.hall.roster.names())
        shown = self._name(identity)
        self._carry_out("kick", identity, arguments.rest_unquoted(), None, ctx)
        return f"kicked {shown}"

    @command("unmute", "NAME", role=Role.MODERATOR)
    def unmute_command(self, arguments: Arguments, ctx: Context) -> str:
        """Lift a mute, of someone who is here or not."""
        return self._lift_command("unmute", self.state.mutes, arguments, ctx)

    @command("unban", "NAME", role=Role.MODERATOR)
    def unban_command(self, arguments: Arguments, ctx: Context) -> str:
        """Lift a ban, of someone who is here or not."""
        return self._lift_command("unban", self.state.bans, arguments, ctx)

    def _command_with_end(self, action: SanctionKind, identity: str, arguments: Arguments, ctx: Context) -> str:
        seconds = arguments.duration(most=MAX_SECONDS)
        until = _end(ctx.now, seconds)
        self._carry_out(action, identity, arguments.rest_unquoted(), until, ctx)
        done = "muted" if action == "mute" else "banned"
        absent = "" if self.hall.roster.get(identity) else ", who is not here now"
        end = f" until {iso(until)}" if until is not None else ""
        return f"{done} {self._name(identity)}{absent}{end}"

    def _lift_command(self, action: Action, in_force: dict[str, Sanction], arguments: Arguments, ctx: Context) -> str:
        done = "muted" if action == "unmute" else "banned"
        known = [(identity, found.display_name) for identity, found in in_force.items()]
        everybody = self.hall.roster.names()
        known += [(identity, name) for identity, name in everybody if self._known_as(identity, in_force) in in_force]
        identity = arguments.person(known, whole=True, where=f"{done} here", otherwise=everybody)
        shown = self._name(identity)
        self._carry_out(action, identity, "", None, ctx)
        return f"un{done} {shown}"

    def _name(self, identity: str) -> str:
        person = self.hall.roster.get(identity)
        return person.display_name if person else identity

    # -- deciding -----------------------------------------------------------------------------------

    def _carry_out(self, action: Action, identity: str, reason: str, until: int | None, ctx: Context) -> Decided:
        reason = cleaned(reason)
        if len(reason) > MAX_REASON:
            raise Refuse("malformed", f"a reason has at most {MAX_REASON} characters", field="payload.reason")
        if until is not None and action not in ("mute", "ban"):
            raise Refuse("malformed", "only a mute or a ban has an end", field="payload.until")
        self._check_target(identity, ctx.sender)
        match action:
            case "mute" | "ban":
                self._sanction(action, identity, reason, until, ctx)
            case "unmute":
                self._lift("mute", identity, ctx)
            case "unban":
                self._lift("ban", identity, ctx)
            case "kick":
                self._kick(identity, reason, ctx)
        said = decided(action, identity, reason, until)
        self._tell(said, ctx)
        return said

    def _check_target(self, identity: str, sender: Sender) -> None:
        if identity == sender.identity:
            raise Refuse("forbidden", "nobody moderates themselves")
        self.hall.roster.may_act_on(sender, identity)

    def _check_earlier(self, earlier: Sanction | None, sender: Sender) -> None:
        """Refuse a moderator who would change what a host or a backend has decided."""
        if earlier is not None and sender.role < min(earlier.by_role, Role.HOST):
            raise Refuse("forbidden", f"a {earlier.by_role.label} decided this; ask a host to change it")

    def _sanction(self, sanction: SanctionKind, identity: str, reason: str, until: int | None, ctx: Context) -> None:
        in_force, sender = self.state.in_force(sanction), ctx.sender
        self._check_earlier(in_force.get(self._known_as(identity, in_force)), sender)
        person = self.hall.roster.get(identity)
        backend = sender.is_backend
        if sanction == "mute" and person is None and not backend:
            raise Refuse("not_found", "this participant is not here", field="payload.participant_id")
        known_as = self._known_as(identity, in_force)
        if known_as not in in_force and len(in_force) >= self.settings.max_sanctions:
            raise Refuse("busy", f"{len(in_force)} {sanction}s are in force, which is the limit; lift one first")
        if known_as != identity:
            self._lifted(sanction, known_as, ctx)
        ctx.record(
            Sanctioned(
                sanction,
                identity,
                person.display_name if person else "",
                reason,
                ctx.now,
                until,
                sender.identity,
                sender.role,
                person is not None or backend,
            )
        )
        self._set_end(sanction, identity, until, ctx)
        if person is not None:
            self._enforce(person, ctx)

    def _set_end(self, sanction: SanctionKind, identity: str, until: int | None, ctx: Context) -> None:
        over = self.mute_over if sanction == "mute" else self.ban_over
        if until is None:
            ctx.clear_timer(over, identity)
        else:
            ctx.set_timer(over, identity, until)

    def _lift(self, sanction: SanctionKind, identity: str, ctx: Context) -> None:
        in_force = self.state.in_force(sanction)
        known_as = self._known_as(identity, in_force)
        earlier = in_force.get(known_as)
        if earlier is None:
            done = "muted" if sanction == "mute" else "banned"
            raise Refuse("not_found", f"{identity} is not {done}", field="payload.participant_id")
        self._check_earlier(earlier, ctx.sender)
        self._lifted(sanction, known_as, ctx)
        identity = self._who_is(identity)
        if sanction == "mute" and self._known_as(identity, self.state.taken) in self.state.taken:
            ctx.owe(SetPermissions(identity, can_publish_data=True), key=f"data {identity}")

    def _lifted(self, sanction: SanctionKind, known_as: str, ctx: Context) -> None:
        ctx.record(Lifted(sanction, known_as, ctx.sender.identity))
        ctx.clear_timer(self.mute_over if sanction == "mute" else self.ban_over, known_as)

    def _known_as(self, identity: str, kept: Collection[str]) -> str:
        """Give the name that something is kept under: a pseudonym where its owner was erased since, and came again.

        Or a sanction would be lifted by an erasure.
        """
        if identity in kept:
            return identity
        return next((name for name in self.hall.erased_as(identity) if name in kept), identity)

    def _who_is(self, known_as: str) -> str:
        """Give the identity of the one here who was erased under this name; the name itself for all others."""
        if self.hall.roster.get(known_as) is not None:
            return known_as
        everybody = (person.identity for person in self.hall.roster)
        return next((each for each in everybody if known_as in self.hall.erased_as(each)), known_as)

    def _kick(self, identity: str, reason: str, ctx: Context) -> None:
        person = self.hall.roster.get(identity)
        if person is None:
            raise Refuse("not_found", "this participant is not here", field="payload.participant_id")
        ctx.record(Kicked(identity, reason, ctx.now, ctx.sender.identity))
        ctx.owe(RemoveParticipant(identity, person.sid), key=f"remove {identity}")

    def _tell(self, said: Decided, ctx: Context) -> None:
        """Tell the one concerned, if they are here, and those who moderate."""
        concerned = [said.participant_id] if self.hall.roster.get(said.participant_id) else []
        to = dict.fromkeys([*concerned, *self.hall.roster.at_least(Role.MODERATOR)])
        ctx.publish("moderation", said, to=to)

    def _in_force(self, sanction: SanctionKind, identity: str) -> Sanction | None:
        kept = self.state.in_force(sanction)
        return kept.get(self._known_as(identity, kept)) if kept else None

    # -- time -----------------------------------------------------------------------------------------

    @timer
    def mute_over(self, key: Identity, ctx: Context) -> None:
        """End a mute whose time is over."""
        self._over("mute", "unmute", key, ctx)

    @timer
    def ban_over(self, key: Identity, ctx: Context) -> None:
        """End a ban whose time is over."""
        self._over("ban", "unban", key, ctx)

    def _over(self, sanction: SanctionKind, action: Action, identity: str, ctx: Context) -> None:
        found = self.state.in_force(sanction).get(identity)
        if found is not None and found.until is not None and found.until <= ctx.now:
            self._lift(sanction, identity, ctx)
            self._tell(decided(action, self._who_is(identity), "", None), ctx)

    def inherit(self, earlier: Sanctions, ctx: Context) -> None:
        """Take over what has an end that is still to come; the others were for their hall session."""
        kinds: tuple[SanctionKind, ...] = ("mute", "ban")
        for sanction in kinds:
            lasting = [found for found in earlier.in_force(sanction).values() if (found.until or 0) > ctx.now]
            for found in lasting[: self.settings.max_sanctions]:
                ctx.record(Sanctioned(sanction, **msgspec.structs.asdict(found)))
                self._set_end(sanction, found.identity, found.until, ctx)
        for identity in earlier.taken:
            ctx.record(PermissionTaken(identity))
        for identity, at in earlier.returned.items():
            if ctx.now - at < _TOKEN_MS:
                ctx.record(PermissionReturned(identity, at))

    # -- enforcing ------------------------------------------------------------------------------------

    def joined(self, participant: Participant, ctx: Context) -> None:
        """Enforce what is in force: a new connection has all that its token allows."""
        ban = self._in_force("ban", participant.identity)
        if ban is not None and not ban.rank_known:
            if participant.role >= ban.by_role:
                self._lift("ban", participant.identity, ctx)
                text = f"the ban of {participant.display_name} is void: they are a {participant.role.label}"
                ctx.publish("notice", {"text": text}, to=Role.MODERATOR)
            else:
                ctx.record(RankKnown(ban.identity))
        self._enforce(participant, ctx)
        self._give_back(participant, ctx)

    def changed(self, before: Participant, after: Participant, ctx: Context) -> None:
        """Enforce again what a new connection, or one who gave a permission back from outside, has undone."""
        if after.sid != before.sid or (after.can_publish_data and not before.can_publish_data):
            self._enforce(after, ctx)
            self._give_back(after, ctx)

    def _give_back(self, person: Participant, ctx: Context) -> None:
        """Give somebody who is not muted any more what we took: LiveKit's refreshed tokens have it as it was then.

        Also a moment after it was given back: their connection may have been broken just then.
        """
        identity = person.identity
        if self._in_force("mute", identity) or self._in_force("ban", identity):
            return
        taken_as = self._known_as(identity, self.state.taken)
        is_taken = taken_as in self.state.taken
        if is_taken and person.can_publish_data:
            ctx.record(PermissionReturned(taken_as, ctx.now))
        elif is_taken or (not person.can_publish_data and self._had_it_back(identity, ctx.now)):
            ctx.owe(SetPermissions(identity, can_publish_data=True), key=f"data {identity}")

    def _had_it_back(self, identity: str, now: int) -> bool:
        at = self.state.returned.get(self._known_as(identity, self.state.returned))
        return at is not None and now - at < _TOKEN_MS

    def _enforce(self, person: Participant, ctx: Context) -> None:
        identity = person.identity
        is_taken = self._known_as(identity, self.state.taken) in self.state.taken
        if self._in_force("ban", identity):
            ctx.owe(RemoveParticipant(identity, person.sid), key=f"remove {identity}")
        elif self._in_force("mute", identity) and (person.can_publish_data or is_taken):
            # Taken and not given back yet: that may be owed still, so this must take its place.
            if not is_taken:
                ctx.record(PermissionTaken(identity))
            ctx.owe(SetPermissions(identity, can_publish_data=False), key=f"data {identity}")

    def effect_settled(self, effect: Effect, error: str | None, ctx: Context) -> None:
        """Note what was given back; tell moderators what could not be done."""
        if error is not None and error != "not_found":
            ctx.publish("notice", {"text": f"moderation: LiveKit refused a change: {error}"}, to=Role.MODERATOR)
        elif isinstance(effect, SetPermissions) and effect.can_publish_data:
            taken_as = self._known_as(effect.identity, self.state.taken)
            if error is None and taken_as in self.state.taken and not self._in_force("mute", effect.identity):
                ctx.record(PermissionReturned(taken_as, ctx.now))

    def refuses(self, sender: Sender, kind: str) -> Refuse | None:
        """Refuse what comes before the SFU has taken the permission, or the participant, away."""
        if not (self.state.bans or self.state.mutes):
            return None
        ban = self._in_force("ban", sender.identity)
        if ban is not None and (ban.rank_known or sender.role < ban.by_role):
            return Refuse("blocked", _told("you are banned from this hall", ban))
        mute = self._in_force("mute", sender.identity)
        if mute is not None and kind != "sync":
            return Refuse("muted", _told("you are muted", mute))
        return None

    def judge(self, content: Content, ctx: Context) -> Verdict:
        """Refuse a text with a blocked word, whoever wrote it; have one held that a moderator is to see first."""
        if self._blocked.are_in(content.text):
            return Verdict.refuse("blocked", "there is a word in it that is not allowed here")
        if ctx.sender.role < Role.MODERATOR and self._to_hold.are_in(content.text):
            return Verdict.hold("there is a word in it that a moderator is to see first")
        return Verdict.allow()

    @cached_property
    def _to_hold(self) -> BlockedWords:
        return BlockedWords(self.settings.hold_words)

    @cached_property
    def _blocked(self) -> BlockedWords:
        return BlockedWords(self.settings.blocked_words)

    def refuses_join(self, identity: str) -> Refuse | None:
        """Refuse a join token to those who are banned. A ban whose rank is not known yet is judged at the join."""
        ban = self._in_force("ban", identity)
        if ban is None or not ban.rank_known:
            return None
        return Refuse("blocked", _told("this participant is banned from the hall", ban))

    # -- telling --------------------------------------------------------------------------------------

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        """Tell a muted participant that they are: the SFU drops what they send without a word."""
        mute = self._in_force("mute", participant.identity)
        return {} if mute is None else {"muted": own(mute)}

    def summary(self) -> dict[str, Any]:
        """Count the sanctions in force."""
        return {"moderation": {"muted": len(self.state.mutes), "banned": len(self.state.bans)}}


def _end(now: int, seconds: float | None, until: str | None = None) -> int | None:
    """Give the time (ms) at which a sanction ends; raises `Refuse("malformed")`."""
    if seconds is not None and until is not None:
        raise Refuse("malformed", "expected until or duration_seconds, not both", field="payload.until")
    if until is not None:
        try:
            end = parse_iso(until)
        except (ValueError, OverflowError) as error:
            raise Refuse("malformed", str(error), field="payload.until") from None
    elif seconds is not None:
        end = now + round(seconds * 1000)
    else:
        return None
    if not now < end <= now + MAX_SECONDS * 1000:
        field = "payload.duration_seconds" if until is None else "payload.until"
        raise Refuse("malformed", f"expected an end within the next {MAX_SECONDS // 86_400} days", field=field)
    return end


def _told(text: str, sanction: Sanction) -> str:
    until = "" if sanction.until is None else f" until {iso(sanction.until)}"
    reason = f": {sanction.reason}" if sanction.reason else ""
    return f"{text}{until}{reason}"
