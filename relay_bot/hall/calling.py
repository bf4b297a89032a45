"""Calling into plugins: whatever goes wrong there comes out as a refusal, and in time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final, TypeVar, cast

import msgspec
import structlog

from relay_bot.hall.quarantine import Quarantine
from relay_bot.hall.watchdog import Watchdog
from relay_bot.observe import metrics
from relay_bot.plugin import Plugin
from relay_bot.wire.refusal import Refuse

T = TypeVar("T")
log = structlog.get_logger("hall")

_SLOW_SECONDS: Final = 0.1
MAX_PART_BYTES: Final = 100_000
"""Of what one plugin tells in a hall's description, or before it is cut for an envelope."""
Part = dict[str, tuple[Any, int]]
"""By key: a value as JSON has it, and how many bytes it is."""
_OURS: Final = Path(__file__).parent.parent


class PluginCalls:
    """The calls of one hall into its plugins."""

    def __init__(self, hall: str, watchdog: Watchdog, quarantine: Quarantine | None = None) -> None:
        self._hall = hall
        self._watchdog = watchdog
        self.quarantine = quarantine or Quarantine(hall, lambda found: None)
        self.reason = ""
        """What failed last, and where."""

    def __call__(self, plugin: str, function: Callable[[], T], *, for_message: bool = False) -> T:
        """Call into a plugin, watched; raises its `Refuse`, or one with `internal` for anything else.

        `for_message`: what goes wrong costs a message and is counted by whoever calls.
        """
        self._watchdog.enter()
        try:
            return function()
        except Refuse:
            raise
        except BaseException as error:  # also SystemExit: a plugin that calls argparse must not end the process
            failure = error
        finally:
            took = self._watchdog.leave()
            if took > _SLOW_SECONDS:
                log.warning("plugin.slow", hall=self._hall, plugin=plugin, seconds=round(took, 3))
        self._failed(plugin, failure, for_message)
        raise internal()

    def _failed(self, plugin: str, error: BaseException, for_message: bool) -> None:
        metrics.HANDLER_FAILURES.labels(plugin).inc()
        log.error("plugin.failed", hall=self._hall, plugin=plugin, exc_info=error)
        self.reason = f"{type(error).__name__} at {place_in_plugin(error)}"
        if not for_message:
            self.quarantine.failed(plugin, self.reason)


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


def is_expected(plugins: Mapping[str, Plugin[Any, Any]], identity: str, call: PluginCalls) -> bool:
    """Tell whether something waits for someone in one of the plugins; where one can't tell, it may."""
    try:
        return any(call(name, partial(plugin.holds_place, identity)) for name, plugin in plugins.items())
    except Refuse:
        return True


def parts(
    plugins: Mapping[str, Plugin[Any, Any]], part: Callable[[Plugin[Any, Any]], object], call: PluginCalls
) -> dict[str, Part]:
    """Ask the plugins for their parts of something; one that fails, or gives no JSON object, has none."""
    found: dict[str, Part] = {}
    for name, plugin in plugins.items():
        with contextlib.suppress(Refuse):
            found[name] = call(name, lambda plugin=plugin: _part(part(plugin)))
    return found


def together(found: Mapping[str, Part]) -> dict[str, Any]:
    """Put parts together."""
    return {key: value for part in found.values() for key, (value, _) in part.items()}


def _part(given: object) -> Part:
    made = msgspec.to_builtins(given, str_keys=True)
    if not isinstance(made, dict):
        raise TypeError(f"a part is an object of JSON, not {type(given).__name__}")
    part = {key: (value, len(msgspec.json.encode(value))) for key, value in cast("dict[str, Any]", made).items()}
    if sum(size for _, size in part.values()) > MAX_PART_BYTES:
        raise ValueError(f"a part has at most {MAX_PART_BYTES} bytes")
    return part


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
