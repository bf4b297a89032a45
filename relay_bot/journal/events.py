"""Events, the journaled facts, and State, what follows from them and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, TypeVar, cast, get_type_hints

import msgspec

from relay_bot.journal.batch import Redaction
from relay_bot.journal.erasing import Rule
from relay_bot.journal.identities import Fields, Named, where

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")
_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="deterministic")


class Event(msgspec.Struct, frozen=True):
    """A fact that was decided: immutable, and all that a `State` needs to know of it.

    Its name in the journal is the class's in snake case (`HandRaised` → `hand_raised`). Fields that
    are added later need a default, so that old journals still replay.
    """

    kind: ClassVar[str] = ""
    subject: ClassVar[str] = "identity"
    """The field that names whose event it is: an `Identity`, whether it is typed so or as `str`."""
    personal: ClassVar[tuple[str, ...]] = ()
    """Fields with the subject's own words or name: emptied when the subject is erased from the journal."""

    redacts: ClassVar[tuple[type[Event], str] | None] = None
    """Which earlier events lose their `personal` fields in the journal with this one: their type, and the field that
    names the same in both. The state must be the same without these words once this event is applied."""

    def __init_subclass__(cls, **config: Any) -> None:
        super().__init_subclass__(**config)
        for name in ("kind", "subject", "personal", "redacts"):
            hint = cls.__annotations__.get(name, "")
            if name in cls.__annotations__ and "ClassVar" not in str(hint):
                raise TypeError(f"{cls.__name__}.{name}: this name is taken; call the field something else")
        cls.kind = _WORD_START.sub("_", cls.__name__).lower()


class State(msgspec.Struct):
    """What follows from the journal: fields with defaults, and one `on_…(self, event: E)` for each event.

    Applying must be pure: no clock, no randomness, no look outside. Then replaying the journal gives
    the live state again, which one test checks for every plugin.
    """


def erasing_rule(event_type: type[Event]) -> Rule:
    """Read from an event's type what erasing changes in it; raises `TypeError` for what can't be carried out."""
    fields = {field.name: field for field in msgspec.structs.fields(event_type)}
    places = where(event_type)
    subject = fields.get(event_type.subject)
    if subject is not None and subject.type is str:
        named = places.of if isinstance(places, Fields) else {}
        places = Fields({**named, subject.encode_name: Named()})
    personal: dict[str, Any] = {}
    for name in event_type.personal:
        place = f"{event_type.__qualname__}.personal: {name}"
        if subject is None:
            raise TypeError(f"{place}: there is no field {event_type.subject} that names whose words these are")
        if name not in fields:
            raise TypeError(f"{place}: there is no such field")
        personal[fields[name].encode_name] = _empty(fields[name].type, place)
    return Rule(places, subject.encode_name if subject is not None else "", personal)


def _empty(kind: Any, place: str) -> Any:
    """Give what an emptied field holds: it must be readable as its type."""
    for empty in ("", None, list[Any](), dict[str, Any](), 0, False):
        try:
            msgspec.convert(empty, kind)
        except msgspec.ValidationError:
            continue
        return empty
    raise TypeError(f"{place}: its type allows no empty value; let it be a text, a list or None as well")


S = TypeVar("S", bound=State)


class EventRefused(Exception):
    """An event is not what its own type says: it could not be read back. `field` is the place in it, if that is known.

    Neither text nor field quotes what stands in the event: logs show both.
    """

    def __init__(self, event: str, problem: str, field: str = "") -> None:
        super().__init__(f"{event}: {problem}" + (f" (field {field})" if field else ""))
        self.event = event
        self.problem = problem
        self.field = field


_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


def _unreadable(name: str, error: Exception) -> EventRefused:
    problem, _, place = str(error).partition(" - at `$.")
    return EventRefused(name, _QUOTED.sub("…", problem), place.rstrip("`"))


