"""Packets as browsers read them: what is no valid UTF-8, or half a surrogate pair, is U+FFFD, and a BOM is nothing."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec


def mended(data: bytes) -> bytes | None:
    """Give JSON text that every decoder takes; `None` for what a browser takes for no JSON either."""
    try:
        found: Any = json.loads(data.decode("utf-8", "replace").removeprefix("\ufeff"), parse_constant=_refused)
        text = json.dumps(found, ensure_ascii=False)
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return msgspec.json.format(whole.encode(), indent=-1)
    except (ValueError, RecursionError):
        return None


def mended_text(data: bytes) -> str:
    """Read a text stream's bytes."""
    return data.decode("utf-8", "replace")


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
