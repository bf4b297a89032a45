"""Fails in every way that a plugin can."""

from __future__ import annotations

import time

from relay_bot.plugin import Body, Context, Event, Plugin, Refuse, State, handle


class Fail(Body, type="fail"):
    how: str
    record_first: bool = False
    note: str = ""


class Tried(Event, frozen=True):
    how: str


class Spoilt(Event, frozen=True):
    pass


class TroubleState(State):
    tried: list[str] = []

    def on_tried(self, event: Tried) -> None:
        self.tried.append(event.how)

    def on_spoilt(self, event: Spoilt) -> None:
        raise RuntimeError("an event that can't be applied")


class TroublePlugin(Plugin[TroubleState]):
    @handle
    def fail(self, body: Fail, ctx: Context) -> None:
        if body.record_first:
            ctx.record(Tried(body.how))
            ctx.publish("tried", {"how": body.how})
        match body.how:
            case "raise":
                raise RuntimeError("a mistake in a plugin")
            case "quote":
                raise RuntimeError(body.note) from KeyError(body.note)
            case "refuse":
                raise Refuse("blocked", "no")
            case "hang":
                time.sleep(30)
            case "hang_deaf":  # a plugin that catches all that it knows of
                for _ in range(20):  # bounded all the same: the tests' own time limit uses the same signal
                    try:
                        time.sleep(0.5)
                    except Exception:  # noqa: BLE001, S112, RUF100  (that is the point)
                        continue
            case "apply":
                ctx.record(Spoilt())
            case _:
                pass
