"""One identity, one person: who asks the show for a token under a name that is taken gets one of their own.

The text makes the identity from `participantName`, which anybody can type in. So a name that is taken is given with a
number behind it, unless the request proves that it comes from the same person: by a token that they were given before.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import jwt

from relay_bot.control.errors import ApiError
from relay_bot.settings import LivekitSettings

LATELY_SECONDS: Final = 600.0
"""How long a name stays taken after its bearer has left, or was given a token and has not come yet."""
_MAX_GIVEN: Final = 10_000
_MAX_NAME_CHARS: Final = 256
_MAX_TRIES: Final = 1_000
_PROOF_SECONDS: Final = 86_400.0
"""How long after its end a token still proves who somebody is: pages stay open longer than tokens last."""


class ShowNames:
    """Remembers for which names tokens were given lately."""

    def __init__(self) -> None:
        self._given: OrderedDict[tuple[str, str], float] = OrderedDict()

    def choose(self, room: str, name: str, *, proven: bool, taken: Callable[[str], bool]) -> tuple[str, str]:
        """Give the identity and the name for a new token, and take note of it. Raises `ApiError` (409)."""
        if proven or not self._is_taken(room, name, taken):
            return self._give(room, name, name)
        for number in range(2, _MAX_TRIES):
            identity, shown = _numbered(name, f"-{number}"), _numbered(name, f" ({number})")
            if not self._is_taken(room, identity, taken):
                return self._give(room, identity, shown)
        raise ApiError(409, "conflict", "participantName: too many have this name; choose another")

    def _is_taken(self, room: str, identity: str, taken: Callable[[str], bool]) -> bool:
        at = self._given.get((room, identity))
        return (at is not None and time.monotonic() - at < LATELY_SECONDS) or taken(identity)

    def _give(self, room: str, identity: str, shown: str) -> tuple[str, str]:
        self._given[room, identity] = time.monotonic()
        self._given.move_to_end((room, identity))
        if len(self._given) > _MAX_GIVEN:
            self._given.popitem(last=False)
        return identity, shown


def is_own(livekit: LivekitSettings, room: str, name: str, token: Any) -> bool:
    """Tell whether a request proves that it comes from the bearer of a name; raises `ApiError` where it fails to."""
    if token is None:
        return False
    try:
        claims: dict[str, Any] = jwt.decode(  # pyright: ignore[reportUnknownMemberType]  (untyped there)
            token if isinstance(token, str) else "",
            livekit.api_secret,
            algorithms=["HS256"],
            issuer=livekit.api_key,
            leeway=_PROOF_SECONDS,
            options={"require": ["exp", "iss", "sub"]},
        )
    except jwt.InvalidTokenError:
        claims = {}
    grants = claims.get("video")
    if claims.get("sub") != name or not isinstance(grants, dict) or grants.get("room") != room:  # pyright: ignore[reportUnknownMemberType]
        raise ApiError(403, "forbidden", "participantToken: this is no token of this participant for this room")
    return True


def _numbered(name: str, number: str) -> str:
    return name[: _MAX_NAME_CHARS - len(number)] + number
