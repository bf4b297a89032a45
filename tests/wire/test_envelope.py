"""The envelope: what passes, what is refused, and that nothing else than a refusal ever comes out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay_bot.wire.envelope import MAX_DEPTH, MAX_ENVELOPE_BYTES, decode_envelope, encode_envelope
from relay_bot.wire.refusal import Refuse


def packet(**fields: Any) -> bytes:
    empty: dict[str, Any] = {}
    whole: dict[str, Any] = {"relay_version": "1", "type": "wave", "payload": empty, **fields}
    return json.dumps({key: value for key, value in whole.items() if value is not ...}).encode()


def refusal_of(data: bytes) -> Refuse:
    with pytest.raises(Refuse) as raised:
        decode_envelope(data)
    return raised.value


def sized(size: int) -> bytes:
    empty = packet(payload={"text": ""})
    return packet(payload={"text": "x" * (size - len(empty))})


def test_an_envelope_is_read_with_its_payload_left_for_later() -> None:
    envelope = decode_envelope(packet(type="wave", id="m1", sender_id="ann", payload={"note": "hi"}))
    assert (envelope.type, envelope.id, envelope.sender_id) == ("wave", "m1", "ann")
    assert msgspec.json.decode(envelope.payload) == {"note": "hi"}


def test_the_published_example_is_read() -> None:
    data = (
        b'{"relay_version":"1","type":"poll","sender_id":null,"timestamp":"2026-01-31T10:00:00.000Z",'
        b'"payload":{"question":"Tea?","options":["yes","no"]}}'
    )
    assert decode_envelope(data).type == "poll"


def test_the_largest_packet_passes_and_one_byte_more_is_too_large() -> None:
    assert MAX_ENVELOPE_BYTES == 15_000
    assert len(sized(15_000)) == 15_000
    decode_envelope(sized(15_000))
    assert refusal_of(sized(15_001)).code == "too_large"


def nested(levels: int) -> bytes:
    """An envelope whose brackets nest so deep, its own brace included."""
    return packet(payload=...)[:-1] + b', "payload": {"a": ' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}}"


def test_the_deepest_nesting_passes_and_one_level_more_is_refused() -> None:
    decode_envelope(nested(MAX_DEPTH))
    refusal = refusal_of(nested(MAX_DEPTH + 1))
    assert refusal.code == "malformed"
    assert "nested" in refusal.message


def test_brackets_in_texts_and_many_flat_ones_are_not_nesting() -> None:
    decode_envelope(packet(payload={"text": '[{"\\' * 100}))
    decode_envelope(packet(payload={"rows": [[]] * 200}))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\xff\xfe", b"[]", b'"text"', b"{", b'{"relay_version":"1","type":"a"', b"[" * 14_000],
)
def test_what_is_no_json_object_is_malformed(data: bytes) -> None:
    assert refusal_of(data).code == "malformed"


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_texts_that_are_not_utf8_are_malformed(text: bytes) -> None:
    assert refusal_of(b'{"relay_version":"1","type":"' + text + b'","payload":{}}').code == "malformed"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b"0x1"])
def test_numbers_that_json_does_not_have_are_malformed(number: bytes) -> None:
    assert refusal_of(b'{"relay_version":"1","type":"wave","payload":{"n":' + number + b"}}").code == "malformed"


def test_a_missing_version_is_malformed_and_another_one_unsupported() -> None:
    missing = refusal_of(packet(relay_version=...))
    assert (missing.code, missing.field) == ("malformed", "relay_version")
    another = refusal_of(packet(relay_version="2"))
    assert (another.code, another.field) == ("unsupported_version", "relay_version")
    assert '"1"' in another.message


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": ""}, "type"),
        ({"type": "x" * 65}, "type"),
        ({"type": 7}, "type"),
        ({"type": ...}, None),
        ({"id": ""}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": 7}, "id"),
        ({"sender_id": 7}, "sender_id"),
        ({"relay_version": 1}, "relay_version"),
        ({"payload": []}, "payload"),
        ({"payload": None}, "payload"),
        ({"payload": "{}"}, "payload"),
        ({"payload": 1}, "payload"),
    ],
)
def test_a_field_out_of_bounds_is_named(fields: dict[str, Any], field: str | None) -> None:
    refusal = refusal_of(packet(**fields))
    assert (refusal.code, refusal.field) == ("malformed", field)
    if field is None:
        assert "`type`" in refusal.message


def test_bounds_themselves_pass() -> None:
    envelope = decode_envelope(packet(type="t" * 64, id="é" * 64))
    assert (len(envelope.type), len(envelope.id or "")) == (64, 64)


def test_optional_fields_may_be_left_out_or_null() -> None:
    envelope = decode_envelope(packet(payload=..., id=None, sender_id=None))
    assert (envelope.id, envelope.sender_id, bytes(envelope.payload)) == (None, None, b"{}")


def test_unknown_fields_are_ignored() -> None:
    assert decode_envelope(packet(colour="blue", timestamp="whenever", nested={"a": [1]})).type == "wave"


def test_spaces_around_the_payload_do_no_harm() -> None:
    assert decode_envelope(b' {"relay_version":"1", "type":"wave", "payload" : \n\t {"a":1} } ').type == "wave"


def test_what_the_bot_says_is_an_envelope_as_published() -> None:
    data = encode_envelope("poll", {"question": "Tea?"}, sender_id="ann", at_ms=1_769_853_600_000)
    assert json.loads(data) == {
        "relay_version": "1",
        "type": "poll",
        "sender_id": "ann",
        "timestamp": "2026-01-31T10:00:00.000Z",
        "payload": {"question": "Tea?"},
    }
    assert json.loads(encode_envelope("poll", {}, at_ms=0))["sender_id"] is None


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
_names = st.sampled_from(["relay_version", "type", "sender_id", "id", "payload", "timestamp", "x"])
_almost = st.dictionaries(_names, _json | st.just("1"), max_size=7).map(
    lambda fields: json.dumps({"relay_version": "1", "type": "wave"} | fields).encode()
)
_cut = st.tuples(_almost, st.integers(0, 80), st.binary(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | _almost | _cut)
@example(b'{"relay_version":"1","type":"\\ud800","payload":{}}')
@example(b'{"relay_version":"1","type":"a","id":"\\udfff\\ud800","payload":{}}')
@example(b'{"relay_version":"1","type":"a","payload":{"n":1e999}}')
@example(b"[" * 15_000)
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        envelope = decode_envelope(data)
    except Refuse:
        return
    answer = encode_envelope(envelope.type, {"ids": [envelope.id]}, sender_id=envelope.sender_id, at_ms=0)
    assert msgspec.json.decode(answer)["type"] == envelope.type
