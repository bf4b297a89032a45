"""All that a plugin imports.

A plugin is a folder (or a module) with a `Plugin` class. It says what it listens to with the
decorators `handle`, `command`, `route`, `timer` and `on`; it keeps nothing but `State`, which changes by
recorded `Event`s alone; and it speaks through the `Context` that each handler is given. One instance
serves one hall, its handlers run one at a time, and they are plain functions: they never wait for
the network or the disk.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import (
    Any,
    ClassVar,
    Generic,
    Literal,
    Protocol,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import msgspec
from typing_extensions import TypeVar as DefaultTypeVar

from relay_bot.commands.arguments import Arguments
from relay_bot.commands.durations import parse_duration
from relay_bot.commands.quotes import split_at_bars, unescaped, unquoted
from relay_bot.effect import (
    Effect,
    EffectContext,
    EffectFailed,
    Perform,
    RemoveParticipant,
    SetPermissions,
    tag_of,
)
from relay_bot.journal.erasing import Rule, check_template, of_effect, of_effects, of_shelf, of_timer
from relay_bot.journal.events import Event, EventTable, State
from relay_bot.journal.identities import Identity, Named, where
from relay_bot.judging import PUBLIC, Content, Public, Shape, Verdict, public, public_texts
from relay_bot.tables import XLSX, Delimiter, csv_file, safe_cell, xlsx_file
from relay_bot.text import (
    Word,
    clean_text,
    disturbs,
    emoji_key,
    fold_text,
    fold_to_match,
    graphemes,
    is_blank,
    is_emoji,
    list_words,
    one_line,
    unmixed,
)
from relay_bot.wire.body import Body, Request
from relay_bot.wire.clock import iso, iso_or_none, parse_iso
from relay_bot.wire.refusal import Code, Refuse

__all__ = [
    "PUBLIC",
    "XLSX",
    "Arguments",
    "Body",
    "Code",
    "Content",
    "Context",
    "Delimiter",
    "Download",
    "Effect",
    "EffectContext",
    "EffectFailed",
    "Event",
    "HallView",
    "Identity",
    "NoSettings",
    "Participant",
    "Payload",
    "Perform",
    "Plugin",
    "Public",
    "Receivers",
    "Refuse",
    "RemoveParticipant",
    "Request",
    "Role",
    "Roster",
    "Sender",
    "SetPermissions",
    "Shelved",
    "State",
    "Track",
    "Verdict",
    "Word",
    "clean_text",
    "command",
    "csv_file",
    "disturbs",
    "emoji_key",
    "fold_text",
    "fold_to_match",
    "graphemes",
    "handle",
    "is_blank",
    "is_emoji",
    "iso",
    "iso_or_none",
    "list_words",
    "on",
    "one_line",
    "parse_duration",
    "parse_iso",
    "public",
    "route",
    "safe_cell",
    "split_at_bars",
    "timer",
    "unescaped",
    "unmixed",
    "unquoted",
    "words_of",
    "xlsx_file",
]

Payload = Mapping[str, Any] | msgspec.Struct
"""What an outgoing envelope carries: a mapping or a struct that encodes to a JSON object."""


class Role(enum.IntEnum):
    """What a sender may do, from least to most. It comes from the signed token or the configuration only."""

    VIEWER = 0
    SPEAKER = 1
    MODERATOR = 2
    HOST = 3
    BACKEND = 4

    @property
    def label(self) -> str:
        """The role's name on the wire."""
        return self.name.lower()


class Sender(msgspec.Struct, frozen=True, gc=False):
    """Who speaks in a message, and with whose authority: the SFU or the control endpoint vouches for both.

    `identity` is who speaks; it is empty where a backend orders something itself. `role` is the authority: the
    participant's own, also where a backend passes their message on (`relayed`), and `BACKEND` for its own orders
    alone. `inferred` marks a sender known by the claim in the packet alone (it came in the first seconds after
    joining): never more than a viewer.
    """

    identity: str
    name: str
    role: Role
    inferred: bool = False
    relayed: bool = False
    """A backend passes on what this participant says (an interaction with their `sender_id`)."""

    @property
    def is_backend(self) -> bool:
        """Whether a backend speaks for itself: there is no participant, and it may do everything."""
        return self.role is Role.BACKEND

    def require(self, role: Role) -> None:
        """Refuse with `forbidden` unless the sender has at least this role."""
        if self.role < role:
            raise Refuse("forbidden", f"only a {role.label} may do this")

    def require_participant(self) -> str:
        """Give the identity of the participant who speaks; refuses with `forbidden` where a backend speaks for itself.

        What counts for each participant (a vote, a wave) begins with this, or the backend would have one, too.
        """
        if not self.identity:
            raise Refuse("forbidden", "only a participant can do this: name one in sender_id", field="sender_id")
        return self.identity


