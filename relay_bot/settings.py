"""config.yaml and the environment, typed: unknown keys are refused, and every error names its path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import msgspec
import yaml

Text = Annotated[str, msgspec.Meta(min_length=1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


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

    def rate(self, kind: str) -> Rate:
        """Give the bucket for a type."""
        return self.rates.get(kind) or _RATES.get(kind) or self.rates.get("default") or _RATES["default"]


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
    allowed_origins: tuple[str, ...] = ()
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1000, le=10_000_000)] = 262_144
    public_livekit_url: str = ""
    """The address that join answers give to clients, where it differs from `livekit.url`."""
    project: str = ""
    """The namespace of `/v1/rooms`: rooms are called `p_<project>__<name>` at LiveKit; empty = no prefix."""


class StorageSettings(_Section, frozen=True):
    """Where the journal is kept."""

    url: Text = "sqlite:///relay.db"
    retention_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] = 90.0
    """What is kept of a hall session is deleted so long after its end; 0 = never."""


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
    plugins: dict[str, Any] = {}
    """`path`: folders of plugins of one's own; every other key is a plugin's name with its settings."""


_SECRETS: Final = ("api_key", "api_secret", "token")


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
    return check(raw, Settings, name)


def check(raw: Any, kind: type[Any], place: str) -> Any:
    """Convert untyped settings to a type; raises `SettingsError` that begins with `place` and the path."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        where = path.rstrip("`").removeprefix("$").removeprefix(".")
        value = _at(raw, where)
        secret = where.rpartition(".")[2] in _SECRETS
        got = "" if value is None or secret or "contains unknown field" in text else f", got {value!r}"
        text = text.replace("Object contains unknown field", "unknown key").partition(", got ")[0]
        spot = f"{place}: {where}: " if where else f"{place}: "
        raise SettingsError(f"{spot}{text[0].lower()}{text[1:]}{got}") from None


def _at(raw: Any, path: str) -> Any:
    for part in path.split("."):
        raw = cast("dict[str, Any]", raw).get(part) if isinstance(raw, dict) else None
    return raw


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; name the configuration with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise SettingsError(f"{path.name}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise SettingsError(f"{path.name}: expected sections such as livekit: and control:")
    # A section whose keys are all commented out reads as null: that means its defaults.
    sections = cast("dict[Any, Any]", raw)
    return {str(key): {} if value is None else value for key, value in sections.items()}
