"""Announcements: a word to everybody, shown for a while to those who come later as well."""

from plugins.announcements.plugin import AnnouncementsPlugin

__all__ = ["AnnouncementsPlugin"]
