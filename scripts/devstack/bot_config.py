"""The bot's configuration in the stack: the checkout's own, moved to another port if need be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from scripts.devstack.errors import StackError
from scripts.devstack.ports import LOOPBACK

DEFAULT_CONTROL_PORT = 8787
DEFAULT_LINK_KIND = "auto"


class BotConfig:
    """A `config.yaml`, read only as far as the stack needs; the bot itself judges the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = _load(path)

    @property
    def control_port(self) -> int:
        port = self._control.get("port", DEFAULT_CONTROL_PORT)
        return port if isinstance(port, int) else DEFAULT_CONTROL_PORT

    @property
    def link_kind(self) -> str:
        return str(_section(self._content, "link").get("kind", DEFAULT_LINK_KIND))

    def on_port(self, port: int, folder: Path) -> Path:
        """The file to give to the bot so that its control endpoint is on this port of loopback.

        That is the file itself where it says so already, so that the bot's complaints name the file that
        the person wrote; else a changed copy in `folder`.
        """
        if self.control_port == port and self._control.get("host", LOOPBACK) == LOOPBACK:
            return self.path
        changed = self._content | {"control": self._control | {"host": LOOPBACK, "port": port}}
        copy = folder / "config.yaml"
        copy.write_text(yaml.safe_dump(self._from_here(changed), sort_keys=False), "utf-8")
        return copy

    @property
    def _control(self) -> dict[str, Any]:
        return _section(self._content, "control")

    def _from_here(self, content: dict[str, Any]) -> dict[str, Any]:
        """The folders of plugins are named from the file's own folder, which the copy isn't in."""
        plugins = _section(content, "plugins")
        folders = plugins.get("path")
        if not folders:
            return content
        listed = cast("list[str]", folders if isinstance(folders, list) else [folders])
        absolute = [str(self.path.parent / folder) for folder in listed]
        return content | {"plugins": plugins | {"path": absolute}}


def _section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _load(path: Path) -> dict[str, Any]:
    try:
        parsed: object = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise StackError(f"{path}: no such file; name the bot's configuration with --config") from None
    except OSError as error:
        raise StackError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise StackError(f"{path}{where}: this is no YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StackError(f"{path}: this is no YAML: {str(error).splitlines()[0]}") from error
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise StackError(f"{path}: expected settings by name (key: value), got {type(parsed).__name__}")
    return cast("dict[str, Any]", parsed)
