"""Chat: every message kept with its true sender, history for those who come late, reactions, deletion, export."""

from plugins.chat.plugin import ChatPlugin

__all__ = ["ChatPlugin"]
