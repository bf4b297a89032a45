"""Judging: which texts of a message others will see, and what a plugin says of each before it is decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeVar, cast

import msgspec
from msgspec import inspect

from relay_bot.wire.refusal import Code

T = TypeVar("T")

_KEY: Final = "public"


def public(what: str) -> msgspec.Meta:
    """Mark a field whose text others will see, and say what it is: `Annotated[str, public("chat text")]`.

    It may stand anywhere in a type: `list[Annotated[str, public("option")]]`.
    """
    # The handlers refuse an empty one in words of their own.
    return msgspec.Meta(extra={_KEY: what}, extra_json_schema={"minLength": 1})


PUBLIC: Final = public("text")
Public = Annotated[T, PUBLIC]
"""`text: Public[str]`: a text that others will see, of no special kind."""


class Content(msgspec.Struct, frozen=True):
    """One text that others will see.

    `kind` is the message's type (of a route, its plugin), `field` the path of the text (`payload.options[2]`), `what`
    the label that the field is marked with.
    """

    text: str
    what: str
    kind: str
    field: str


class Verdict(msgspec.Struct, frozen=True):
    """What is to become of a message, by one of its texts. Of several verdicts the strictest counts.

    From the strictest: refuse, hold, replace, allow.
    """

    action: Literal["allow", "replace", "hold", "refuse"]
    text: str = ""
    code: Code = "blocked"

    @classmethod
    def allow(cls) -> Verdict:
        """Let it pass."""
        return cls("allow")

    @classmethod
    def replace(cls, text: str) -> Verdict:
        """Let the message pass with this text in the place of the one that was judged."""
        return cls("replace", text)

    @classmethod
    def hold(cls, reason: str) -> Verdict:
        """Keep the message until a moderator has decided; they are told the reason."""
        return cls("hold", reason)

    @classmethod
    def refuse(cls, code: Code, message: str) -> Verdict:
        """Refuse the message; its sender hears why, and which field it was."""
        return cls("refuse", message, code)


class Shape(msgspec.Struct):
    """Where public texts stand in a type: in itself, in each element, in fields (by attribute: its name in JSON)."""

    what: str | None = None
    each: Shape | None = None
    fields: dict[str, tuple[str, Shape]] = {}

    def is_filled(self, body: msgspec.Struct) -> bool:
        """Tell, quickly, whether any of the fields of a body may have a text: most votes have none."""
        for name in self.fields:  # noqa: SIM110  (any() makes a generator, which takes three times as long)
            if getattr(body, name, None):
                return True
        return False

    def __bool__(self) -> bool:
        return self.what is not None or self.each is not None or bool(self.fields)


def public_texts(kind: type[msgspec.Struct]) -> Shape | None:
    """Find where a type has public texts; `None` where it has none."""
    return _shape(inspect.type_info(kind), ()) or None


def _shape(kind: inspect.Type, inside: tuple[type, ...]) -> Shape:
    match kind:
        case inspect.Metadata(type=inner):
            extra: dict[str, Any] | None = cast("Any", kind).extra  # its type has no parameters
            found = _shape(inner, inside)
            return Shape(extra[_KEY], found.each, found.fields) if extra and _KEY in extra else found
        case inspect.CollectionType(item_type=item):
            return Shape(each=_shape(item, inside) or None)
        case inspect.DictType(value_type=item):
            return Shape(each=_shape(item, inside) or None)
        case inspect.UnionType(types=types):
            return _merged([_shape(each, inside) for each in types])
        case inspect.StructType(cls=cls, fields=fields) if cls not in inside:
            shapes = {each.name: (each.encode_name, _shape(each.type, (*inside, cls))) for each in fields}
            return Shape(fields={name: found for name, found in shapes.items() if found[1]})
        case _:
            return Shape()


def _merged(shapes: list[Shape]) -> Shape:
    made = Shape()
    for shape in shapes:
        made = Shape(made.what or shape.what, made.each or shape.each, made.fields | shape.fields)
    return made


Steps = tuple[str | int, ...]


def texts_of(value: Any, shape: Shape, steps: Steps = ()) -> Iterator[tuple[Steps, str, str]]:
    """List the public texts of a value: the steps to it, the text, and what it is."""
    if isinstance(value, str):
        if shape.what is not None and value:
            yield steps, value, shape.what
    elif isinstance(value, list | tuple | set | frozenset):
        if shape.each is not None:
            for number, part in enumerate(cast("list[Any]", value)):
                yield from texts_of(part, shape.each, (*steps, number))
    elif isinstance(value, dict):
        if shape.each is not None:
            for name, part in cast("dict[str, Any]", value).items():
                yield from texts_of(part, shape.each, (*steps, name))
    elif shape.fields:
        for name, (encoded, inner) in shape.fields.items():
            part = getattr(value, name, None)
            if part is not None:
                yield from texts_of(part, inner, (*steps, encoded))


def path_of(root: str, steps: Steps) -> str:
    """Give the path of a field as errors name it: `payload.options[2]`."""
    path = root
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


B = TypeVar("B", bound=msgspec.Struct)


def with_texts(body: B, texts: dict[Steps, str]) -> B:
    """Give a body with other texts at these places; raises `msgspec.ValidationError` where one can't stand there."""
    data: Any = msgspec.to_builtins(body)
    for steps, text in texts.items():
        part = data
        for step in steps[:-1]:
            part = part[step]
        part[steps[-1]] = text
    return msgspec.convert(data, type(body))