class Track(msgspec.Struct, frozen=True):
    """A track that a participant publishes: `kind` is `audio` or `video`."""

    sid: str
    kind: Literal["audio", "video"]
    source: str
    muted: bool


class Participant(msgspec.Struct, frozen=True):
    """Someone who is in the hall, as the SFU describes them.

    `name` is on one line and without what can't be shown. It is not what its bearer could write themselves, and has the
    identity behind it where somebody else here, or the bot, is called the same.
    """

    identity: str
    name: str
    role: Role
    can_publish: bool = True
    can_publish_data: bool = True
    can_subscribe: bool = True
    metadata: str = ""
    attributes: dict[str, str] = {}
    tracks: tuple[Track, ...] = ()
    sid: str = ""
    """LiveKit's name for this connection of theirs: another one after they left and came back."""

    @property
    def display_name(self) -> str:
        """The name to show: the identity where no name is set."""
        return self.name or one_line(self.identity) or self.identity


class Roster(Protocol):
    """Who is in the hall now. The bot itself and other hidden agents are not listed."""

    def get(self, identity: str) -> Participant | None:
        """Find a participant by identity."""
        ...

    def resolve(self, name: str) -> Participant:
        """Find one participant by identity or display name.

        Raises `Refuse("not_found")` for nobody and for more than one: the text asks which is meant. A command takes
        names with `Arguments.person(self.hall.roster.names())`.
        """
        ...

    def names(self) -> list[tuple[str, str]]:
        """List who is here as (identity, display name or "")."""
        ...

    def is_taken(self, name: str, by: str) -> bool:
        """Tell whether somebody here other than `by`, or the bot, is called so: whatever looks the same is the same."""
        ...

    def at_least(self, role: Role) -> list[str]:
        """List the identities of those with this role or a higher one."""
        ...

    def may_act_on(self, sender: Sender, identity: str, *, last_role: Role | None = None) -> None:
        """Refuse with `forbidden` what a sender may not do to somebody: the one rule for all plugins.

        A backend may act on everybody, and everybody on themselves. Else the sender's role must be higher than that
        of the one concerned: a moderator acts on no moderator, a host on no host. Nobody acts on the bot. Of somebody
        who is not here the configuration's lists tell the role, else the one in which they were here last, else
        `last_role`, which a plugin may have kept; nobody's is that of a viewer.
        """
        ...

    def __iter__(self) -> Iterator[Participant]: ...
    def __len__(self) -> int: ...


class HallView(Protocol):
    """What a plugin may know of its hall at any time."""

    @property
    def name(self) -> str:
        """The hall's id: the LiveKit room's name."""
        ...

    @property
    def seq(self) -> int:
        """The number of the last event recorded in this hall session; it only grows."""
        ...

    @property
    def active(self) -> bool:
        """Whether the bot is in the room. Until it is (again), it hears how it finds everybody there."""
        ...

    @property
    def encrypted(self) -> bool:
        """Whether the room is end-to-end encrypted: the bot can't read what is sent there."""
        ...

    @property
    def bot_identity(self) -> str:
        """The identity that clients send to."""
        ...

    @property
    def roster(self) -> Roster:
        """Who is in the hall now."""
        ...

    def erased_as(self, identity: str) -> tuple[str, ...]:
        """List the pseudonyms under which this hall session has things of somebody who was erased and came again.

        A rule such as "once for each" asks for them beside the identity, or it ends with an erasure. Empty, at no
        cost, where nobody was erased; a name in it may stand nowhere.
        """
        ...


