"""relay-bot: polls, raised hands, moderation and chat history for LiveKit rooms."""

from importlib.metadata import version

__version__ = version("relay-bot")
