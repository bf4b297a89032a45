"""Chat commands: `/name arguments`, found among the plugins, answered to the issuer alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from relay_bot.hall.session import Loaded
from relay_bot.plugin import Arguments, Command, Context, Plugin, Sender
from relay_bot.wire.refusal import Refuse


class _Text(msgspec.Struct, frozen=True):
    text: str = ""


_decoder = msgspec.json.Decoder(_Text)


def said_command(payload: msgspec.Raw, prefix: str) -> str | None:
    """Give the command line in a chat message, without the prefix; `None` for ordinary chat.

    The prefix doubled (`//…`) is ordinary chat, for those who want to write one.
    """
    try:
        text = _decoder.decode(payload).text
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not text.startswith(prefix) or text.startswith(prefix * 2) or not text[len(prefix) :].strip():
        return None
    return text[len(prefix) :].strip()


def run_command(
    line: str,
    prefix: str,
    sender: Sender,
    plugins: Mapping[str, Plugin[Any, Any]],
    loaded: Mapping[str, Loaded],
    context: Callable[[str], Context],
    call: Callable[[str, Callable[[], Any]], Any],
) -> str | None:
    """Run a command line; gives what to tell the issuer. Raises `Refuse`, for an unknown command as well."""
    name, _, rest = line.partition(" ")
    if name == "help":
        return _help(prefix, sender, loaded)
    for plugin_name, each in loaded.items():
        command = each.spec.commands.get(name)
        if command is None:
            continue
        if sender.role < command.role:
            raise Refuse("forbidden", f"only a {command.role.label} may use {prefix}{name}")
        arguments = Arguments(rest, f"{prefix}{name} {command.usage}".strip())
        method = getattr(plugins[plugin_name], command.method)
        return call(plugin_name, partial(method, arguments, context(plugin_name)))
    raise Refuse("not_found", f"there is no command {prefix}{name[:40]}; {prefix}help lists them")


def _help(prefix: str, sender: Sender, loaded: Mapping[str, Loaded]) -> str:
    commands = [
        command for each in loaded.values() for command in each.spec.commands.values() if sender.role >= command.role
    ]
    lines = [_line(prefix, command) for command in sorted(commands, key=lambda command: command.name)]
    return "\n".join([*lines, f"{prefix}help: this list"])


def _line(prefix: str, command: Command) -> str:
    return f"{prefix}{command.name} {command.usage}".strip() + (f": {command.help}" if command.help else "")
