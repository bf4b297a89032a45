"""Who may see what of a poll. Whoever may not is sent nothing: see the table in the README."""

from __future__ import annotations

from plugins.polls.state import Poll
from relay_bot.plugin import Role


def is_host(role: Role) -> bool:
    """Tell whether a role sees everything."""
    return role >= Role.HOST


def is_addressed(poll: Poll, identity: str) -> bool:
    """Tell whether a poll was sent to a participant."""
    return poll.rules.audience is None or identity in poll.rules.audience


def sees_results(poll: Poll, *, host: bool, voted: bool) -> bool:
    """Tell whether someone to whom the poll was sent sees its results now."""
    if host:
        return True
    if poll.archived_at is not None or poll.opened_at is None:
        return False
    mode = poll.rules.results
    if mode == "hosts":
        return False
    if poll.published or mode == "live":
        return True
    if mode == "held":
        return False
    return poll.closed_at is not None or (mode == "after_vote" and voted)


def is_public(poll: Poll) -> bool:
    """Tell whether all to whom the poll was sent see its results now."""
    return sees_results(poll, host=False, voted=False)
