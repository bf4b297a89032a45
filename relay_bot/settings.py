"""config.yaml and the environment, typed: unknown keys are refused, and every error names its path."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast, get_args, get_type_hints

import msgspec
import yaml

Text = Annotated[str, msgspec.Meta(min_length=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]

_PROJECT: Final = r"^([A-Za-z0-9.-]+(_[A-Za-z0-9.-]+)*)?\Z"
"""No `__` and no `_` at an end: or a room's name could reach into another project's (see `/v1/rooms`)."""
_IN_WORDS: Final = {f"`str` matching regex {_PROJECT!r}": "letters, digits, . - and single _ between them"}
"""What msgspec expects, as a person would put it."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class LivekitSettings(_Section, frozen=True):
    """Where LiveKit is; the key and the secret normally come from the environment."""

    url: Text = "ws://127.0.0.1:7880"
    api_key: str = ""
    api_secret: str = ""


class BotSettings(_Section, frozen=True):
    """How the bot is called in every hall."""

    identity: Text = "relay-bot"
    name: Text = "Relay"
    in_room_metadata: bool = False
    """Name the identity in the metadata of each room, where that is empty or a JSON object, as `bot_identity`."""


class HallsSettings(_Section, frozen=True):
    """Which rooms the bot serves, and how it finds them."""

    include: tuple[Text, ...] = ("*",)
    exclude: tuple[Text, ...] = ()
    reconcile_seconds: Seconds = 2.0
    resume_seconds: Seconds = 120.0
    """A room that comes back under its name within this time goes on where it was (an SFU restart)."""
    dialects: tuple[Literal["show", "chat"], ...] = ("show", "chat")
    """The dialects that are understood; a hall where one is heard is spoken to in it as well."""
    max_halls: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    snapshots_per_second: Annotated[float, msgspec.Meta(gt=0, le=20)] = 4.0
    """How often one thing (a poll's results, the queue) is told anew at the most, however much happens."""


class RoleSettings(_Section, frozen=True):
    """Identities that have a role whatever their token says."""

    hosts: frozenset[str] = frozenset()
    moderators: frozenset[str] = frozenset()


class Rate(_Section, frozen=True):
    """A token bucket: `per_second` on average, `burst` at once."""

    per_second: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
    burst: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


_RATES: Final = {
    "default": Rate(20, 100),
    "chat": Rate(5, 30),
    "reaction": Rate(10, 50),
}


class GateSettings(_Section, frozen=True):
    """What a participant may send, and how fast."""

    rates: dict[str, Rate] = {}
    """For each type, for each participant; `default` is for all that are not named."""
    hold_seconds: Annotated[float, msgspec.Meta(gt=0, le=30)] = 4.0
    """How long a message without a certain sender waits for its claimed sender to join."""
    mailbox: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 20_000
    """Messages of one hall that may wait; lossy ones go first, the others are answered `busy`."""

    max_held: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    """Messages of a hall that wait for a moderator."""
    max_held_per_sender: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    held_seconds: Annotated[float, msgspec.Meta(gt=0, le=604_800)] = 3600.0
    """After so long a message that waits for a moderator is rejected."""

    def rate(self, kind: str) -> Rate:
        """Give the bucket for a type."""
        return self.rates.get(kind) or _RATES.get(kind) or self.rates.get("default") or _RATES["default"]


class EffectsSettings(_Section, frozen=True):
    """How long it is tried to do what is owed outside; then it is a dead letter (`GET /v1/halls/{hall_id}/effects`)."""

    attempt_seconds: Annotated[float, msgspec.Meta(gt=0, le=300)] = 10.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """Since the bot's start; between them it waits up to 30 seconds."""
    max_age_seconds: Annotated[float, msgspec.Meta(gt=0, le=604_800)] = 3600.0


class CommandSettings(_Section, frozen=True):
    """Commands in the chat."""

    prefix: Annotated[str, msgspec.Meta(min_length=1, max_length=3)] = "/"


class ControlSettings(_Section, frozen=True):
    """The local control endpoint."""

    host: Text = "127.0.0.1"
    port: Port = 8787
    socket: str = ""
    """A Unix socket's path (mode 0600) instead of host and port."""
    token: str = ""
    token_file: str = ".relay/control-token"  # noqa: S105  (where a generated token is kept)
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    """Host headers that are served: names, addresses, and networks such as 10.0.0.0/8. Without a port."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may call, such as https://desk.example."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses and networks whose `X-Forwarded-For` is believed."""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1000, le=10_000_000)] = 262_144
    public_livekit_url: str = ""
    """The address that join answers give to clients, where it differs from `livekit.url`."""
    project: Annotated[str, msgspec.Meta(pattern=_PROJECT)] = ""
    """The namespace of `/v1/rooms`: rooms are called `p_<project>__<name>` at LiveKit; empty = no prefix."""


class StorageSettings(_Section, frozen=True):
    """Where the journal is kept."""

    url: Text = "sqlite:///relay.db"
    retention_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] = 90.0
    """What is kept of a hall session is deleted so long after its end; 0 = never."""
    answers_bytes: Annotated[int, msgspec.Meta(ge=10_000, le=1_000_000_000)] = 16_000_000
    """Answers kept for each hall, so that a message that comes again is not decided again; the oldest go first."""
    max_shelved: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200
    """Things of one sort, such as poll templates, that are kept beyond halls."""


class LinkSettings(_Section, frozen=True):
    """How the bot is in rooms."""

    kind: Literal["auto", "native", "sdk"] = "auto"
    """`native` is LiveKit's Go SDK in a child process, `sdk` its Python SDK; `auto` is the first where it is here."""


class LogSettings(_Section, frozen=True):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "pretty"] = "auto"


