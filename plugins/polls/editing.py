"""Changing a poll that is not open yet."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from plugins.polls.asked import Series
from plugins.polls.bodies import AskedFields, EditFields, SeriesFields
from plugins.polls.define import asked_of, define
from plugins.polls.events import PollEdited
from plugins.polls.life import Life, check_size
from plugins.polls.state import Poll
from relay_bot.plugin import Context, Refuse

_OF_ALL_KINDS: Final = ("question", "options", "duration_seconds", "results", "anonymous", "eligible")
_NOT_ASKED: Final = ("poll_id", "opens_at", "series")


class Editing(Life):
    """Drafts and scheduled polls."""

    def edit(self, poll: Poll, fields: EditFields, ctx: Context) -> None:
        """Change what is named; refuses a poll that was opened."""
        if not poll.is_planned:
            state = "open" if poll.is_running else poll.status
            raise Refuse(
                "poll_closed", f"this poll is {state}: only a draft or a scheduled one is edited", field="poll_id"
            )
        changes = {name: value for name, value in msgspec.structs.asdict(fields).items() if value is not msgspec.UNSET}
        opens_at = poll.opens_at
        if "opens_at" in changes:
            opens_at = self.opening_of(changes["opens_at"], ctx)
        made = define(
            poll.poll_id,
            AskedFields(**_asked(poll, changes)),
            self.settings,
            None if poll.rules.audience is None else tuple(sorted(poll.rules.audience)),
            _series(changes["series"]) if "series" in changes else poll.rules.series,
        )
        check_size(made)
        ctx.record(
            PollEdited(
                made.poll_id, made.question, made.options, made.min_choices, made.max_choices, opens_at, made.rules
            )
        )
        poll = self.state.polls[made.poll_id]
        if opens_at is None:
            ctx.clear_timer(self.opening_time, poll.poll_id)
        else:
            ctx.set_timer(self.opening_time, poll.poll_id, opens_at)
        self.say_poll(poll, ctx)


def _series(fields: SeriesFields | None) -> Series | None:
    return None if fields is None else Series(fields.series_id, fields.index)


def _asked(poll: Poll, changes: dict[str, Any]) -> dict[str, Any]:
    """Put the changes into what the poll was asked with; bounds that follow from what changes are made anew."""
    asked = asked_of(poll)
    kind = changes.get("kind", poll.rules.kind)
    if kind != poll.rules.kind:
        asked = {name: asked[name] for name in _OF_ALL_KINDS if name in asked}
        if kind in ("rating", "text") or poll.rules.kind in ("rating", "text"):
            asked.pop("options", None)
    if "options" in changes and kind == "ranking":
        asked.pop("max_choices", None)
    if "correct" in changes:
        asked.pop("max_choices", None)
    return asked | {name: value for name, value in changes.items() if name not in _NOT_ASKED}
