"""Commands, chat, and a history that fills `hall_state`."""

from __future__ import annotations

from typing import Any

from relay_bot.plugin import (
    Arguments,
    Body,
    Context,
    Event,
    Participant,
    Plugin,
    Role,
    State,
    command,
    handle,
)


class Chat(Body, type="chat"):
    text: str


class Say(Body, type="say"):
    lines: list[str]


class Noted(Event, frozen=True):
    text: str


class DeskState(State):
    lines: list[str] = []

    def on_noted(self, event: Noted) -> None:
        self.lines.append(event.text)


class DeskPlugin(Plugin[DeskState]):
    @handle
    def chat(self, body: Chat, ctx: Context) -> None:
        ctx.record(Noted(body.text))
        ctx.publish("chat", {"text": body.text}, sender_id=ctx.sender.identity)

    @handle
    def say(self, body: Say, ctx: Context) -> None:
        for line in body.lines:
            ctx.publish("said", {"line": line})

    @command("hello")
    def hello(self, arguments: Arguments, ctx: Context) -> str:
        """Say hello."""
        return f"hello {arguments.rest() or ctx.sender.identity}"

    @command("poke", "NAME", role=Role.MODERATOR)
    def poke(self, arguments: Arguments, ctx: Context) -> str:
        """Poke somebody."""
        return f"poked {self.hall.roster.resolve(arguments.word('NAME')).identity}"

    @command("quiet", role=Role.HOST)
    def quiet(self, arguments: Arguments, ctx: Context) -> None:
        pass

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        return {"lines": list(self.state.lines)}
