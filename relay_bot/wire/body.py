"""Typed payloads: a `Body` is the payload of one type, a `Request` the parameters of one HTTP route."""

from typing import Any, ClassVar, TypeVar, cast, dataclass_transform

import msgspec

from relay_bot.wire.envelope import field_of
from relay_bot.wire.refusal import Refuse


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class _BodyMeta(msgspec.StructMeta):
    """Lets a body name its wire type in the class line: `class Wave(Body, type="wave")`."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, type: str = "", **config: Any
    ) -> "_BodyMeta":
        config.setdefault("frozen", True)
        made = super().__new__(mcls, name, bases, namespace, **config)
        if type:
            cast(Any, made).wire_type = type
        return made


class Body(msgspec.Struct, metaclass=_BodyMeta, frozen=True):
    """The payload of one envelope type. Unknown fields are ignored, as the wire asks."""

    wire_type: ClassVar[str] = ""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one HTTP route takes, from its path, its query and its JSON body together."""

    needed: ClassVar[tuple[str, ...]] = ()
    """Names of fields with a default that the operation asks for itself, so as to say in its own words what is
    missing: `/openapi.json` calls them required."""


B = TypeVar("B")


def decode_body(decoder: msgspec.json.Decoder[B], payload: msgspec.Raw) -> B:
    """Decode a payload; raises `Refuse("malformed")` that names the field."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        text, path = field_of(error, "payload")
        raise Refuse("malformed", text, field=path) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refuse("malformed", "the payload is not valid UTF-8 JSON", field="payload") from None
