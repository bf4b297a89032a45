"""What hosts type: `/poll "Question" A | B 60s` and its sisters."""

from __future__ import annotations

from plugins.polls import shares, views
from plugins.polls.bodies import PollFields
from plugins.polls.state import Poll
from plugins.polls.templates import Templates
from plugins.polls.visibility import is_addressed, sees_results
from relay_bot.plugin import Arguments, Context, Refuse, Role, command, parse_duration

_MAX_DURATION = 86_400


class Commands(Templates):
    """Chat commands about polls."""

    @command("poll", '"QUESTION" OPTION | OPTION … [60s], or template NAME', role=Role.HOST)
    def poll_command(self, arguments: Arguments, ctx: Context) -> str:
        """Open a poll, for a time if one is given; or what a template holds."""
        question = arguments.quoted()
        if question is None:
            if arguments.word("the question, in quotes,") != "template":
                raise arguments.wrong("the question goes in quotes")
            return self._open_template(arguments.quoted() or arguments.rest(), ctx)
        options, duration = _options(arguments.rest())
        if not 1 <= len(question) <= 500 or not all(1 <= len(option) <= 200 for option in options):
            raise Refuse("malformed", "a question has 1 to 500 characters, an option 1 to 200")
        poll = self.make(PollFields(question, options, duration_seconds=duration), ctx)
        return f"opened: {poll.question} ({poll.poll_id})"

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
        word = arguments.word("the time, such as 30s,")
        seconds = parse_duration(word.lstrip("+-"))
        if seconds is None or not 0 < seconds <= _MAX_DURATION:
            raise Refuse("malformed", "expected a time such as 30s, 5m or -30s, up to a day")
        poll = self._named_or_last(arguments.rest())
        self.extend(poll, -seconds if word.startswith("-") else seconds, ctx)
        if poll.closed_at is not None:
            return f"closed: {poll.question}"
        left = poll.remaining_ms if poll.closes_at is None else poll.closes_at - ctx.now
        return f"{round((left or 0) / 1000)} s left: {poll.question}"

    @command("results", "[POLL_ID]")
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
        voters = f"{poll.total_voters} voter{'' if poll.total_voters == 1 else 's'}"
        head = f"{poll.question} ({poll.status}, {voters})"
        said = self.results(poll, host=False) or {}
        if poll.rules.kind == "text":
            words = [f"{entry['word']} {entry['count']}" for entry in said.get("words", ())]
            return "\n".join([head, ", ".join(words[:20]) or "no answers"])
        shown = shares.percentages(tally.counts)
        labels = views.labelled(poll.options, said.get("correct"), poll.rules.scale)
        lines = [
            f"{label}: {count} ({percent}%)" for label, count, percent in zip(labels, tally.counts, shown, strict=True)
        ]
        return "\n".join([head, *lines, *views.notes(poll.options, said)])


def _options(text: str) -> tuple[list[str], float | None]:
    """Split `A | B | C 60s` into the options and the seconds."""
    body, _, last = text.rpartition(" ")
    duration = parse_duration(last)
    if duration is not None and 0 < duration <= _MAX_DURATION and body:
        text = body
    else:
        duration = None
    options = [option.strip().strip('"').strip() for option in text.split("|")]
    return [option for option in options if option], duration