class Shelved(msgspec.Struct, frozen=True):
    """Something that outlives halls and their sessions, kept under a name on the shelf of its type.

    A plugin names its types in `shelves`. Its handlers read and shelve with `ctx`, in any hall; backends list, read,
    put and delete at `/v1/<shelf>`. An erased participant is replaced where it has an `Identity`.
    """

    shelf: ClassVar[str] = ""
    """Where it is kept, and its place in the URL: `poll-templates`."""

    def check(self, settings: Any) -> None:
        """Refuse (raise `Refuse`) what can't be used; `settings` are the plugin's."""


class Download(msgspec.Struct, frozen=True):
    """A route's answer that is a file and not JSON."""

    filename: str
    content_type: str
    content: bytes


H = TypeVar("H", bound=Shelved)
Receivers = Iterable[str] | Role | Callable[[], Iterable[str]] | None
"""Who gets a snapshot: these, all with at least this role, those that a function gives when it leaves, or everybody."""


class Context(Protocol):
    """What a handler can do. All of it takes effect together: after the commit of what was recorded, or never."""

    @property
    def sender(self) -> Sender:
        """Who sent the message; the backend for timers and hall events."""
        ...

    @property
    def now(self) -> int:
        """The bot's clock when the message was taken up, in milliseconds since 1970."""
        ...

    @property
    def message_id(self) -> str | None:
        """The id that the client chose for its message, if any."""
        ...

    @property
    def audience(self) -> tuple[str, ...] | None:
        """Whom a backend named in `to`; `None` for everybody."""
        ...

    @property
    def claimed(self) -> str | None:
        """The `sender_id` that a participant wrote into the envelope: a claim, which anybody can make of anybody.

        It never tells who the sender is: that is `sender.identity`. `None` where there is none, and for a backend.
        """
        ...

    @property
    def provided(self) -> Mapping[str, Any] | None:
        """The payload of a backend's interaction as it was provided, unknown fields included; `None` for all else.

        A plugin that says the message in its own words sends these fields on.
        """
        ...

    @property
    def private(self) -> bool:
        """Whether the message came as a request that is answered with a result (RPC, command, backend)."""
        ...

    @property
    def heard(self) -> bool | None:
        """Whether those whom the message is for have it from its sender already; `None` where the link can't tell.

        False for requests and for what was addressed to the bot alone: nobody else has it. True for what was
        addressed to others as well, and for the messages of other clients, which go to everybody.
        """
        ...

    @property
    def addressed(self) -> tuple[str, ...]:
        """Whom a participant addressed the message to beside the bot, as the SFU tells.

        Empty for everybody, for the bot alone, and where the link can't tell.
        """
        ...

    def check_text(self, text: str, *, field: str, what: str = "text") -> str:
        """Have a text judged that exists only here, such as a command's: before it is recorded or sent on.

        Gives it as others may see it. Raises the `Refuse` of the plugin that objects, with the `field` that the text
        stands in, also where the message is to be held: let it pass. Fields marked `public` were judged before.
        """
        ...

    def record(self, event: Event) -> None:
        """Decide an event: the state changes at once, the journal keeps it with the next commit."""
        ...

    def publish(
        self,
        kind: str,
        payload: Payload,
        *,
        to: Iterable[str] | Role | None = None,
        sender_id: str | None = None,
    ) -> None:
        """Send an envelope to everybody, to these identities, or to all with at least this role.

        One with more than 15,000 bytes is refused with `too_large` as long as nothing was recorded. After that what
        was decided stands: the envelope is left out, and the log says so.
        """
        ...

    def publish_latest(
        self,
        kind: str,
        payload: Callable[[], Payload | None],
        *,
        key: str = "",
        to: Receivers = None,
    ) -> None:
        """Send a snapshot, throttled: of those with the same `kind`, `key` and `to`, only the newest leaves.

        `payload` is called once for all the messages of a commit; `None` sends nothing. A function as `to` is called
        when the snapshot leaves, so that it may be costly; all functions are the same `to`.
        """
        ...

    def drop_latest(self, kind: str, *, key: str = "", to: Receivers = None) -> None:
        """Forget a snapshot that has not left yet: something final is said in its place."""
        ...

    def notice(self, text: str, *, to: str) -> None:
        """Tell one participant something in words: an envelope of type `notice`."""
        ...

    def owe(self, effect: Effect, *, key: str) -> None:
        """Owe an effect of the core or of a plugin's `effects`; one with the same key that is still owed is replaced.

        Raises `TypeError` for a type that nobody declares, and `Refuse("too_large")` above 60,000 bytes.
        """
        ...

    def secret(self, name: str) -> bytes:
        """Give a random key of 32 bytes, made when it is first asked for: for keyed hashes.

        It is durable with this commit and never in an event.
        """
        ...

    def destroy_secret(self, name: str) -> None:
        """Destroy a key for good: with it goes every way back from what was hashed with it."""
        ...

    def shelved(self, kind: type[H], name: str) -> H | None:
        """Find what is shelved under a name, in whatever hall it was."""
        ...

    def names_shelved(self, kind: type[Shelved]) -> list[str]:
        """List the names on a shelf, in order."""
        ...

    def shelve(self, thing: Shelved, name: str) -> None:
        """Keep something beyond this hall, in the place of what has that name: durable with this commit.

        Raises `Refuse` for what its `check` refuses, for more than 100,000 bytes and for a full shelf.
        """
        ...

    def set_timer(self, method: Callable[[str, Context], None], key: str, at_ms: int) -> None:
        """Have a `timer` method of this plugin called with `key` at a time of the bot's clock.

        It survives a restart: one that fell due meanwhile is called at once. The same method and key
        again moves it.
        """
        ...

    def clear_timer(self, method: Callable[[str, Context], None], key: str) -> None:
        """Call a timer off; nothing happens where there is none."""
        ...


