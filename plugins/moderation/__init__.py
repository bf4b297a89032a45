"""Moderation: mutes, kicks and bans, enforced at the SFU and kept through restarts."""

from plugins.moderation.plugin import ModerationPlugin

__all__ = ["ModerationPlugin"]
