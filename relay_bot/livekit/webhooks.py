"""LiveKit's webhooks: hints that save waiting. Signed, and refused when they come a second time."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

from livekit.api import TokenVerifier, WebhookReceiver
from livekit.protocol.webhook import WebhookEvent

from relay_bot.settings import LivekitSettings

_FRESH_SECONDS: Final = 300
"""LiveKit drops a webhook after 30 s of trying; older ones are replays."""
_MAX_SEEN: Final = 20_000


class WebhookRefused(Exception):
    """The webhook is not LiveKit's, or is an old one."""


class Webhooks:
    """Checks webhooks for one API key."""

    def __init__(self, livekit: LivekitSettings) -> None:
        self._receiver = WebhookReceiver(TokenVerifier(livekit.api_key, livekit.api_secret))
        self._seen: OrderedDict[str, None] = OrderedDict()

    def receive(self, body: bytes, authorization: str) -> WebhookEvent | None:
        """Check the signature and the body's hash; `None` for one seen before. Raises `WebhookRefused`."""
        try:
            event = self._receiver.receive(body.decode(), authorization.removeprefix("Bearer "))
        except Exception as error:  # the library raises plain exceptions beside jwt's
            raise WebhookRefused(str(error)) from error
        if not event.id or abs(time.time() - event.created_at) > _FRESH_SECONDS:
            raise WebhookRefused("too old, or without an id")
        if event.id in self._seen:
            return None
        self._seen[event.id] = None
        if len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)
        return event