F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__relay_role__"


class _Mark(msgspec.Struct, frozen=True):
    role: Literal["handle", "command", "route", "timer", "on"]
    options: dict[str, Any] = {}


def _mark(function: F, mark: _Mark) -> F:
    setattr(function, _MARK, mark)
    return function


@overload
def handle(function: F, /) -> F: ...
@overload
def handle(*, forward: bool = True, reads: bool = False) -> Callable[[F], F]: ...
def handle(function: F | None = None, /, *, forward: bool = True, reads: bool = False) -> F | Callable[[F], F]:
    """Handle messages of one type: `def wave(self, body: Wave, ctx: Context)`.

    The annotation of `body` is the subscription. What is returned (a mapping, a struct or `None`) is the
    `result` of the sender's ack. A backend's interaction of this type then goes to the participants as it is,
    unless the handler publishes the type itself; not with `@handle(forward=False)`: such a type is an order to
    the plugin.

    `@handle(reads=True)` says that it changes nothing and tells others nothing: its answer is not kept, and the message
    is answered anew when it comes again. Everything else is handled once, and its answer kept.
    """
    mark = _Mark("handle", {"forward": forward, "reads": reads})
    if function is not None:
        return _mark(function, mark)

    def decorate(wrapped: F) -> F:
        return _mark(wrapped, mark)

    return decorate


def command(name: str, usage: str = "", *, role: Role = Role.VIEWER, reads: bool = False) -> Callable[[F], F]:
    """Handle the chat command `/name`: `def mute(self, arguments: Arguments, ctx: Context) -> str | None`.

    The first line of the docstring is its line in `/help`; the text returned is told to the issuer alone. `reads`: see
    `handle`.
    """
    return lambda function: _mark(
        function, _Mark("command", {"name": name, "usage": usage, "role": role, "reads": reads})
    )


def route(method: Literal["GET", "POST", "DELETE"], path: str, *, files: Sequence[str] = ()) -> Callable[[F], F]:
    """Serve `/v1/halls/{hall_id}` + path: `def votes(self, request: R, ctx: Context) -> A`.

    `R` is a `Request` whose fields are the path's parameters, the query's and the JSON body's together;
    `A` a struct, a mapping or a `Download`. The answer leaves after the commit. `files`: the content types that a
    `Download` may have, for `/openapi.json`.
    """
    options = {"method": method, "path": path, "files": tuple(files)}
    return lambda function: _mark(function, _Mark("route", options))


