"""Reading a plugin class: what is wrong with it is said when it is loaded, with the place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from relay_bot.journal.events import EventTable
from relay_bot.plugin import (
    Arguments,
    Body,
    Context,
    Event,
    NoSettings,
    Plugin,
    Request,
    Role,
    State,
    command,
    describe,
    handle,
    on,
    route,
    timer,
)


class Wave(Body, type="wave"):
    note: str = ""


class Nameless(Body):
    pass


class Waved(Event, frozen=True):
    identity: str


class Waves(State):
    identities: set[str] = set()

    def on_waved(self, event: Waved) -> None:
        self.identities.add(event.identity)


class WaveSettings(msgspec.Struct, frozen=True):
    most: int = 3


class OneWave(Request, frozen=True):
    wave_id: str


class WavePlugin(Plugin[Waves, WaveSettings]):
    @handle
    def wave(self, body: Wave, ctx: Context) -> None:
        pass

    @command("wave", "[NAME]", role=Role.SPEAKER)
    def wave_command(self, arguments: Arguments, ctx: Context) -> str | None:
        """Wave at somebody.

        This is not for the help.
        """

    @route("GET", "/waves/{wave_id}")
    def show(self, request: OneWave, ctx: Context) -> dict[str, str]:
        """Show a wave."""
        return {}

    @timer
    def due(self, key: str, ctx: Context) -> None:
        pass


def test_all_that_a_plugin_says_of_itself_is_read() -> None:
    spec = describe("waves", WavePlugin)
    assert (spec.name, spec.settings_type, spec.timers) == ("waves", WaveSettings, frozenset({"due"}))
    assert spec.handlers["wave"].body_type is Wave
    found = spec.commands["wave"]
    assert (found.usage, found.role, found.help, found.method) == (
        "[NAME]",
        Role.SPEAKER,
        "Wave at somebody.",
        "wave_command",
    )
    (only,) = spec.routes
    assert (only.http_method, only.path, only.request_type, only.help) == (
        "GET",
        "/waves/{wave_id}",
        OneWave,
        "Show a wave.",
    )
    assert list(spec.events.names()) == ["waves.waved"]


def test_methods_of_a_mixin_and_of_a_base_count() -> None:
    class Mixin:
        @handle
        def wave(self, body: Wave, ctx: Context) -> None:
            pass

    class Base(Mixin, Plugin[Waves]):
        pass

    class Whole(Base):
        pass

    spec = describe("waves", Whole)
    assert (set(spec.handlers), spec.settings_type) == ({"wave"}, NoSettings)


class NoBody(Plugin[Waves]):
    @handle
    def wave(self, body: str, ctx: Context) -> None:
        pass


class NoType(Plugin[Waves]):
    @handle
    def wave(self, body: Nameless, ctx: Context) -> None:
        pass


class NoAnnotation(Plugin[Waves]):
    @handle  # type: ignore[arg-type]
    def wave(self, body, ctx):  # type: ignore[no-untyped-def]
        pass


class NoContext(Plugin[Waves]):
    @handle
    def wave(self, body: Wave) -> None:
        pass


class NoRequest(Plugin[Waves]):
    @route("GET", "/wave")
    def wave(self, request: Wave, ctx: Context) -> None:
        pass


class Other(Event, frozen=True):
    pass


class HearsWithoutType(Plugin[Waves]):
    @on(Other)
    def heard(self, event, ctx):  # type: ignore[no-untyped-def]
        pass


class HearsAnother(Plugin[Waves]):
    @on(Other)
    def heard(self, event: Waved, ctx: Context) -> None:
        pass


class HearsWithoutContext(Plugin[Waves]):
    @on(Other)
    def heard(self, event: Other) -> None:
        pass


class HearsItself(Plugin[Waves]):
    @on(Waved)
    def heard(self, event: Waved, ctx: Context) -> None:
        pass


def test_what_is_heard_is_an_event() -> None:
    wrongs: tuple[Any, ...] = (Wave, "Waved", test_what_is_heard_is_an_event)
    for wrong in wrongs:
        with pytest.raises(TypeError, match=r"on: expected an Event class, as in @on\(Sanctioned\)"):
            on(wrong)


class NoState(Plugin):  # type: ignore[type-arg]
    pass


class StateOfAnotherKind(Plugin[dict]):  # type: ignore[type-arg, type-var]
    pass


@pytest.mark.parametrize(
    ("plugin_type", "text"),
    [
        (NoBody, r"NoBody.wave: expected a Body with a type"),
        (NoType, r"NoType.wave: expected a Body with a type"),
        (NoAnnotation, r"NoAnnotation.wave: expected a Body with a type"),
        (NoContext, r"NoContext.wave: expected the parameters \(self, …, ctx\)"),
        (NoRequest, r"NoRequest.wave: expected a Request"),
        (HearsWithoutType, r"HearsWithoutType.heard: expected its first parameter annotated with Other"),
        (HearsAnother, r"HearsAnother.heard: expected its first parameter annotated with Other"),
        (HearsWithoutContext, r"HearsWithoutContext.heard: expected the parameters \(self, …, ctx\)"),
        (HearsItself, r"HearsItself.heard: Waved is this plugin's own event"),
        (NoState, r"NoState: expected a base such as Plugin\[MyState\]"),
        (StateOfAnotherKind, r"StateOfAnotherKind: expected a base such as Plugin\[MyState\]"),
    ],
)
def test_a_plugin_class_that_is_wrong(plugin_type: type[Plugin[Any, Any]], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        describe("waves", plugin_type)


# -- events and states --------------------------------------------------------------------------------


def test_an_event_is_called_in_snake_case() -> None:
    class HandWasRaised(Event, frozen=True):
        pass

    assert HandWasRaised.kind == "hand_was_raised"


class NoEvent(State):
    def on_waved(self, identity: str) -> None:
        pass


class NoParameter(State):
    def on_waved(self) -> None:
        pass


class Two(State):
    def on_waved(self, event: Waved) -> None:
        pass

    def on_waved_again(self, event: Waved) -> None:
        pass


class NoDefault(State):
    identities: set[str]


class NotJson(State):
    text: str | bytes = ""


@pytest.mark.parametrize(
    ("state_type", "text"),
    [
        (NoEvent, r"NoEvent.on_waved: expected one parameter annotated with an Event class"),
        (NoParameter, r"NoParameter.on_waved: expected one parameter annotated with an Event class"),
        (Two, r"Two.on_waved_again: another method has the event waved already"),
        (NoDefault, r"NoDefault: every field needs a default"),
        (NotJson, r"NotJson: .*str-like"),
    ],
)
def test_a_state_that_is_wrong(state_type: type[State], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        EventTable("waves", state_type)


def test_an_event_that_the_state_does_not_know_cannot_be_applied() -> None:
    class Other(Event, frozen=True):
        pass

    with pytest.raises(TypeError, match="Other: Waves has no on_… method for it"):
        EventTable("waves", Waves).apply(Waves(), Other())


def test_a_state_comes_back_whole_and_has_one_fingerprint() -> None:
    table = EventTable("waves", Waves)
    state = Waves()
    for identity in ("bob", "ann", "carol"):
        table.apply(state, Waved(identity))
    other = Waves({"carol", "bob", "ann"})
    assert table.restore(table.snapshot(state)) == state
    assert table.fingerprint(state) == table.fingerprint(other)


def test_an_event_comes_back_from_its_row() -> None:
    table = EventTable("waves", Waves)
    assert table.decode(*table.encode(Waved("ann"))) == Waved("ann")
    with pytest.raises(KeyError):
        table.decode("waves.danced", b"{}")