class EventTable(Generic[S]):
    """Which events a state knows and which of its methods applies each: made once for each plugin."""

    def __init__(self, namespace: str, state_type: type[S]) -> None:
        self.namespace = namespace
        self.state_type = state_type
        where = f"{state_type.__module__}.{state_type.__qualname__}"
        if any(field.required for field in msgspec.structs.fields(state_type)):
            raise TypeError(f"{where}: every field needs a default: an empty state is where a hall begins")
        try:
            self._decoder = msgspec.json.Decoder(state_type)
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from None
        self._methods: dict[type[Event], Callable[[S, Any], None]] = {}
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {}
        self._names: dict[type[Event], str] = {}
        self._rules: dict[str, Rule] = {}
        for name in dir(state_type):  # those that it inherits as well
            if name.startswith("on_"):
                self._add(name, getattr(state_type, name))

    def _add(self, name: str, method: Callable[[S, Any], None]) -> None:
        hints = [hint for key, hint in get_type_hints(method).items() if key != "return"]
        where = f"{self.state_type.__module__}.{self.state_type.__qualname__}.{name}"
        if len(hints) != 1 or not (isinstance(hints[0], type) and issubclass(hints[0], Event)):
            raise TypeError(f"{where}: expected one parameter annotated with an Event class")
        event_type = hints[0]
        if f"{self.namespace}.{event_type.kind}" in self._decoders:
            raise TypeError(f"{where}: another method has the event {event_type.kind} already")
        self._methods[event_type] = method
        self._names[event_type] = f"{self.namespace}.{event_type.kind}"
        self._decoders[f"{self.namespace}.{event_type.kind}"] = msgspec.json.Decoder(event_type)
        self._rules[f"{self.namespace}.{event_type.kind}"] = erasing_rule(event_type)

    def rules(self) -> dict[str, Rule]:
        """Tell by the events' journal names what is to be changed when somebody is erased."""
        return dict(self._rules)

    def types(self) -> dict[type[Event], str]:
        """List the types of the events with their journal names."""
        return dict(self._names)

    def redacting(self) -> list[str]:
        """List the journal names of the events that take words out of earlier ones."""
        return [name for event_type, name in self._names.items() if event_type.redacts is not None]

    def redaction(self, event: Event) -> Redaction:
        """Give what an event takes out of the journal."""
        assert event.redacts is not None
        target, field = event.redacts
        name = self._names[target]
        encoded = next(each.encode_name for each in msgspec.structs.fields(target) if each.name == field)
        return Redaction(name, encoded, getattr(event, field), self._rules[name].personal)

    def names(self) -> Iterable[str]:
        """List the journal names of the events, each with the namespace."""
        return self._decoders.keys()

    def apply(self, state: S, event: Event) -> None:
        """Apply an event to the state; raises `TypeError` for one that the state doesn't know."""
        method = self._methods.get(type(event))
        if method is None:
            raise TypeError(f"{type(event).__name__}: {self.state_type.__name__} has no on_… method for it")
        method(state, event)

    def encode(self, event: Event) -> tuple[str, bytes]:
        """Give an event's journal name and its body."""
        return self._names[type(event)], _encoder.encode(event)

    def checked(self, event: Event) -> tuple[str, bytes, Event]:
        """Give an event's journal name, its body, and the event as the body will be read for ever after.

        That one is to be applied, so that the live state is what a replay gives. Raises `EventRefused` for an event
        that can't be read back, or is another one then; `TypeError` for one that the state doesn't know.
        """
        name = self._names.get(type(event))
        if name is None:
            raise TypeError(f"{type(event).__name__}: {self.state_type.__name__} has no on_… method for it")
        try:
            body = _encoder.encode(event)
            found: Event = self._decoders[name].decode(body)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _unreadable(name, error) from None
        # Equal is cheap to see. What isn't may be alike in the journal all the same: a list where a tuple belongs.
        if found != event and _canonical.encode(found) != _canonical.encode(event):
            raise EventRefused(name, "it is read back as something else", _differing(event, found))
        return name, body, found

    def decode(self, name: str, body: bytes) -> Event:
        """Read an event back; raises `KeyError` for an unknown name, `msgspec.DecodeError` for a bad body."""
        return self._decoders[name].decode(body)

    def snapshot(self, state: S) -> bytes:
        """Encode a state so that `restore` gives it back whole."""
        return _encoder.encode(state)

    def restore(self, data: bytes) -> S:
        """Read a snapshot; raises `msgspec.DecodeError` where the state's shape has changed since."""
        return self._decoder.decode(data)

    def fingerprint(self, state: S) -> bytes:
        """Encode a state the same way whatever the order of its sets: equal states, equal bytes."""
        return _canonical.encode(cast(Any, state))


def _differing(one: Event, other: Event) -> str:
    """Name the first field in which two events of one type differ in the journal."""
    for name in one.__struct_fields__:
        if _canonical.encode(getattr(one, name)) != _canonical.encode(getattr(other, name)):
            return name
    return ""
