"""Polls: opened by a backend or a host, counted once for each participant, closed by time or by hand."""

from plugins.polls.plugin import PollsPlugin

__all__ = ["PollsPlugin"]
