"""Timers, owed effects and secrets, each asked for by a message."""

from __future__ import annotations

from typing import Any

from relay_bot.plugin import Body, Context, Effect, Event, Plugin, SetPermissions, State, handle, timer


class Remind(Body, type="remind"):
    key: str
    in_ms: int = 0


class CallOff(Body, type="call_off"):
    key: str


class Grant(Body, type="grant"):
    key: str
    identity: str
    can_publish: bool = True


class Seal(Body, type="seal"):
    name: str
    destroy: bool = False


class Rang(Event, frozen=True):
    key: str


class Settled(Event, frozen=True):
    identity: str
    error: str | None


class ErrandsState(State):
    rang: list[str] = []
    settled: list[list[str | None]] = []

    def on_rang(self, event: Rang) -> None:
        self.rang.append(event.key)

    def on_settled(self, event: Settled) -> None:
        self.settled.append([event.identity, event.error])


class ErrandsPlugin(Plugin[ErrandsState]):
    @handle
    def remind(self, body: Remind, ctx: Context) -> None:
        ctx.set_timer(self.ring, body.key, ctx.now + body.in_ms)

    @handle
    def call_off(self, body: CallOff, ctx: Context) -> None:
        ctx.clear_timer(self.ring, body.key)

    @timer
    def ring(self, key: str, ctx: Context) -> None:
        ctx.record(Rang(key))
        ctx.publish("rang", {"key": key})

    @handle
    def grant(self, body: Grant, ctx: Context) -> None:
        ctx.owe(SetPermissions(body.identity, can_publish=body.can_publish), key=body.key)

    def effect_settled(self, effect: Effect, error: str | None, ctx: Context) -> None:
        assert isinstance(effect, SetPermissions)
        ctx.record(Settled(effect.identity, error))

    @handle
    def seal(self, body: Seal, ctx: Context) -> dict[str, Any] | None:
        if body.destroy:
            ctx.destroy_secret(body.name)
            return None
        return {"secret": ctx.secret(body.name).hex()}
