"""Which effects there are, who does each, and how they are written down: the core's are declared like a plugin's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from relay_bot.effect import CORE_EFFECTS, Effect, EffectContext, Perform, tag_of
from relay_bot.hall.session import Loaded
from relay_bot.wire.refusal import Refuse

if TYPE_CHECKING:
    from relay_bot.hall.services import Services

_MAX_BYTES: Final = 60_000


class Kind(msgspec.Struct, frozen=True):
    """One type of effects: how it is read, and who does it, with which settings."""

    tag: str
    effect_type: type[Effect]
    perform: Perform
    settings: Any


class _Tagged(msgspec.Struct, frozen=True):
    type: str = ""


_tags: Final = msgspec.json.Decoder(_Tagged)


def tag_in(raw: msgspec.Raw) -> str:
    """Give the tag of an encoded effect."""
    return _tags.decode(raw).type


def kinds_of(services: Services) -> dict[str, Kind]:
    """List the types of effects by their tags: the core's, which are done at LiveKit, and the plugins'."""

    async def in_room(effect: Effect, ctx: EffectContext[None]) -> str | None:
        return await services.rooms.perform(ctx.hall, effect)

    found = {tag_of(kind): Kind(tag_of(kind), kind, in_room, None) for kind in CORE_EFFECTS}
    for loaded in services.plugins.values():
        for kind, perform in loaded.spec.plugin_type.effects.items():
            found[tag_of(kind)] = Kind(tag_of(kind), kind, perform, loaded.settings)
    return found


def encode_effect(effect: Effect, plugins: Mapping[str, Loaded]) -> msgspec.Raw:
    """Encode an effect so that it can be read back and done.

    Raises `TypeError` for a type that nobody declares, `msgspec.ValidationError` for a value that is not of its type
    and `Refuse("too_large")`.
    """
    kind = type(effect)
    if kind not in CORE_EFFECTS and not any(kind in each.spec.plugin_type.effects for each in plugins.values()):
        raise TypeError(f"{kind.__name__}: no plugin declares this effect; put it into the plugin's `effects`")
    raw = msgspec.json.encode(effect)
    msgspec.json.decode(raw, type=kind)
    if len(raw) > _MAX_BYTES:
        raise Refuse("too_large", f"the effect {tag_of(kind)} would have {len(raw)} bytes of {_MAX_BYTES}")
    return msgspec.Raw(raw)
