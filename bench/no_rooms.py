"""LiveKit's server API for a bench without LiveKit."""

from relay_bot.link import Presence
from relay_bot.plugin import Effect


class NoRooms:
    """LiveKit's server API where there is no LiveKit."""

    def bot_token(self, hall: str) -> str:
        return ""

    async def list_rooms(self) -> list[tuple[str, str]]:
        return []

    async def exists(self, hall: str) -> bool:
        return True

    async def name_bot(self, hall: str) -> None:
        pass

    async def presences(self, hall: str) -> list[Presence]:
        return []

    async def perform(self, hall: str, effect: Effect) -> str | None:
        return None