@overload
def timer(function: F, /) -> F: ...
@overload
def timer(*, key: str) -> Callable[[F], F]: ...
def timer(function: F | None = None, /, *, key: str = "") -> F | Callable[[F], F]:
    """Mark a method `def due(self, key: str, ctx: Context)` as one that `ctx.set_timer` may name.

    A key that is a participant's identity is annotated so (`key: Identity`), and one that has an identity in it is
    described: `@timer(key="{poll_id} {identity}")`. Without that the key stays as it is when they are erased.
    """
    mark = _Mark("timer", {"key": key})
    if function is not None:
        return _mark(function, mark)

    def decorate(wrapped: F) -> F:
        return _mark(wrapped, mark)

    return decorate


def on(event_type: type[Event]) -> Callable[[F], F]:
    """Hear another plugin's events: `@on(Sanctioned) def sanctioned(self, event: Sanctioned, ctx: Context)`.

    Plugins publish their events in `plugins/<name>/events.py`. The method is called in the same turn, once the event
    is applied and the call that recorded it has ended well, and never at a replay. It is a transaction of its own: what
    it records is committed together with the event, and where it raises nothing of it is left and the event stands.
    The event is not told again then. Nothing is heard of a plugin that is not enabled.
    """
    if not (isinstance(event_type, type) and issubclass(event_type, Event)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"on: expected an Event class, as in @on(Sanctioned), not {event_type!r}")
    return lambda function: _mark(function, _Mark("on", {"event": event_type}))


class NoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a plugin that has none."""


S = TypeVar("S", bound=State)
C = DefaultTypeVar("C", bound=msgspec.Struct, default=NoSettings)


class Plugin(Generic[S, C]):
    """A plugin for one hall: `class WavePlugin(Plugin[Waves])`, or `Plugin[Waves, WaveSettings]`.

    The second parameter is the type of `plugins.<name>` in the configuration, beside `enabled` and
    `required`, which every plugin has.
    """

    state: S
    settings: C
    hall: HallView

    state_version: ClassVar[int] = 1
    """Raise it when `State` changes its shape or meaning: older snapshots are then left and the journal replayed."""

    shelves: ClassVar[tuple[type[Shelved], ...]] = ()
    """What this plugin keeps beyond halls."""

    effects: ClassVar[Mapping[type[Effect], Perform]] = {}
    """The types of effects that this plugin adds, each with the function that does it (see `Perform`)."""

    effect_keys: ClassVar[tuple[str, ...]] = ("{identity}",)
    """How the keys of its effects are made (`data {identity}`): so that an erased participant is renamed in them."""

    def opened(self, ctx: Context) -> None:
        """Hear that the state is what the journal says: at the first opening, after a restart, after a failure."""

    def say_again(self, event: Event, ctx: Context) -> None:
        """Publish again what one of this plugin's own events was said with, if it still matters.

        Called after a restart, once everybody who is there is known, for each event of the last ten minutes that the
        process before may have kept and not said: some of it was, so say only what an id makes harmless. The state is
        that of now, in which later events count already.
        """

    def joined(self, participant: Participant, ctx: Context) -> None:
        """Hear that someone joined the hall, or was in it when the bot came."""

    def left(self, participant: Participant, ctx: Context) -> None:
        """Hear that someone left the hall."""

    def changed(self, before: Participant, after: Participant, ctx: Context) -> None:
        """Hear that someone's name, role, permissions, attributes or tracks changed."""

    def inherit(self, earlier: S, ctx: Context) -> None:
        """Record what outlives a hall session: called once as one begins, before anybody is there.

        `earlier` is the state in which the hall's session before this one was left.
        """

    def ended(self, ctx: Context) -> None:
        """Hear that the hall session is over for good: the last chance to decide something."""

    def effect_settled(self, effect: Effect, error: str | None, ctx: Context) -> None:
        """Hear that an effect which this plugin owed was done, or given up for the reason `error`.

        What was given up after too many attempts an operator may have tried again: it is heard of once more then.
        """

    def wants_command(self, name: str) -> bool:
        """Tell whether there is something to do for a command that another plugin has as well."""
        return True

    def refuses(self, sender: Sender, kind: str) -> Refuse | None:
        """Refuse a participant's messages before any handler sees them (a mute); `None` lets them pass."""
        return None

    def judge(self, content: Content, ctx: Context) -> Verdict:
        """Say whether others may see a text of a message, before the message is decided.

        `ctx` tells of the sender; nothing can be recorded, sent or owed with it. Where this raises, the message is
        refused with `internal`.
        """
        return Verdict.allow()

    def refuses_join(self, identity: str) -> Refuse | None:
        """Refuse someone a join token (a ban); `None` lets them have it."""
        return None

    def holds_place(self, identity: str) -> bool:
        """Tell whether something waits here for someone, who may be away: a raised hand, a place on the stage."""
        return False

    def hall_state(self, participant: Participant) -> dict[str, Any]:
        """Give this plugin's part of the `hall_state` that `participant` gets."""
        return {}

    def greet(self, people: Sequence[Participant], ctx: Context) -> None:
        """Say something to those who have just become active, after their `hall_state`."""

    def summary(self) -> dict[str, Any]:
        """Give this plugin's part of `GET /v1/halls/{hall_id}`."""
        return {}


