"""Finds and loads plugins: the built-in ones, a user's folders, and installed packages' entry points."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec
import structlog

from relay_bot.effect import CORE_EFFECTS, tag_of
from relay_bot.hall.core import NAMESPACE
from relay_bot.hall.session import Loaded
from relay_bot.journal.erasing import Rule
from relay_bot.plugin import Plugin, PluginSpec, describe
from relay_bot.settings import SettingsError, check

log = structlog.get_logger("plugins")

ENTRY_POINTS: Final = "relay_bot.plugins"
_BUILTIN: Final = "plugins"
"""The package of the built-in plugins."""
_OWN_KEYS: Final = {"enabled", "required"}
_THE_HALLS: Final = {
    "messages of type sync": "the hall",
    "messages of type held_decide": "the hall",
    "the command help": "the hall",
    **{f"the effect {tag_of(kind)}": "the hall" for kind in CORE_EFFECTS},
    **{f"the shelf {taken}": "the control endpoint" for taken in ("halls", "rooms", "participants")},
}


class _Switches(msgspec.Struct, frozen=True):
    """What every plugin's settings have beside its own."""

    enabled: bool = True
    required: bool = False


class PluginsError(Exception):
    """A required plugin did not load, or the plugins' settings can't be used."""


def builtin_folder() -> Path:
    """Give the folder of the built-in plugins: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent.parent
    bundled = package / "_bundled" / "plugins"
    return bundled if bundled.is_dir() else package.parent / "plugins"


def _log_broken(name: str, error: BaseException) -> None:
    log.exception("plugin.not_loaded", plugin=name, error=str(error))


def load_plugins(
    configured: dict[str, Any], base: Path, broken: Callable[[str, BaseException], None] = _log_broken
) -> dict[str, Loaded]:
    """Load what is enabled, by name. A plugin that doesn't load is told to `broken` and left out.

    `configured` is the `plugins` section; relative folders of `plugins.path` start at `base`. Raises
    `PluginsError` for a required plugin that doesn't load and for settings that name no plugin.
    """
    sources = _sources(configured, base)
    strangers = sorted(set(configured) - set(sources) - {"path"})
    if strangers:
        raise PluginsError(f"plugins.{strangers[0]}: there is no such plugin; there are {', '.join(sorted(sources))}")
    loaded: dict[str, Loaded] = {}
    owners = dict(_THE_HALLS)
    for name, source in sources.items():
        given = configured.get(name)
        raw: dict[str, Any] = check({} if given is None else given, dict[str, Any], section=f"plugins.{name}")
        switches: _Switches = check(
            {key: value for key, value in raw.items() if key in _OWN_KEYS}, _Switches, section=f"plugins.{name}"
        )
        if not switches.enabled:
            continue
        try:
            spec = _load(name, source)
            _no_clash(spec, owners)
        except (Exception, SystemExit) as error:
            if switches.required:
                raise PluginsError(f"plugins.{name}: did not load: {error}") from error
            broken(name, error)
            continue
        own = {key: value for key, value in raw.items() if key not in _OWN_KEYS}
        settings = check(own, spec.settings_type, section=f"plugins.{name}")
        loaded[name] = Loaded(spec, settings, switches.required)
        owners |= dict.fromkeys(_things(spec), f"the plugin {name}")
    return loaded


def personal_of_others(configured: dict[str, Any], base: Path, loaded: Collection[str]) -> dict[str, Rule]:
    """Tell of the plugins that are here and not loaded what they kept of people.

    They may have been enabled once: whoever is erased is erased from what they kept, too.
    """
    found: dict[str, Rule] = {}
    for name, source in _sources(configured, base).items():
        if name not in loaded:
            try:
                found |= _load(name, source).rules()
            except (Exception, SystemExit) as error:
                log.debug("plugin.not_read", plugin=name, error=str(error))
    return found


def _things(spec: PluginSpec) -> list[str]:
    """List what only one plugin can have."""
    return [
        *(f"messages of type {kind}" for kind in spec.handlers),
        *(f"the command {name}" for name in spec.commands if name == "help"),  # others may be shared
        *(f"the route {route.http_method} {route.path}" for route in spec.routes),
        *(f"the shelf {kind.shelf}" for kind in spec.plugin_type.shelves),
        *(f"the effect {tag_of(kind)}" for kind in spec.plugin_type.effects),
    ]


def _no_clash(spec: PluginSpec, owners: dict[str, str]) -> None:
    for thing in _things(spec):
        if thing in owners:
            raise TypeError(f"{thing}: {owners[thing]} has it already")


Source = Path | EntryPoint


def _sources(configured: dict[str, Any], base: Path) -> dict[str, Source]:
    """Find every plugin there is; one of the user's own replaces a built-in one of the same name."""
    sources: dict[str, Source] = dict(_folder(builtin_folder()))
    for entry in entry_points(group=ENTRY_POINTS):
        sources[entry.name] = entry
    paths: list[str] = check(configured.get("path") or [], list[str], section="plugins.path")
    for path in paths:
        folder = base / Path(path).expanduser()
        if not folder.is_dir():
            raise SettingsError(f"plugins.path: {path} is not a folder")
        sources |= _folder(folder)
    sources.pop(NAMESPACE, None)
    return sources


def _folder(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(("_", ".")):
            continue
        if entry.is_dir() and (entry / "__init__.py").is_file():
            found[entry.name] = entry
        elif entry.suffix == ".py":
            found[entry.stem] = entry
    return found


def _load(name: str, source: Source) -> PluginSpec:
    _have_package(_BUILTIN, builtin_folder())  # whose events every plugin may import
    module = source.load() if isinstance(source, EntryPoint) else _import(name, source)
    found = [module] if inspect.isclass(module) else list(vars(module).values())
    classes: list[type[Plugin[Any, Any]]] = [
        value for value in found if inspect.isclass(value) and issubclass(value, Plugin) and value is not Plugin
    ]
    if len(classes) != 1:
        raise TypeError(f"expected one Plugin class in {source}, found {len(classes)}")
    return describe(name, classes[0])


def _import(name: str, path: Path) -> ModuleType:
    """Import a plugin from its folder. Every folder of plugins is a package: the built-in one `plugins`."""
    builtin = path.parent.resolve() == builtin_folder().resolve()
    package = _BUILTIN if builtin else f"relay_bot_user_plugins_{abs(hash(str(path.parent.resolve())))}"
    _have_package(package, path.parent)
    importlib.invalidate_caches()
    return importlib.import_module(f"{package}.{name}")


def _have_package(package: str, folder: Path) -> None:
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(folder)]
        sys.modules[package] = parent
