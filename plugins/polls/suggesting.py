"""Options of the voters: suggested by them, taken at once or by a host."""

from __future__ import annotations

import msgspec

from plugins.polls import views
from plugins.polls.bodies import SuggestOption
from plugins.polls.define import malformed
from plugins.polls.events import OptionAdded, OptionRefused, OptionSuggested
from plugins.polls.leaving import Leaving
from plugins.polls.life import Life
from plugins.polls.sealing import voter_of
from plugins.polls.state import Poll
from plugins.polls.texts import clean, fold_text
from plugins.polls.voting import in_payload
from plugins.polls.wording import counted
from relay_bot.plugin import Context, Refuse, Role, handle


class Suggesting(Leaving, Life):
    """Polls whose `user_options` are `approval` or `free`."""

    @handle(forward=False)
    def suggest(self, body: SuggestOption, ctx: Context) -> None:
        """Suggest an option; whoever may vote may."""
        if ctx.sender.inferred:
            raise Refuse("sender_unknown", "the sender can't be told yet; send again with the same id")
        try:
            poll = self._votable(body.poll_id, ctx)
            text = self._new_option(poll, body.text, ctx)
        except Refuse as refusal:
            raise in_payload(refusal) from None
        by = ctx.sender.identity
        names = (voter_of(self.key(poll, ctx), by),) if poll.rules.anonymous else (by, *self.hall.erased_as(by))
        most = self.settings.options_per_participant
        if sum(poll.suggestions.get(name, 0) for name in names) >= most:
            raise Refuse("forbidden", f"you have suggested {counted(most, 'option')} already, which is the limit")
        ctx.record(OptionSuggested(poll.poll_id, text, names[0]))
        if poll.rules.user_options == "free":
            self._add(poll, text, ctx)
        else:
            self._say_suggested(poll, ctx)

    def _new_option(self, poll: Poll, text: str, ctx: Context) -> str:
        if poll.rules.user_options == "no":
            raise Refuse("forbidden", "this poll takes no options of the voters")
        cleaned = clean(text)
        if not cleaned:
            raise malformed("text", "the text has no visible characters")
        known = [*poll.options, *poll.suggested]
        if fold_text(cleaned) in map(fold_text, known):
            raise malformed("text", "there is such an option already")
        size = len(msgspec.json.encode([views.announcement(poll, 0), list(poll.suggested), cleaned]))
        if len(known) >= self.settings.max_options or size > views.MAX_ANNOUNCEMENT:
            raise Refuse("too_large", "this poll has as many options as it can have", field="text")
        return cleaned

    def decide(self, poll: Poll, text: str, *, approved: bool, ctx: Context) -> None:
        """Take or refuse a suggested option."""
        wanted = fold_text(text)
        text = next((each for each in poll.suggested if fold_text(each) == wanted), "")
        if not text:
            raise Refuse("not_found", "no such option waits for approval", field="text")
        if approved:
            self._add(poll, text, ctx)
        else:
            ctx.record(OptionRefused(poll.poll_id, text))
        self._say_suggested(poll, ctx)

    def _add(self, poll: Poll, text: str, ctx: Context) -> None:
        ctx.record(OptionAdded(poll.poll_id, text))
        if poll.poll_id in self._tallies:
            self._tallies[poll.poll_id].counts.append(0)
        self.say_poll(poll, ctx)
        self.say_results(poll, ctx)

    def _say_suggested(self, poll: Poll, ctx: Context) -> None:
        told = msgspec.to_builtins(views.suggestions(poll))
        said = views.fitted({"poll_id": poll.poll_id, "seq": self.hall.seq, "suggested": told})
        ctx.publish("poll_options", said, to=Role.HOST)
