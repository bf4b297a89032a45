"""structlog for the whole process: one line an event, JSON for machines or pretty for a terminal."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import ExcInfo, Processor

from relay_bot.settings import LogSettings


def configure(settings: LogSettings) -> None:
    """Set up logging; libraries that use the standard module go the same way."""
    told = _whole if settings.level == "debug" else _without_texts
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    pretty = settings.format == "pretty" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if pretty:

        def write(stream: TextIO, error: ExcInfo) -> None:
            stream.write("\n" + told(error))

        final: list[Processor] = [structlog.dev.ConsoleRenderer(exception_formatter=write)]
    else:
        final: list[Processor] = [
            structlog.processors.ExceptionRenderer(told),
            structlog.processors.JSONRenderer(_dumps),
        ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("livekit").setLevel(max(level, logging.WARNING))
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _whole(exc_info: ExcInfo) -> str:
    return "".join(traceback.format_exception(*exc_info)).rstrip()


def _without_texts(exc_info: ExcInfo) -> str:
    """Tell what kind of exceptions there were and where, oldest first.

    Not their texts: a plugin's may quote what somebody said, and a database's what was to be written.
    """
    parts: list[str] = []
    exception: BaseException | None = exc_info[1]
    seen: set[int] = set()
    while exception is not None and id(exception) not in seen:
        seen.add(id(exception))
        kind = type(exception)
        lines = traceback.format_tb(exception.__traceback__)
        parts.append("".join(lines) + f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."))
        exception = exception.__cause__ or (None if exception.__suppress_context__ else exception.__context__)
    return "\n\nthen:\n\n".join(reversed(parts))


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