class Settings(_Section, frozen=True):
    """All of config.yaml."""

    livekit: LivekitSettings = LivekitSettings()
    bot: BotSettings = BotSettings()
    halls: HallsSettings = HallsSettings()
    roles: RoleSettings = RoleSettings()
    gate: GateSettings = GateSettings()
    control: ControlSettings = ControlSettings()
    storage: StorageSettings = StorageSettings()
    link: LinkSettings = LinkSettings()
    log: LogSettings = LogSettings()
    commands: CommandSettings = CommandSettings()
    effects: EffectsSettings = EffectsSettings()
    plugins: dict[str, Any] = {}
    """`path`: folders of plugins of one's own; every other key is a plugin's name with its settings."""


_SECRETS: Final = ("api_key", "api_secret", "token", "livekit", "control", "storage")
"""What is never repeated in an error: secrets, and sections that hold one and were written as something else."""


class SettingsError(Exception):
    """The configuration can't be used; the text names the path and what was expected."""


_ENVIRONMENT: Final = {
    "LIVEKIT_URL": ("livekit", "url"),
    "LIVEKIT_API_KEY": ("livekit", "api_key"),
    "LIVEKIT_API_SECRET": ("livekit", "api_secret"),
    "RELAY_CONTROL_TOKEN": ("control", "token"),
    "RELAY_DATABASE_URL": ("storage", "url"),
}


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the configuration; the environment goes before the file. Raises `SettingsError`."""
    name = path.name if path else "configuration"
    raw = _read(path) if path else {}
    for variable, (section, key) in _ENVIRONMENT.items():
        if environment.get(variable):
            part = raw.setdefault(section, {})
            if isinstance(part, dict):
                part[key] = environment[variable]
    gate = raw.get("gate")
    rates: Any = cast("dict[str, Any]", gate).get("rates") if isinstance(gate, dict) else None
    for kind, rate in cast("dict[str, Any]", rates).items() if isinstance(rates, dict) else ():
        check(rate, Rate, name, f"gate.rates.{kind}")  # by itself: the whole would not name the type
    try:
        return check(raw, Settings, name)
    except SettingsError as first:
        raise SettingsError("\n  ".join(_all_wrong(raw, name)) or str(first)) from None


def _all_wrong(raw: dict[str, Any], name: str) -> list[str]:
    """List what is wrong with each value by itself: the whole tells the first only."""
    found: list[str] = []
    for section, part in raw.items():
        pieces: list[dict[str, Any]] = [{section: part}]
        if isinstance(part, dict) and part and section != "plugins":
            pieces = [{section: {key: value}} for key, value in cast("dict[str, Any]", part).items()]
        for piece in pieces:
            try:
                check(piece, Settings, name)
            except SettingsError as error:
                found.append(str(error))
    return found


def check(raw: Any, kind: type[Any], place: str = "", section: str = "") -> Any:
    """Convert untyped settings to a type; raises `SettingsError` that begins with `place` and the path.

    `section` is the path at which these settings stand.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        where = path.rpartition("in `")[2].rstrip("`").removeprefix("$").removeprefix(".")
        text = text.replace("Object contains unknown field", "unknown key").partition(", got ")[0]
        for said, words in _IN_WORDS.items():
            text = text.replace(said, words)
        if text.startswith("Invalid enum value"):
            text = f"expected one of {', '.join(_choices(kind, where))}"
        spot = ".".join(part for part in (section, where) if part).replace(".[", "[")
        got = "" if text.startswith("unknown key") else _got(raw, where)
        text = f"{text[0].lower()}{text[1:]}{got}"
        raise SettingsError(": ".join(part for part in (place, spot, text) if part)) from None


_STEP = re.compile(r"(\w+)|\[(\d+)\]")


def _got(raw: Any, path: str) -> str:
    """Tell what stands at a path, unless it is nothing, or may hold a secret."""
    for name, index in _STEP.findall(path):
        if isinstance(raw, dict):
            raw = cast("dict[str, Any]", raw).get(name)
        elif isinstance(raw, list) and index:
            raw = cast("list[Any]", raw)[int(index)]
        else:
            return ""
    last = path.rpartition(".")[2]
    return "" if last in _SECRETS or not isinstance(raw, str | int | float) else f", got {raw!r}"


def _choices(kind: Any, path: str) -> list[str]:
    """List the values that a path of a section may have."""
    for name, _ in _STEP.findall(path):
        kind = get_type_hints(kind)[name] if name else get_args(kind)[0]
    return [str(value) for value in get_args(kind)]


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        twice = _given_twice(cast("Any", yaml).compose(text, yaml.SafeLoader))  # it has no types
        raw = yaml.safe_load(text)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; name the configuration with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise SettingsError(f"{path.name}{line}: not valid YAML: {problem}") from None
    if twice:
        raise SettingsError(f"{path.name}: {twice}")
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SettingsError(f"{path.name}: expected sections such as livekit: and control:")
    # A section whose keys are all commented out reads as null: that means its defaults.
    sections = cast("dict[Any, Any]", raw)
    return {str(key): {} if value is None else value for key, value in sections.items()}


def _given_twice(root: yaml.Node | None) -> str:
    """Find a key that stands twice in its section, of which YAML would silently take the last; empty = none."""
    waiting: list[tuple[tuple[str, ...], yaml.Node | None]] = [((), root)]
    seen: set[int] = set()  # an alias may name what it stands in
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(path, part) for part in node.value]
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in lines:
                    return f"{'.'.join((*path, key.value))}: given twice, in lines {lines[key.value]} and {line}"
                lines[key.value] = line
            waiting.append(((*path, str(key.value)), value))
    return ""
