"""Answers that are kept, so that a message that comes again is not decided again.

What was answered can quote others, so nobody reads it out of the database: it is enciphered, and the key follows from
the sender and the id that they chose, of which the database has a hash alone. Only the same message opens it.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import blake2b
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from relay_bot.hall.message import ACKED, ROW_BYTES, Answered
from relay_bot.observe import metrics

DEFAULT_BYTES: Final = 16_000_000
BYTES_AN_ANSWER: Final = 64
"""What an answer counts beside its own bytes: its key, and its place in memory and in the table."""

_NONCE: Final = 12
_ACK: Final = b""
GONE: Final = b"\0"
"""In the place of an answer that was erased: it was done, and that is all that is known of it."""
_RESULT: Final = b"\1"
_ERROR: Final = b"\2"

ANSWER_GONE: Final = Answered()
"""The answer to a message whose answer is `GONE`: it was taken, and nothing more can be told of it."""

ANSWER_GONE_TEXT: Final = "this Idempotency-Key was used before, and its answer is erased: use a new one to ask again"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Answered)


def seal(answer: Answered, key: bytes) -> bytes:
    """Encode an answer for the journal, readable with this `answer_key` only; a plain ack is empty."""
    if answer is ACKED:
        return _ACK
    nonce = secrets.token_bytes(_NONCE)
    return (
        (_RESULT if answer.error is None else _ERROR)
        + nonce
        + _cipher(key).encrypt(nonce, _encoder.encode(answer), None)
    )


def unseal(data: bytes, key: bytes) -> Answered:
    """Read an answer from the journal."""
    if data == _ACK:
        return ACKED
    if data == GONE:
        return ANSWER_GONE
    return _decoder.decode(_cipher(key).decrypt(data[1 : 1 + _NONCE], data[1 + _NONCE :], None))


def _cipher(key: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(blake2b(key[ROW_BYTES:], digest_size=32, person=b"relay answer").digest())


class AnswerMemory:
    """The newest answers by their keys, sealed, as many as the bound in bytes allows; the oldest go first."""

    def __init__(self, most_bytes: int = DEFAULT_BYTES) -> None:
        self._answers: OrderedDict[bytes, bytes] = OrderedDict()
        self._most_bytes = most_bytes
        self._bytes = 0
        self._evicted: list[bytes] = []

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def most(self) -> int:
        """How many answers there can be at all."""
        return max(1, self._most_bytes // BYTES_AN_ANSWER)

    def get(self, key: bytes) -> Answered | None:
        """Find what was answered to the message with this key."""
        found = self._answers.get(key[:ROW_BYTES])
        return None if found is None else unseal(found, key)

    def put(self, key: bytes, sealed: bytes) -> None:
        """Remember a sealed answer; over the bound the oldest are forgotten, a sixteenth of all at once."""
        row = key[:ROW_BYTES]
        before = self._answers.pop(row, None)
        if before is not None:
            self._bytes -= len(before) + BYTES_AN_ANSWER
        self._answers[row] = sealed
        self._bytes += len(sealed) + BYTES_AN_ANSWER
        if self._bytes > self._most_bytes:
            self._evict()

    def _evict(self) -> None:
        least = self._most_bytes - self._most_bytes // 16  # at once: deleting few costs the table as much as many
        while self._bytes > least and len(self._answers) > 1:
            row, sealed = self._answers.popitem(last=False)
            self._bytes -= len(sealed) + BYTES_AN_ANSWER
            self._evicted.append(row)
            metrics.ANSWERS_EVICTED.inc()

    def take_evicted(self) -> list[bytes]:
        """Give the keys that were forgotten since the last time: they are to go from the table as well."""
        taken, self._evicted = self._evicted, []
        return taken
