"""Calling into plugins: whatever goes wrong there comes out as a refusal, and in time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from relay_bot.hall.watchdog import Watchdog
from relay_bot.observe import metrics
from relay_bot.plugin import Plugin
from relay_bot.wire.refusal import Refuse

T = TypeVar("T")
log = structlog.get_logger("hall")

_SLOW_SECONDS: Final = 0.1
_OURS: Final = Path(__file__).parent.parent


class PluginCalls:
    """The calls of one hall into its plugins."""

    def __init__(self, hall: str, watchdog: Watchdog) -> None:
        self._hall = hall
        self._watchdog = watchdog

    def __call__(self, plugin: str, function: Callable[[], T]) -> T:
        """Call into a plugin, watched; raises its `Refuse`, or one with `internal` for anything else."""
        self._watchdog.enter()
        try:
            return function()
        except Refuse:
            raise
        except BaseException:  # also SystemExit: a plugin that calls argparse must not end the process
            metrics.HANDLER_FAILURES.labels(plugin).inc()
            log.exception("plugin.failed", hall=self._hall, plugin=plugin)
            raise internal() from None
        finally:
            took = self._watchdog.leave()
            if took > _SLOW_SECONDS:
                log.warning("plugin.slow", hall=self._hall, plugin=plugin, seconds=round(took, 3))


def join_refusal(plugins: Mapping[str, Plugin[Any, Any]], identity: str, call: PluginCalls) -> Refuse | None:
    """Ask the plugins whether someone is to get no join token; one that can't tell gives none."""
    for name, plugin in plugins.items():
        try:
            refusal = call(name, partial(plugin.refuses_join, identity))
        except Refuse as failed:
            return failed
        if refusal is not None:
            return refusal
    return None


def parts(
    plugins: Mapping[str, Plugin[Any, Any]], part: Callable[[Plugin[Any, Any]], dict[str, Any]], call: PluginCalls
) -> dict[str, Any]:
    """Put the plugins' parts of something together; one that fails has none."""
    found: dict[str, Any] = {}
    for name, plugin in plugins.items():
        with contextlib.suppress(Refuse):
            found |= call(name, partial(part, plugin))
    return found


def as_json(result: object) -> Any:
    """Give a plugin's result as JSON has it; raises for what isn't JSON (called inside of the plugin's call)."""
    if result is None:
        return None
    found = msgspec.to_builtins(result, str_keys=True)
    msgspec.json.encode(found)  # half a surrogate, or a number of more than 64 bits, is seen only here
    return found


def place_in_plugin(error: BaseException) -> str:
    """Tell where in a plugin's own code an exception came from, as `plugin.py:88`."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not Path(frame.filename).is_relative_to(_OURS)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def internal() -> Refuse:
    """Make the refusal for a fault of ours. Each its own: one that is raised again keeps the frames of every time."""
    return Refuse("internal", "something went wrong here; it has been logged")


def own_methods(kind: type[Plugin[Any, Any]]) -> set[str]:
    """List what a plugin class and its mixins define themselves."""
    return {name for base in kind.__mro__ if base not in (Plugin, Generic, object) for name in vars(base)}
