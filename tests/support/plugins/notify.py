"""Effects of a plugin's own: telling a backend, and counting."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from relay_bot.plugin import Body, Context, Effect, EffectContext, Event, Identity, Plugin, State, handle


class NotifyBackend(Effect, frozen=True, tag="notify_backend"):
    text: str
    identity: Identity = ""


class Count(Effect, frozen=True, tag="count"):
    by: int = 1


class NotifySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str = "http://backend"


class Tell(Body, type="tell"):
    text: str
    key: str = "k"
    identity: Identity = ""


class Add(Body, type="add"):
    by: Any = 1


class Told(Event, frozen=True):
    text: str
    error: str | None


class Telling(State):
    told: list[list[str | None]] = []

    def on_told(self, event: Told) -> None:
        self.told.append([event.text, event.error])


told: list[tuple[str, str, str, int]] = []
"""text, url, id and attempt of what reached the backend"""
attempts: list[str] = []
behaviour: dict[str, Any] = {}
"""By text: an exception to raise, a reason to give, or an event to wait for."""


async def notify(effect: NotifyBackend, ctx: EffectContext[NotifySettings]) -> str | None:
    attempts.append(effect.text)
    found = behaviour.get(effect.text)
    if isinstance(found, BaseException):
        raise found
    if isinstance(found, asyncio.Event):
        await found.wait()
    if isinstance(found, str):
        return found
    told.append((effect.text, ctx.settings.url, ctx.id, ctx.attempt))
    return None


async def count(effect: Count, ctx: EffectContext[NotifySettings]) -> None:
    attempts.append(f"count {effect.by}")


class NotifyPlugin(Plugin[Telling, NotifySettings]):
    effects = {NotifyBackend: notify, Count: count}
    effect_keys = ("{identity}", "about {identity}")

    @handle
    def tell(self, body: Tell, ctx: Context) -> None:
        ctx.owe(NotifyBackend(body.text, body.identity), key=body.key)

    @handle
    def add(self, body: Add, ctx: Context) -> None:
        ctx.owe(Count(body.by), key="count")

    def effect_settled(self, effect: Effect, error: str | None, ctx: Context) -> None:
        if isinstance(effect, NotifyBackend):
            ctx.record(Told(effect.text, error))
