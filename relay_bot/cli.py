"""The command `relay-bot`."""

from __future__ import annotations

import relay_bot.early  # noqa: F401  # pyright: ignore[reportUnusedImport]  (before all that is heavy)

# isort: split
import asyncio
import datetime
import keyword
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final, NoReturn

import click

from relay_bot import __version__
from relay_bot.plugin import Role, parse_duration
from relay_bot.settings import Settings, SettingsError, load

_TAKEN: Final = {"body", "context", "event", "hall", "path", "plugin", "state", "sync"}
"""Names that no plugin can have: the hall's own, and what the classes of a new one are called after."""

CONFIG = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    default=None,
    help="The configuration file; without it, config.yaml of this folder if there is one, else defaults.",
)


def _fail(text: str) -> NoReturn:
    click.echo(f"relay-bot: {text}", err=True)
    raise SystemExit(1)


def _load(config: Path | None) -> tuple[Settings, Path | None]:
    if config is None and Path("config.yaml").is_file():
        config = Path("config.yaml")
    try:
        return load(config), config
    except SettingsError as error:
        _fail(str(error))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="relay-bot")
def main() -> None:
    """Polls, raised hands, moderation and chat history for LiveKit rooms, decided on the server.

    \b
    LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET say where LiveKit is;
    RELAY_CONTROL_TOKEN and RELAY_DATABASE_URL override the configuration as well.
    """


@main.command()
@CONFIG
def run(config: Path | None) -> None:
    """Run the bot until SIGTERM or Ctrl-C; SIGHUP reloads the configuration."""
    settings, path = _load(config)
    from relay_bot.app import App  # heavy: the other commands answer without it
    from relay_bot.control.server import ControlError
    from relay_bot.hall.plugins import PluginsError
    from relay_bot.journal.batch import JournalError
    from relay_bot.observe import logs

    logs.configure(settings.log)

    async def serve() -> None:
        await App(settings, path).run()

    try:
        asyncio.run(serve())
    except (SettingsError, PluginsError, JournalError, ControlError) as error:
        _fail(str(error))


@main.command("check-config")
@CONFIG
def check_config(config: Path | None) -> None:
    """Check the configuration and the plugins, and say what is wrong and where."""
    settings, path = _load(config)
    from relay_bot.checks import faults
    from relay_bot.hall.plugins import PluginsError, load_plugins

    base = path.parent if path else Path.cwd()
    wrong = faults(settings, base)
    broken: dict[str, BaseException] = {}
    plugins: Collection[str] = ()
    try:
        plugins = load_plugins(settings.plugins, base, broken.__setitem__)
    except (SettingsError, PluginsError) as error:
        wrong.append(str(error))
    wrong += [f"plugins.{name}: did not load: {error}" for name, error in broken.items()]
    missing = [
        variable
        for variable, value in (
            ("LIVEKIT_API_KEY", settings.livekit.api_key),
            ("LIVEKIT_API_SECRET", settings.livekit.api_secret),
        )
        if not value
    ]
    if not wrong:
        click.echo(f"{path or 'defaults'}: valid; plugins: {', '.join(plugins)}")
    if missing:
        wrong.append(f"{' and '.join(missing)} must be set before the bot can run")
    if wrong:
        _fail("\n  ".join(wrong))


@main.command()
@click.argument("hall")
@click.argument("identity")
@click.option("--name", default="", help="The display name; the identity without it.")
@click.option("--role", type=click.Choice([role.label for role in Role if role is not Role.BACKEND]), default="viewer")
@click.option("--publish/--no-publish", default=False, help="Whether they may publish audio and video.")
@click.option("--for", "life", default="1h", help="How long the token is good for, such as 30m or 6h.")
@CONFIG
def token(hall: str, identity: str, name: str, role: str, publish: bool, life: str, config: Path | None) -> None:
    """Print a join token for trying things: IDENTITY may join HALL with it."""
    settings, _ = _load(config)
    if not settings.livekit.api_key or not settings.livekit.api_secret:
        _fail("set LIVEKIT_API_KEY and LIVEKIT_API_SECRET first")
    seconds = parse_duration(life)
    if not seconds:
        _fail(f"--for: expected a duration such as 30m or 6h, got {life!r}")
    from relay_bot.livekit.tokens import join_token

    click.echo(
        join_token(
            settings.livekit,
            hall,
            identity,
            name=name,
            role=Role[role.upper()],
            can_publish=publish,
            life=datetime.timedelta(seconds=seconds),
        )
    )


@main.command("new-plugin")
@click.argument("name")
@click.option("--in", "folder", type=click.Path(path_type=Path), default=Path("my_plugins"), show_default=True)
def new_plugin(name: str, folder: Path) -> None:
    """Write a working plugin to start from, with a test beside it."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        _fail(f"a plugin's name has small letters, digits and underscores, got {name!r}")
    if keyword.iskeyword(name) or name in _TAKEN:
        _fail(f"{name} means something else already; choose another name")
    place = folder / name
    if place.exists():
        _fail(f"{place} exists already; choose another name or folder")
    from relay_bot.templates import plugin_files

    for file, text in plugin_files(name).items():
        target = place / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    click.echo(f"{place} is written. Name its folder in config.yaml to have it loaded:")
    click.echo(f"\n  plugins:\n    path: [{os.path.relpath(folder)}]\n")


@main.command("new-config")
@click.argument("path", type=click.Path(path_type=Path), default=Path("config.yaml"))
def new_config(path: Path) -> None:
    """Write a commented config.yaml to start from."""
    from relay_bot.templates import config_text

    if path.exists():
        _fail(f"{path} exists already")
    path.write_text(config_text(), encoding="utf-8")
    click.echo(f"{path} is written; check it with: relay-bot check-config --config {path}")
