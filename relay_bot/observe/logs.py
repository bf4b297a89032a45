"""structlog for the whole process: one line an event, JSON for machines or pretty for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog

from relay_bot.settings import LogSettings


def configure(settings: LogSettings) -> None:
    """Set up logging; libraries that use the standard module go the same way."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    pretty = settings.format == "pretty" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if pretty:
        # Plain: a traceback with its variables would show what people say to each other.
        final: list[structlog.typing.Processor] = [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        final = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dumps)]
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


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
