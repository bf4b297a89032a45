"""A small plugin for these tests: notes that are laid on a desk, and people who may not come in."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from relay_bot.plugin import (
    Body,
    Content,
    Context,
    Download,
    Event,
    Identity,
    Plugin,
    Refuse,
    Request,
    SetPermissions,
    Shelved,
    State,
    Verdict,
    handle,
    public,
    route,
)


class Note(Body, type="note"):
    text: str
    slip: bool = False
    """Whether the one who lays it wants its number."""


class Slip(Body, type="slip"):
    text: Annotated[str, public("slip")]


class Grant(Body, type="grant"):
    identity: Identity


class PostNote(Request, frozen=True):
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class OneNote(Request, frozen=True):
    number: str


class ListNotes(Request, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10


class NoteView(msgspec.Struct, frozen=True):
    number: int
    text: str
    by: str


class NoteList(msgspec.Struct, frozen=True):
    notes: list[NoteView]


class Form(Shelved, frozen=True):
    """What notes are written on."""

    shelf: ClassVar[str] = "forms"

    title: Annotated[Identity, msgspec.Meta(max_length=1_000_000)]
    lines: list[Identity] = []

    def check(self, settings: object) -> None:
        if self.title == "wrong":
            raise Refuse("malformed", "no form has such a title", field="title")


class TakeForm(Body, type="form"):
    name: str


class KeepForm(Body, type="form_keep"):
    name: str
    title: str
    fails: bool = False


class NoteLaid(Event, frozen=True):
    text: str
    by: str


class Desk(State):
    notes: list[NoteView] = []

    def on_note_laid(self, event: NoteLaid) -> None:
        self.notes.append(NoteView(len(self.notes), event.text, event.by))


class DeskPlugin(Plugin[Desk]):
    shelves = (Form,)

    @handle
    def take_form(self, body: TakeForm, ctx: Context) -> dict[str, object]:
        form = ctx.shelved(Form, body.name)
        return {"title": None if form is None else form.title, "names": ctx.names_shelved(Form)}

    def judge(self, content: Content, ctx: Context) -> Verdict:
        return Verdict.hold("to be seen first") if "look" in content.text else Verdict.allow()

    @handle
    def slip(self, body: Slip, ctx: Context) -> None:
        ctx.publish("slip", body, sender_id=ctx.sender.identity)

    @handle
    def grant(self, body: Grant, ctx: Context) -> None:
        ctx.owe(SetPermissions(body.identity, can_publish=True), key=body.identity)

    @handle
    def keep_form(self, body: KeepForm, ctx: Context) -> dict[str, object]:
        ctx.shelve(Form(body.title), body.name)
        if body.fails:
            raise Refuse("forbidden", "after all, no")
        found = ctx.shelved(Form, body.name)
        return {"title": found and found.title, "names": ctx.names_shelved(Form)}

    @handle
    def lay(self, body: Note, ctx: Context) -> dict[str, int] | None:
        ctx.record(NoteLaid(body.text, ctx.sender.identity))
        return {"number": len(self.state.notes) - 1} if body.slip else None

    @route("POST", "/notes")
    def post_note(self, request: PostNote, ctx: Context) -> NoteView:
        ctx.record(NoteLaid(request.text, ""))
        return self.state.notes[-1]

    @route("POST", "/notes/{number}/copy")
    def copy_note(self, request: OneNote, ctx: Context) -> NoteView:
        ctx.record(NoteLaid(self._note(request.number).text, ""))
        return self.state.notes[-1]

    @route("GET", "/notes")
    def list_notes(self, request: ListNotes, ctx: Context) -> NoteList:
        return NoteList(self.state.notes[-request.limit :])

    @route("GET", "/laid")
    def lay_by_reading(self, request: ListNotes, ctx: Context) -> NoteList:
        ctx.record(NoteLaid("read", ""))
        return NoteList(self.state.notes)

    @route("GET", "/notes/file")
    def file(self, request: ListNotes, ctx: Context) -> Download:
        lines = "\n".join(note.text for note in self.state.notes[-request.limit :])
        return Download("notes.txt", "text/plain", lines.encode("utf-8", "replace"))

    @route("GET", "/notes/{number}")
    def get_note(self, request: OneNote, ctx: Context) -> NoteView:
        return self._note(request.number)

    def _note(self, number: str) -> NoteView:
        if not (number.isascii() and number.isdigit() and int(number[:9]) < len(self.state.notes)):
            raise Refuse("not_found", "there is no such note")
        return self.state.notes[int(number)]

    def refuses_join(self, identity: str) -> Refuse | None:
        return Refuse("blocked", "this person is banned from the hall") if identity == "banned" else None
