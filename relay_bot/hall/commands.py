"""Chat commands: `/name arguments`, found among the plugins, answered to the issuer alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
import regex

from relay_bot.hall.session import Loaded
from relay_bot.plugin import Arguments, Command, Context, Plugin, Sender
from relay_bot.text import fold_to_match
from relay_bot.text.visible import BLANK
from relay_bot.wire.refusal import Refuse


class _Text(msgspec.Struct, frozen=True):
    text: str = ""


_decoder = msgspec.json.Decoder(_Text)
_SLASHES: Final = str.maketrans(dict.fromkeys("\u2044\u2215\u29f8\u2571\u27cb", "/"))
_BLANKS: Final = regex.compile(BLANK + "+", regex.VERSION1)
_WORD: Final = regex.compile(r"[^\s\u2800\u3164\uffa0]*")


def said_command(payload: msgspec.Raw, prefix: str) -> str | None:
    """Give the command line in a chat message, without the prefix; `None` for ordinary chat.

    The prefix doubled (`//…`) is ordinary chat, for those who want to write one.
    """
    try:
        text = _decoder.decode(payload).text
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if text and text[0].isalnum():  # nearly all are
        return None
    line = command_line(text, prefix)
    return line or None


def command_line(text: str, prefix: str) -> str | None:
    """Give what stands behind the prefix, which may be empty; `None` where no single prefix begins the text.

    What is blank or invisible may stand before it, and a look-alike of it in its place (`／`, `∕`): who meant a command
    must not be heard by everybody for that.
    """
    start = found.end() if (found := _BLANKS.match(text)) else 0
    end = _behind(text, start, prefix)
    if end is None or _behind(text, end, prefix) is not None:
        return None
    behind = text[end:]
    return behind[found.end() if (found := _BLANKS.match(behind)) else 0 :].rstrip()


def _behind(text: str, start: int, prefix: str) -> int | None:
    """Give where the prefix that stands at `start` ends, by its look."""
    end = start + len(prefix)
    found = unicodedata.normalize("NFKC", text[start:end]).translate(_SLASHES)
    return end if found == unicodedata.normalize("NFKC", prefix).translate(_SLASHES) else None


def ordered_command(text: str, prefix: str) -> str:
    """Give the command line of a backend's command, which may do without the prefix; raises `Refuse` for none."""
    line = command_line(text, prefix)
    line = text.strip() if line is None else line
    if not line:
        raise Refuse("malformed", f"expected a command such as {prefix}help", field="text")
    return line


def run_command(
    line: str,
    prefix: str,
    sender: Sender,
    plugins: Mapping[str, Plugin[Any, Any]],
    loaded: Mapping[str, Loaded],
    ask: Callable[[str, Callable[[], Any]], Any],
    call: Callable[[str, Callable[[Context], Any]], Any],
) -> str | None:
    """Run a command line; gives what to tell the issuer. Raises `Refuse`, for an unknown command as well.

    `ask` asks a plugin something, `call` has it decide something.
    """
    written = _WORD.match(line)
    assert written is not None
    word, rest = fold_to_match(written[0]), line[written.end() :]
    name, _, of_plugin = word.partition("@")
    if name == "help":
        return _help(prefix, sender, {plugin: each for plugin, each in loaded.items() if plugin in plugins})
    takers = {
        plugin: command
        for plugin, each in loaded.items()
        for command in each.spec.commands.values()
        if command.name.casefold() == name and of_plugin in ("", plugin.casefold())
    }
    if not takers:
        raise Refuse("not_found", f"there is no command {prefix}{word[:40]}; {prefix}help lists them")
    permitted = {plugin: command for plugin, command in takers.items() if sender.role >= command.role}
    if not permitted:
        needed = min(command.role for command in takers.values())
        raise Refuse("forbidden", f"only a {needed.label} may use {prefix}{name}")
    working = {plugin: command for plugin, command in permitted.items() if plugin in plugins}
    if not working:
        raise Refuse("internal", f"{prefix}{name} does not work in this hall now: an operator finds why in the log")
    permitted = working
    if len(permitted) > 1:
        permitted = _wanted(prefix, name, permitted, plugins, ask)
    plugin, command = next(iter(permitted.items()))
    arguments = Arguments(rest, f"{prefix}{command.name} {command.usage}".strip())
    return call(plugin, lambda context: _told(getattr(plugins[plugin], command.method)(arguments, context)))


def _told(said: object) -> str | None:
    if said is not None and not isinstance(said, str):
        raise TypeError(f"a command tells a text or nothing, not {type(said).__name__}")
    return said


def is_known(line: str, loaded: Mapping[str, Loaded]) -> bool:
    """Tell whether a line is a command of some plugin's."""
    written = _WORD.match(line)
    name = fold_to_match(written[0]).partition("@")[0] if written else ""
    return name == "help" or any(
        command.name.casefold() == name for each in loaded.values() for command in each.spec.commands.values()
    )


def _wanted(
    prefix: str,
    name: str,
    takers: Mapping[str, Command],
    plugins: Mapping[str, Plugin[Any, Any]],
    ask: Callable[[str, Callable[[], Any]], Any],
) -> dict[str, Command]:
    """Choose between plugins that share a command: the one that has something to do for it; never by guessing."""
    wanting = {
        plugin: command
        for plugin, command in takers.items()
        if ask(plugin, partial(plugins[plugin].wants_command, command.name))
    }
    if len(wanting) > 1:
        choices = " or ".join(f"{prefix}{name}@{plugin}" for plugin in wanting)
        raise Refuse("malformed", f"which one? say {choices}")
    return wanting or dict(takers)


def _help(prefix: str, sender: Sender, loaded: Mapping[str, Loaded]) -> str:
    commands = [
        command for each in loaded.values() for command in each.spec.commands.values() if sender.role >= command.role
    ]
    lines = [_line(prefix, command) for command in sorted(commands, key=lambda command: command.name)]
    return "\n".join([*lines, f"{prefix}help: this list"])


def _line(prefix: str, command: Command) -> str:
    return f"{prefix}{command.name} {command.usage}".strip() + (f": {command.help}" if command.help else "")


def only_reads(line: str, loaded: Mapping[str, Loaded]) -> bool:
    """Tell whether a command line changes nothing, by what its commands declare."""
    written = _WORD.match(line)
    name = fold_to_match(written[0]).partition("@")[0] if written is not None else ""
    takers = [each.spec.commands[name] for each in loaded.values() if name in each.spec.commands]
    return name == "help" or (bool(takers) and all(command.reads for command in takers))
