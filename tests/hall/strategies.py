"""Random messages for any plugin, made from the types of its bodies: a new plugin is covered as soon as it loads."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from relay_bot.plugin import Body

PEOPLE = ("alice", "bob", "carol", "dave")
_WORDS = (*PEOPLE, "p1", "p2", "yes", "no", "maybe", "👍", "open", "hosts", "mute", "ban")


def payloads(body_type: type[Body]) -> st.SearchStrategy[dict[str, Any]]:
    """Make payloads that decode as this body: most fields plausible, optional ones there or not."""
    info = inspect.type_info(body_type)
    assert isinstance(info, inspect.StructType)
    required = {field.encode_name: _value(field.type) for field in info.fields if field.required}
    optional = {field.encode_name: _value(field.type) for field in info.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional)


def _value(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StrType():
            return st.sampled_from(_WORDS)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            low = kind.ge if kind.ge is not None else -1
            high = kind.le if kind.le is not None else low + 6
            return st.integers(low, min(high, low + 6))
        case inspect.FloatType():
            return st.sampled_from([0.5, 1.0, 30.0])
        case inspect.NoneType():
            return st.none()
        case inspect.UnionType():
            return st.one_of([_value(part) for part in kind.types])
        case inspect.LiteralType():
            return st.sampled_from(list(kind.values))
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            least = kind.min_length or 0
            return st.lists(_value(kind.item_type), min_size=least, max_size=least + 3)
        case inspect.DictType():
            return st.dictionaries(_value(kind.key_type), _value(kind.value_type), max_size=2)
        case inspect.StructType():
            required = {field.encode_name: _value(field.type) for field in kind.fields if field.required}
            optional = {field.encode_name: _value(field.type) for field in kind.fields if not field.required}
            return st.fixed_dictionaries(required, optional=optional)
        case _:
            return st.sampled_from([1, "yes"])


def is_valid(body_type: type[Body], payload: dict[str, Any]) -> bool:
    """Tell whether a payload decodes as the body."""
    try:
        msgspec.convert(payload, body_type)
    except msgspec.ValidationError:
        return False
    return True
