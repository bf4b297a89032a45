"""Where identities stand in typed structures: found once for each type, and renamed there and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import inspect

Identity = Annotated[str, msgspec.Meta(extra={"identity": True})]
"""A participant's identity. What is typed so is renamed when that participant is erased; no other text is."""


class Named(msgspec.Struct, frozen=True, tag="identity"):
    """The value itself is an identity."""


class Items(msgspec.Struct, frozen=True, tag="items"):
    """Each element of a list is such a place."""

    each: Where


class Places(msgspec.Struct, frozen=True, tag="places"):
    """Elements of a list, by their number."""

    at: dict[str, Where]


class Entries(msgspec.Struct, frozen=True, tag="entries"):
    """Keys, values or both of a mapping."""

    key: Where | None
    value: Where | None


class Fields(msgspec.Struct, frozen=True, tag="fields"):
    """Fields of an object by their names in JSON; with a `tag`, of an object with that value in `tag_field`."""

    of: dict[str, Where]
    tag_field: str = ""
    tag: str | int | None = None


class Either(msgspec.Struct, frozen=True, tag="either"):
    """Whichever of these the value is."""

    of: tuple[Where, ...]


class Again(msgspec.Struct, frozen=True, tag="again"):
    """The structure of this name, which contains itself."""

    name: str


class Whole(msgspec.Struct, frozen=True, tag="whole"):
    """A structure that contains itself: inside, `Again` with this name stands for it."""

    name: str
    of: Where


Where = Named | Items | Places | Entries | Fields | Either | Again | Whole


def where(kind: Any) -> Where | None:
    """Find the places of a type at which an identity may stand; `None` where there is none."""
    return _Search().find(inspect.type_info(kind))


class _Search:
    """Walks one type; structures that contain themselves are named, and found once."""

    def __init__(self) -> None:
        self._inside: list[str] = []
        self._repeated: set[str] = set()

    def find(self, kind: inspect.Type) -> Where | None:
        match kind:
            case inspect.Metadata(type=inner):
                extra: dict[str, Any] | None = cast("Any", kind).extra  # its type has no parameters
                return Named() if extra and extra.get("identity") else self.find(inner)
            case inspect.CollectionType(item_type=item):  # lists, sets and tuples of any length
                each = self.find(item)
                return None if each is None else Items(each)
            case inspect.TupleType(item_types=items):
                return _places([self.find(item) for item in items])
            case inspect.DictType(key_type=key, value_type=value):
                found = Entries(self.find(key), self.find(value))
                return None if found.key is None and found.value is None else found
            case inspect.UnionType(types=types):
                parts = [part for each in types if (part := self.find(each)) is not None]
                return Either(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None
            case inspect.StructType() | inspect.TypedDictType() | inspect.DataclassType() | inspect.NamedTupleType():
                return self._fields(kind)
            case _:
                return None

    def _fields(
        self, kind: inspect.StructType | inspect.TypedDictType | inspect.DataclassType | inspect.NamedTupleType
    ) -> Where | None:
        name = f"{kind.cls.__module__}.{kind.cls.__qualname__}"
        if name in self._inside:
            self._repeated.add(name)
            return Again(name)
        self._inside.append(name)
        found = {field.encode_name: self.find(field.type) for field in kind.fields}
        self._inside.pop()
        places = {field: place for field, place in found.items() if place is not None}
        if not places or all(isinstance(place, Again) and place.name == name for place in places.values()):
            return None
        tag = kind.tag if isinstance(kind, inspect.StructType) else None
        if isinstance(kind, inspect.NamedTupleType) or (isinstance(kind, inspect.StructType) and kind.array_like):
            made = _places([*([] if tag is None else [None]), *found.values()])
        else:
            tag_field = (kind.tag_field if isinstance(kind, inspect.StructType) else None) or ""
            made = Fields(places, tag_field, tag)
        return Whole(name, made) if made is not None and name in self._repeated else made


def _places(found: list[Where | None]) -> Where | None:
    places = {str(number): place for number, place in enumerate(found) if place is not None}
    return Places(places) if places else None


Wholes = Mapping[str, "Where"]
_NO_WHOLES: Final[Wholes] = {}


def renamed(value: Any, at: Where, identity: str, pseudonym: str, wholes: Wholes = _NO_WHOLES) -> Any:
    """Give a JSON value with the pseudonym for the identity at these places; the same value where it is at none."""
    match at:
        case Named():
            return pseudonym if value == identity else value
        case Items(each) if isinstance(value, list):
            return [renamed(part, each, identity, pseudonym, wholes) for part in cast("list[Any]", value)]
        case Places(places) if isinstance(value, list):
            return [
                part if (place := places.get(str(number))) is None
                else renamed(part, place, identity, pseudonym, wholes)
                for number, part in enumerate(cast("list[Any]", value))
            ]  # fmt: skip
        case Entries(key, inner) if isinstance(value, dict):
            return {
                name if key is None else renamed(name, key, identity, pseudonym, wholes):
                part if inner is None else renamed(part, inner, identity, pseudonym, wholes)
                for name, part in cast("dict[str, Any]", value).items()
            }  # fmt: skip
        case Fields(fields, tag_field, tag) if isinstance(value, dict):
            found = cast("dict[str, Any]", value)
            if tag is not None and found.get(tag_field) != tag:
                return found
            return {
                name: part if (place := fields.get(name)) is None
                else renamed(part, place, identity, pseudonym, wholes)
                for name, part in found.items()
            }  # fmt: skip
        case Either(places):
            for place in places:
                value = renamed(value, place, identity, pseudonym, wholes)
            return value
        case Whole(name, inner):
            return renamed(value, inner, identity, pseudonym, {**wholes, name: inner})
        case Again(name):
            return renamed(value, wholes[name], identity, pseudonym, wholes)
        case _:
            return value
