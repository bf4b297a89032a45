"""Polls that are kept beyond halls, to be asked again in any of them."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

from plugins.polls.asked import Series
from plugins.polls.bodies import AskedFields
from plugins.polls.define import asked_of, define, malformed
from plugins.polls.life import Life, check_size
from plugins.polls.state import Poll
from relay_bot.plugin import Context, Refuse, Shelved

MAX_POLLS: Final = 50


class TemplateFields(AskedFields, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A poll of a template: all but what belongs to one hall (its id, its time, its place in a series)."""


class PollTemplate(Shelved, frozen=True):
    """A poll, or several that become a series in this order."""

    shelf: ClassVar[str] = "poll-templates"

    polls: Annotated[list[TemplateFields], msgspec.Meta(min_length=1, max_length=MAX_POLLS)]

    def check(self, settings: Any) -> None:
        """Refuse a poll that could not be asked."""
        for index, asked in enumerate(self.polls):
            try:
                check_size(define("", asked, settings))
            except Refuse as refusal:
                raise Refuse(refusal.code, refusal.message, field=f"polls[{index}].{refusal.field}") from None


class Templates(Life):
    """Polls from templates, and templates from polls."""

    shelves = (PollTemplate,)

    def use_template(
        self, name: str, series_id: str | None, state: Literal["open", "draft"], ctx: Context
    ) -> list[Poll]:
        """Ask what a template holds: one poll, or all of them as a series of which the first is opened."""
        template = ctx.shelved(PollTemplate, name)
        if template is None:
            raise Refuse("not_found", "there is no template with this name", field="template")
        if len(template.polls) == 1 and series_id is not None:
            raise malformed("series_id", "this template holds one poll and no series")
        if series_id is not None and self.state.series(series_id):
            raise Refuse("poll_exists", "there is a series with this id; choose another", field="series_id")
        made_id = series_id or str(uuid.uuid4())
        questions = [
            define(
                str(uuid.uuid4()),
                asked,
                self.settings,
                ctx.audience,
                Series(made_id, index) if len(template.polls) > 1 else None,
            )
            for index, asked in enumerate(template.polls)
        ]
        self.check_new(questions)
        first = self.open_new(questions[0], ctx) if state == "open" else self.plan(questions[0], None, ctx)
        return [first, *(self.plan(question, None, ctx) for question in questions[1:])]

    def save_template(self, name: str, polls: list[Poll], ctx: Context) -> None:
        """Keep polls for all halls. Only a backend puts them in the place of what has the name: it is others' too."""
        if not ctx.sender.is_backend and name in ctx.names_shelved(PollTemplate):
            raise Refuse("poll_exists", "there is a template with this name; choose another", field="template")
        if len(polls) > MAX_POLLS:
            raise Refuse("too_large", f"a template has at most {MAX_POLLS} polls")
        try:
            ctx.shelve(PollTemplate([TemplateFields(**asked_of(poll)) for poll in polls]), name)
        except Refuse as refusal:
            raise Refuse(refusal.code, refusal.message, field="template") from None
