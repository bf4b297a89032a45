"""Faults at the places where a call into a plugin can break: each strikes once, at the next call that comes there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import pytest

import relay_bot.hall.hall as hall_module
from relay_bot.hall import core, quarantine
from relay_bot.hall.deciding import Decider
from relay_bot.hall.session import Session
from relay_bot.hall.turn import TurnContext
from relay_bot.journal.events import EventTable

PLACES: Final = ("before", "after", "apply", "secret", "destroyed", "listener before", "listener after")


class Faults:
    """What is to strike next; `struck` counts."""

    def __init__(self) -> None:
        self.next = ""
        self.struck: dict[str, int] = dict.fromkeys(PLACES, 0)

    def strike(self, place: str) -> None:
        """Raise if it is this place's turn."""
        if self.next == place:
            self.next = ""
            self.struck[place] += 1
            raise RuntimeError(place)


@contextmanager
def faults() -> Generator[Faults]:
    """Have the core's calls strike; plugins that fail often are given up on later than usual."""
    found = Faults()
    record, destroy, secret = TurnContext.record, TurnContext.destroy_secret, TurnContext.secret
    apply: Any = vars(EventTable)["apply"]
    core_record, tell = Session.record, Decider._tell_listener
    recording: list[str] = []

    def recorded(self: Any, event: Any) -> None:
        found.strike("before")
        record(self, event)
        found.strike("after")

    def session_recorded(self: Any, namespace: str, *args: Any) -> None:
        recording.append(namespace)
        try:
            core_record(self, namespace, *args)
        finally:
            recording.pop()

    def applied(self: Any, state: Any, event: Any) -> None:
        apply(self, state, event)
        if recording and recording[-1] != core.NAMESPACE:  # never at a replay: that would be another fault
            found.strike("apply")

    def destroyed(self: Any, name: str) -> None:
        destroy(self, name)
        found.strike("destroyed")

    def made(self: Any, name: str) -> bytes:
        value = secret(self, name)
        found.strike("secret")
        return value

    def heard(self: Any, name: str, function: Any, not_before: int) -> None:
        def call(plugin: Any, ctx: Any) -> None:
            found.strike("listener before")
            function(plugin, ctx)
            found.strike("listener after")

        tell(self, name, call, not_before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TurnContext, "record", recorded)
        patch.setattr(TurnContext, "destroy_secret", destroyed)
        patch.setattr(TurnContext, "secret", made)
        patch.setattr(EventTable, "apply", applied)
        patch.setattr(Session, "record", session_recorded)
        patch.setattr(Decider, "_tell_listener", heard)
        patch.setattr(quarantine, "FAILURES", 1_000)
        patch.setattr(quarantine, "MESSAGES_IN_ROW", 1_000)
        patch.setattr(hall_module, "_FAILURES", 1_000)
        yield found
