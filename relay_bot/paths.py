"""One rule for relative paths of the configuration: they start at its file's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from relay_bot.settings import Settings

_SQLITE: Final = "sqlite:///"


def settled(settings: Settings, base: Path) -> Settings:
    """Give the settings with the database's and the socket's paths made whole.

    The token's file and the plugins' folders are read with `base` where they are used.
    """
    file = sqlite_file(settings.storage.url)
    storage, control = settings.storage, settings.control
    if file is not None and not file.is_absolute():
        rest = storage.url.partition("?")[1:]
        storage = msgspec.structs.replace(storage, url=f"{_SQLITE}{base.absolute() / file}{''.join(rest)}")
    if control.socket:
        control = msgspec.structs.replace(control, socket=str(base.absolute() / control.socket))
    return msgspec.structs.replace(settings, storage=storage, control=control)


def sqlite_file(url: str) -> Path | None:
    """Tell which file a database URL means; `None` where it means none that can be used."""
    name = url.removeprefix(_SQLITE).partition("?")[0]
    return Path(name) if url.startswith(_SQLITE) and name and name != ":memory:" else None
