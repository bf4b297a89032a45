"""What a hall is given by the process: the same for all halls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from relay_bot.hall import core
from relay_bot.hall.session import Loaded
from relay_bot.hall.shelf import Shelf
from relay_bot.hall.watchdog import Watchdog
from relay_bot.journal.erasing import Rule
from relay_bot.journal.writer import Journal
from relay_bot.link import Link, Presence
from relay_bot.plugin import Effect, EffectFailed
from relay_bot.settings import Settings

__all__ = ["EffectFailed", "Rooms", "Services"]


class Rooms(Protocol):
    """LiveKit's server API, as far as a hall needs it."""

    def bot_token(self, hall: str) -> str:
        """Make the bot's token for a room."""
        ...

    async def list_rooms(self) -> list[tuple[str, str]]:
        """List the rooms: (name, sid); raises `EffectFailed`."""
        ...

    async def exists(self, hall: str) -> bool:
        """Tell whether the room exists; raises `EffectFailed` where LiveKit can't be asked."""
        ...

    async def name_bot(self, hall: str) -> None:
        """Put the bot's identity into the room's metadata; raises `EffectFailed`."""
        ...

    async def presences(self, hall: str) -> list[Presence]:
        """List who is in the room; raises `EffectFailed`."""
        ...

    async def perform(self, hall: str, effect: Effect) -> str | None:
        """Do an effect; gives `None`, or why it can never be done. Raises `EffectFailed` to be tried again."""
        ...


class Services(msgspec.Struct, frozen=True):
    """The process's parts that halls use."""

    settings: Settings
    journal: Journal
    link: Link
    rooms: Rooms
    plugins: Mapping[str, Loaded]
    watchdog: Watchdog
    shelf: Shelf
    not_loaded: Mapping[str, Rule] = {}
    """What plugins that are not loaded now may have kept of people, see `personal_of_others`."""

    def rules(self) -> dict[str, Rule]:
        """Tell what is to be changed in the journal when somebody is erased, see `relay_bot.journal.erasing`."""
        loaded = {name: rule for each in self.plugins.values() for name, rule in each.spec.rules().items()}
        return {**self.not_loaded, **loaded, **core.TABLE.rules()}
