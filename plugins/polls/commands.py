"""What hosts type: `/poll "Question" A | B 60s` and its sisters."""

from __future__ import annotations

import re

from plugins.polls import views
from plugins.polls.bodies import PollFields
from plugins.polls.state import Poll
from plugins.polls.templates import Templates
from plugins.polls.visibility import is_addressed, sees_results
from plugins.polls.wording import counted
from relay_bot.plugin import (
    Arguments,
    Context,
    Refuse,
    Role,
    command,
    parse_duration,
    split_at_bars,
    unquoted,
)

_MAX_DURATION = 86_400
_SPACES = re.compile(r"\s+")


class Commands(Templates):
    """Chat commands about polls."""

    @command("poll", '"QUESTION" OPTION | OPTION … [60s], or template NAME', role=Role.HOST)
    def poll_command(self, arguments: Arguments, ctx: Context) -> str:
        """Open a poll, for a time if one is given; or what a template holds."""
        question = arguments.quoted()
        if question is None:
            if arguments.word("the question, in quotes,").casefold() != "template":
                raise arguments.wrong("the question goes in quotes")
            return self._open_template(arguments.rest_unquoted(), ctx)
        options, duration = _options(arguments.rest())
        if duration is not None and not 1 <= duration <= _MAX_DURATION:
            raise arguments.wrong("a poll is open for 1s to 1d")
        if not 1 <= len(question) <= 500 or not all(1 <= len(option) <= 200 for option in options):
            raise Refuse("malformed", "a question has 1 to 500 characters, an option 1 to 200")
        question = ctx.check_text(question, field="question", what="poll question")
        options = [
            ctx.check_text(option, field=f"options[{number}]", what="option") for number, option in enumerate(options)
        ]
        poll = self.make(PollFields(question, options, duration_seconds=duration), ctx)
        timed = "" if duration is None else f", for {duration} s"
        return f"opened: {poll.question} ({poll.poll_id}): {' | '.join(options)}{timed}"

    def _open_template(self, name: str, ctx: Context) -> str:
        poll, *others = self.use_template(name, None, "open", ctx)
        more = f", with {len(others)} more to come: /next" if others else ""
        return f"opened: {poll.question} ({poll.poll_id}){more}"

    @command("close", "[POLL_ID]", role=Role.HOST)
    def close_command(self, arguments: Arguments, ctx: Context) -> str:
        """Close a poll: the one named, or the last one opened."""
        poll = self._named_or_last(arguments.rest())
        self.close(poll, "closed", ctx)
        return f"closed: {poll.question}"

    @command("extend", "30s [POLL_ID]", role=Role.HOST)
    def extend_command(self, arguments: Arguments, ctx: Context) -> str:
        """Give a poll more time; -30s shortens it."""
        less = arguments.takes_sign() == "-"
        seconds = arguments.duration(most=_MAX_DURATION)
        if seconds is None:
            raise arguments.wrong("the time is missing")
        poll = self._named_or_last(arguments.rest())
        self.extend(poll, -seconds if less else seconds, ctx)
        if poll.closed_at is not None:
            return f"closed: {poll.question}"
        left = poll.remaining_ms if poll.closes_at is None else poll.closes_at - ctx.now
        return f"{round((left or 0) / 1000)} s left: {poll.question}"

    @command("results", "[POLL_ID]", reads=True)
    def results_command(self, arguments: Arguments, ctx: Context) -> str:
        """Show a poll's results so far: of the one named, or the last one opened."""
        poll_id = arguments.rest()
        host = ctx.sender.role >= Role.HOST
        identity = ctx.sender.identity
        known = [
            poll
            for poll in self.state.polls.values()
            if (poll.opened_at is not None and poll.archived_at is None and is_addressed(poll, identity)) or host
        ]
        found = [poll for poll in known if (poll.poll_id == poll_id if poll_id else poll.opened_at is not None)]
        if not found:
            raise Refuse("poll_not_found", "there is no such poll in this hall")
        poll = found[-1]
        voted = self.own_ballot(poll, identity) is not None
        if not sees_results(poll, host=host, voted=voted):
            raise Refuse("forbidden", "the results of this poll are not shown yet")
        return self._told(poll, ctx)

    @command("next", "[SERIES_ID]", role=Role.HOST)
    def next_command(self, arguments: Arguments, ctx: Context) -> str:
        """Close the open poll of a series and open the next one."""
        poll = self.next_in_series(arguments.rest() or None, ctx)
        return f"opened: {poll.question}"

    def _named_or_last(self, poll_id: str) -> Poll:
        if poll_id:
            return self.find_running(poll_id)
        running = self.state.running()
        if not running:
            raise Refuse("poll_not_found", "no poll is open")
        return max(running, key=lambda poll: poll.opened_at or 0)

    def _told(self, poll: Poll, ctx: Context) -> str:
        tally = self.sure_tally(poll, ctx)
        said = self.results(poll, host=False) or {}
        of_voters = ", percentages of the voters" if "voter_shares" in said else ""
        head = f"{poll.question} ({poll.status}, {counted(poll.total_voters, 'voter')}{of_voters})"
        if poll.rules.kind == "text":
            words = [f"{entry['word']} {entry['count']}" for entry in said.get("words", ())]
            return "\n".join([head, ", ".join(words[:20]) or "no answers"])
        labels = views.labelled(poll.options, said.get("correct"), poll.rules.scale)
        weights: list[float | None] = said.get("weighted_counts") or [None] * len(labels)
        lines = [
            f"{label}: {count}{'' if weight is None else f', weight {weight:g}'} ({share:g}%)"
            for label, count, weight, share in zip(labels, tally.counts, weights, views.shown_shares(said), strict=True)
        ]
        return "\n".join([head, *lines, *views.notes(poll.options, said)])


def _options(text: str) -> tuple[list[str], int | None]:
    """Split `A | B | C 60s` into the options and the seconds.

    A time that is all of the last option is an option; so is one at its end where another option ends with one too, as
    in `in 5m | in 10m`, unless two follow each other there.
    """
    *others, last = split_at_bars(text)
    option, seconds = _without_time(last)
    if seconds is not None and any(_ends_with_time(each) for each in others) and not _ends_with_time(option):
        option, seconds = last, None
    options = [unquoted(each) for each in (*others, option)]
    return [each for each in options if each], seconds


def _without_time(text: str) -> tuple[str, int | None]:
    """Take a time off the end of a text, if something is left of it then."""
    text = text.strip()
    for space in _SPACES.finditer(text):  # from the left: the longest time
        seconds = parse_duration(text[space.end() :])
        if seconds is not None and text[space.end()].isnumeric():
            return text[: space.start()], seconds
    return text, None


def _ends_with_time(text: str) -> bool:
    return parse_duration(text) is not None or _without_time(text)[1] is not None
