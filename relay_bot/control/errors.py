"""Errors of the control endpoint: `{"error":{"type","code","message"}}`, as published."""

from __future__ import annotations

from typing import Any, Final

from relay_bot.wire.refusal import Refuse

_STATUS: Final[dict[str, tuple[int, str]]] = {
    "malformed": (422, "validation_error"),
    "too_large": (422, "validation_error"),
    "unsupported_version": (422, "validation_error"),
    "unknown_type": (422, "validation_error"),
    "invalid_choice": (422, "validation_error"),
    "sender_unknown": (422, "validation_error"),
    "forbidden": (403, "forbidden"),
    "muted": (403, "forbidden"),
    "blocked": (403, "forbidden"),
    "rate_limited": (429, "rate_limited"),
    "hall_not_active": (409, "hall_not_active"),
    "not_found": (404, "not_found"),
    "poll_not_found": (404, "not_found"),
    "busy": (503, "busy"),
    "internal": (500, "internal"),
}
_AS_TYPE: Final = {"malformed", "too_large", "unsupported_version", "unknown_type"}
"""Codes that are told as their type: the published text knows no finer ones."""


class ApiError(Exception):
    """An answer that is an error: the HTTP status, and what goes into its body."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code or kind
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms

    def body(self) -> dict[str, Any]:
        """Give the published form; `field` is ours, beside it."""
        error: dict[str, Any] = {"type": self.kind, "code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        if self.retry_after_ms is not None:
            error["retry_after_ms"] = self.retry_after_ms
        return {"error": error}


def from_refusal(refusal: dict[str, Any]) -> ApiError:
    """Make the HTTP error for a hall's refusal (the payload of an `error` envelope)."""
    code = str(refusal["code"])
    status, kind = _STATUS.get(code, (409, "conflict"))
    return ApiError(
        status,
        kind,
        str(refusal["message"]),
        code=kind if code in _AS_TYPE else code,
        field=refusal.get("field"),
        retry_after_ms=refusal.get("retry_after_ms"),
    )


def from_refuse(refusal: Refuse) -> ApiError:
    """Make the HTTP error for a refusal that was raised on the way to the hall."""
    return from_refusal(refusal.payload(None))
