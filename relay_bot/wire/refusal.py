"""Why a message was not taken: the codes of the wire, each with a text that says what to do next."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final, Literal

Code = Literal[
    "malformed",
    "too_large",
    "unsupported_version",
    "unknown_type",
    "sender_unknown",
    "forbidden",
    "muted",
    "rate_limited",
    "hall_not_active",
    "poll_not_found",
    "poll_closed",
    "poll_exists",
    "already_voted",
    "invalid_choice",
    "not_raised",
    "not_invited",
    "invite_expired",
    "stage_full",
    "blocked",
    "not_found",
    "busy",
    "internal",
]

TRANSIENT: Final[frozenset[str]] = frozenset({"busy", "rate_limited", "sender_unknown", "internal"})
"""Refusals that the same message, sent again with the same id, may outlive: they are not remembered."""


class Refuse(Exception):
    """Raise it in a handler to refuse the message: nothing of it is kept, the sender hears why.

    `field` is the path of what was wrong (`payload.options[2]`), `retry_after_ms` when to try again.
    """

    def __init__(
        self, code: Code, message: str, *, field: str | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(code, message)
        self.code: Code = code
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms

    def payload(self, message_id: str | None) -> dict[str, Any]:
        """Give the payload of the `error` envelope that answers message `message_id`."""
        found: dict[str, Any] = {"id": message_id, "code": self.code, "message": self.message}
        if self.field is not None:
            found["field"] = self.field
        if self.retry_after_ms is not None:
            found["retry_after_ms"] = self.retry_after_ms
        return found


def unknown_type(kind: str, known: Iterable[str]) -> Refuse:
    """Make the refusal for a type that nobody takes, with the known one that is nearest."""
    near = get_close_matches(kind, sorted(known), 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return Refuse("unknown_type", f"no plugin here takes messages of type {kind!r}{hint}", field="type")