def own_methods(kind: type[Plugin[Any, Any]]) -> set[str]:
    """List what a plugin class and its mixins define themselves."""
    return {name for base in kind.__mro__ if base not in (Plugin, Generic, object) for name in vars(base)}


class Handler(msgspec.Struct, frozen=True):
    """A method found on a plugin class, ready to be called for one type of message."""

    method: str
    body_type: type[Body]
    decoder: msgspec.json.Decoder[Any]
    forward: bool
    public: Shape | None = None
    """Where the body has texts that others will see."""
    reads: bool = False


class Command(msgspec.Struct, frozen=True):
    """A chat command found on a plugin class."""

    name: str
    usage: str
    role: Role
    help: str
    method: str
    reads: bool = False


class Route(msgspec.Struct, frozen=True):
    """An HTTP route found on a plugin class."""

    http_method: str
    path: str
    request_type: type[Request]
    answer_type: Any
    help: str
    method: str
    public: Shape | None = None
    files: tuple[str, ...] = ()
    """The content types of a `Download`."""


class Listener(msgspec.Struct, frozen=True):
    """A method found on a plugin class that hears another plugin's events of one type."""

    event_type: type[Event]
    method: str


class PluginSpec(msgspec.Struct, frozen=True):
    """What a plugin class says of itself, read once when it is loaded."""

    name: str
    plugin_type: type[Plugin[Any, Any]]
    settings_type: type[msgspec.Struct]
    events: EventTable[Any]
    handlers: dict[str, Handler]
    commands: dict[str, Command]
    routes: tuple[Route, ...]
    timers: frozenset[str]
    timer_keys: dict[str, str] = {}
    """Of the timers whose keys have an identity in them: how they are made."""
    listeners: tuple[Listener, ...] = ()

    def rules(self) -> dict[str, Rule]:
        """Tell what is to be changed of what this plugin keeps when somebody is erased."""
        found = self.events.rules()
        found |= {of_timer(self.name, method): Rule(keys=(key,)) for method, key in self.timer_keys.items()}
        if self.plugin_type.effect_keys != Plugin.effect_keys:
            found[of_effects(self.name)] = Rule(keys=self.plugin_type.effect_keys)
        found |= {of_effect(tag_of(kind)): Rule(where(kind)) for kind in self.plugin_type.effects}
        return found | {of_shelf(kind.shelf): Rule(where(kind)) for kind in self.plugin_type.shelves}

    def create(self, settings: msgspec.Struct, hall: HallView) -> Plugin[Any, Any]:
        """Make the instance for one hall, with an empty state."""
        made = self.plugin_type()
        made.settings = settings
        made.hall = hall
        made.state = self.events.state_type()
        return made


