"""Payloads: typed, and an error says which field was wrong."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_bot.wire.body import Body, decode_body
from relay_bot.wire.refusal import Refuse


class Colour(msgspec.Struct, frozen=True):
    name: str


class Paint(Body, type="paint"):
    title: Annotated[str, msgspec.Meta(min_length=1)]
    layers: int = 1
    colours: list[Colour] = []


_decoder = msgspec.json.Decoder(Paint)


def decode(payload: bytes) -> Paint:
    return decode_body(_decoder, msgspec.Raw(payload))


def refusal_of(payload: bytes) -> Refuse:
    with pytest.raises(Refuse) as raised:
        decode(payload)
    return raised.value


def test_a_body_names_its_type_and_is_frozen() -> None:
    assert Paint.wire_type == "paint"
    with pytest.raises(AttributeError):
        Paint("wall").title = "door"  # type: ignore[misc]


def test_a_payload_becomes_a_body() -> None:
    assert decode(b'{"title":"wall","colours":[{"name":"red"}]}') == Paint("wall", 1, [Colour("red")])


def test_unknown_fields_are_ignored() -> None:
    assert decode(b'{"title":"wall","brush":{"size":3}}') == Paint("wall")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"title": "wall", "layers": "two"}, "payload.layers"),
        ({"title": ""}, "payload.title"),
        ({"title": "wall", "colours": {}}, "payload.colours"),
        ({"title": "wall", "colours": [{"name": "red"}, {"name": 2}]}, "payload.colours[1].name"),
        ({"layers": 2}, "payload"),
    ],
)
def test_the_field_that_is_wrong_is_named(payload: dict[str, Any], field: str) -> None:
    refusal = refusal_of(json.dumps(payload).encode())
    assert (refusal.code, refusal.field) == ("malformed", field)


def test_a_missing_field_is_named_in_the_message() -> None:
    assert "`title`" in refusal_of(b"{}").message


@pytest.mark.parametrize("payload", [b'{"title":"\xff"}', b'{"title":"wall","layers":1e999}', b'{"title":"\\ud800"}'])
def test_a_payload_that_is_not_valid_is_malformed(payload: bytes) -> None:
    assert refusal_of(payload).code == "malformed"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=12).map(lambda text: b'{"title":"' + text + b'"}'))
def test_whatever_comes_is_read_or_refused(payload: bytes) -> None:
    with contextlib.suppress(Refuse):
        assert isinstance(decode(payload), Paint)
