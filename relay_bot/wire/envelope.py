"""The Relay v1 envelope: what every packet on the data channel is, both ways."""

import re
from typing import Any, Final

import msgspec

from relay_bot.wire.clock import iso
from relay_bot.wire.refusal import Refuse

RELAY_VERSION: Final = "1"
MAX_ENVELOPE_BYTES: Final = 15_000
MAX_DEPTH: Final = 32
MAX_ID_CHARS: Final = 64
MAX_TYPE_CHARS: Final = 64
TOPIC: Final = "relay"
"""The topic of the packets that the bot sends; it listens on every topic."""

_OPEN_BRACE: Final = ord("{")
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """An inbound envelope, its payload not yet decoded: that waits until a plugin wants the type.

    `sender_id` is a claim of the client's and nothing more (see `relay_bot.hall.gate`).
    """

    type: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    relay_version: str = ""
    sender_id: str | None = None
    id: str | None = None


class _Outbound(msgspec.Struct, frozen=True, gc=False):
    relay_version: str
    type: str
    sender_id: str | None
    timestamp: str
    payload: Any


_decoder = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()


def field_of(error: msgspec.ValidationError, root: str) -> tuple[str, str]:
    """Split msgspec's message into what was wrong and the path of the field, `root` in place of `$`."""
    text, _, path = str(error).partition(" - at `")
    path = path.rstrip("`")
    if path.startswith("key` in `"):  # the object's, not one of its fields'
        text, path = f"{text}, in a key", path.removeprefix("key` in `")
    return text, root + path.removeprefix("$")


def too_deep(data: bytes) -> bool:
    """Tell whether JSON text nests deeper than `MAX_DEPTH`, without decoding it."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False  # the common case: too few brackets for it to be possible
    depth = 0
    for byte in _STRINGS.sub(b"", data):
        if byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif byte in b"]}":
            depth -= 1
    return False


def decode_envelope(data: bytes) -> Envelope:
    """Decode and check an inbound envelope; raises `Refuse` (too_large, malformed, unsupported_version)."""
    if len(data) > MAX_ENVELOPE_BYTES:
        raise Refuse("too_large", f"an envelope has at most {MAX_ENVELOPE_BYTES} bytes, this one has {len(data)}")
    if too_deep(data):
        raise Refuse("malformed", f"JSON nested deeper than {MAX_DEPTH} levels")
    try:
        envelope = _decoder.decode(data)
    except msgspec.ValidationError as error:
        text, path = field_of(error, "")
        raise Refuse("malformed", text, field=path.removeprefix(".") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refuse("malformed", "the packet is not valid UTF-8 JSON") from None
    _check(envelope)
    return envelope


def _check(envelope: Envelope) -> None:
    if envelope.relay_version != RELAY_VERSION:
        if envelope.relay_version:
            raise Refuse(
                "unsupported_version",
                f'this bot speaks relay_version "{RELAY_VERSION}"',
                field="relay_version",
            )
        raise Refuse("malformed", 'expected "relay_version":"1"', field="relay_version")
    if not 1 <= len(envelope.type) <= MAX_TYPE_CHARS:
        raise Refuse("malformed", f"a type has 1 to {MAX_TYPE_CHARS} characters", field="type")
    if envelope.id is not None and not 1 <= len(envelope.id) <= MAX_ID_CHARS:
        raise Refuse("malformed", f"an id has 1 to {MAX_ID_CHARS} characters", field="id")
    if memoryview(envelope.payload)[0] != _OPEN_BRACE:
        raise Refuse("malformed", "expected an object", field="payload")


def encode_envelope(kind: str, payload: Any, *, sender_id: str | None = None, at_ms: int) -> bytes:
    """Encode an outbound envelope; `sender_id` is an identity that the SFU vouched for, `None` = the bot."""
    return _encoder.encode(_Outbound(RELAY_VERSION, kind, sender_id, iso(at_ms), payload))
