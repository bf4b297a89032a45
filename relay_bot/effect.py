"""Effects: what a plugin wants done outside, and how it is done.

A type of effect and the function that does it (its performer) belong together. The core has two types; a plugin
declares its own in `Plugin.effects`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from relay_bot.journal.identities import Identity

C = TypeVar("C")


class Effect(msgspec.Struct, frozen=True, tag=True):
    """Something that must happen outside: owed from the commit on until it succeeded, also over a restart.

    Its tag is its name in the journal: `class NotifyBackend(Effect, frozen=True, tag="notify_backend")`. Fields that
    are added later need a default. Those with a field `identity` are done in their order for each participant.
    """


class SetPermissions(Effect, frozen=True, tag="set_permissions"):
    """Change some of a participant's permissions at the SFU; `None` leaves one as it is."""

    identity: Identity
    can_publish: bool | None = None
    can_publish_data: bool | None = None
    can_subscribe: bool | None = None


class RemoveParticipant(Effect, frozen=True, tag="remove_participant"):
    """Disconnect a participant from the room. Their token stays valid: a ban is checked at every join.

    `sid` names the connection (`Participant.sid`): who has come back with a new one meanwhile stays. Without it
    whoever has the identity is disconnected.
    """

    identity: Identity
    sid: str = ""


CORE_EFFECTS: Final[tuple[type[Effect], ...]] = (SetPermissions, RemoveParticipant)
"""What every hall can do, at LiveKit."""


def tag_of(kind: type[Effect]) -> str:
    """Give the name of a type of effects in the journal; raises `TypeError` for a type that can't be read back."""
    if not (isinstance(kind, type) and issubclass(kind, Effect)):  # pyright: ignore[reportUnnecessaryIsInstance]  (a plugin may be untyped)
        raise TypeError(f"{kind!r}: expected a subclass of Effect")
    config = kind.__struct_config__
    if config.tag_field != "type" or not isinstance(config.tag, str) or config.array_like:
        raise TypeError(f'{kind.__qualname__}: expected a tag, as in class {kind.__qualname__}(Effect, tag="…")')
    try:
        msgspec.json.Decoder(kind)
    except TypeError as error:
        raise TypeError(f"{kind.__qualname__}: {error}") from None
    return config.tag


class EffectFailed(Exception):
    """An effect could not be done now; it is tried again. Operators are shown the text."""


class EffectContext(msgspec.Struct, Generic[C], frozen=True):
    """What a performer may know of the effect that it does.

    `id` is the same for every attempt at an effect, and no other's: whoever is told can know a repetition by it.
    `attempt` counts from 1, since the bot's start. `settings` are those of the plugin that declares the effect.
    """

    hall: str
    id: str
    attempt: int
    settings: C


Perform = Callable[[Any, EffectContext[Any]], Awaitable[str | None]]
"""`async def notify(effect: NotifyBackend, ctx: EffectContext[Settings]) -> str | None`.

It returns `None` when the effect is done, or in a few words why it never can be. Whatever it raises is the failure of
this attempt: the effect is tried again, up to the bounds in `effects` of the configuration. It may be called again
though it was done (after a crash), and is cancelled at the time limit.
"""