def describe(name: str, plugin_type: type[Plugin[Any, Any]]) -> PluginSpec:
    """Read a plugin class; raises `TypeError` with the place of what is wrong."""
    state_type, settings_type = _type_arguments(plugin_type)
    handlers: dict[str, Handler] = {}
    commands: dict[str, Command] = {}
    routes: list[Route] = []
    timers: set[str] = set()
    timer_keys: dict[str, str] = {}
    listeners: list[Listener] = []
    events = EventTable(name, state_type)
    for method_name, function in inspect.getmembers(plugin_type, inspect.isfunction):
        mark = cast("_Mark | None", getattr(function, _MARK, None))
        if mark is None:
            continue
        place = f"{plugin_type.__module__}.{plugin_type.__qualname__}.{method_name}"
        first = _first_annotation(place, function)
        help_line = (inspect.getdoc(function) or "").partition("\n")[0]
        if mark.role == "handle":
            if not (isinstance(first, type) and issubclass(first, Body) and first.wire_type):
                raise TypeError(f'{place}: expected a Body with a type, as in class Wave(Body, type="wave")')
            handlers[first.wire_type] = Handler(
                method_name,
                first,
                msgspec.json.Decoder(first),
                mark.options["forward"],
                public_texts(first),
                mark.options["reads"],
            )
        elif mark.role == "command":
            options = mark.options
            commands[options["name"]] = Command(
                options["name"], options["usage"], options["role"], help_line, method_name, options["reads"]
            )
        elif mark.role == "route":
            if not (isinstance(first, type) and issubclass(first, Request)):
                raise TypeError(f"{place}: expected a Request as the first parameter")
            answer = get_type_hints(function).get("return")
            routes.append(
                Route(
                    mark.options["method"],
                    mark.options["path"],
                    first,
                    answer,
                    help_line,
                    method_name,
                    public_texts(first),
                    mark.options["files"],
                )
            )
        elif mark.role == "on":
            listeners.append(Listener(_heard(place, mark.options["event"], first, events), method_name))
        else:
            timers.add(method_name)
            key = mark.options["key"] or ("{identity}" if where(first) == Named() else "")
            if key:
                timer_keys[method_name] = _template(place, key)
    for key in plugin_type.effect_keys:
        _template(f"{plugin_type.__module__}.{plugin_type.__qualname__}.effect_keys", key)
    for kind in plugin_type.effects:
        try:
            tag_of(kind)
        except TypeError as error:
            raise TypeError(f"{plugin_type.__module__}.{plugin_type.__qualname__}.effects: {error}") from None
    return PluginSpec(
        name, plugin_type, settings_type, events, handlers, commands, tuple(routes), frozenset(timers), timer_keys,
        tuple(listeners),
    )  # fmt: skip


def _heard(place: str, event_type: type[Event], annotation: Any, events: EventTable[Any]) -> type[Event]:
    if annotation is not event_type:
        raise TypeError(f"{place}: expected its first parameter annotated with {event_type.__name__}, as in @on")
    if event_type in events.types():
        raise TypeError(f"{place}: {event_type.__name__} is this plugin's own event: its State hears it")
    return event_type


def _template(place: str, key: str) -> str:
    try:
        return check_template(key)
    except ValueError as error:
        raise TypeError(f"{place}: {error}") from None


def _type_arguments(plugin_type: type[Plugin[Any, Any]]) -> tuple[type[State], type[msgspec.Struct]]:
    for klass in plugin_type.__mro__:
        for base in cast("tuple[Any, ...]", getattr(klass, "__orig_bases__", ())):
            if get_origin(base) is Plugin:
                found = [argument for argument in get_args(base) if isinstance(argument, type)]
                if found and issubclass(found[0], State):
                    settings = found[1] if len(found) > 1 else NoSettings
                    return found[0], cast("type[msgspec.Struct]", settings)
    raise TypeError(f"{plugin_type.__qualname__}: expected a base such as Plugin[MyState]")


def _first_annotation(place: str, function: Callable[..., Any]) -> Any:
    names = list(inspect.signature(function).parameters)
    if len(names) != 3:
        raise TypeError(f"{place}: expected the parameters (self, …, ctx)")
    return get_type_hints(function, include_extras=True).get(names[1])


def words_of(text: str) -> list[str]:
    """List the words of a text in their order, alike whatever their case, their form or what is hidden in them."""
    return [word.key for word in list_words(text)]
