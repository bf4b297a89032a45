"""Ballots of an anonymous poll: who and what, readable with the poll's key alone.

A voter is a keyed hash; the ballot is enciphered (the keystream is SHAKE-256 of the key, a fresh nonce and
the voter) and padded, so that neither its bytes nor their number tell what it says. So the journal, whose
rows have times and an order, holds nothing once the key is destroyed.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import msgspec

from plugins.polls.asked import Question
from plugins.polls.tally import Ballot

_NONCE: Final = 16
_MOST_OPTIONS: Final = 100
_decoder = msgspec.json.Decoder(Ballot)


def voter_of(key: bytes, identity: str) -> str:
    """Give the hash that stands for a participant in this poll."""
    return hashlib.blake2b(identity.encode(), key=key, digest_size=16).hexdigest()


def seal(key: bytes, voter: str, ballot: Ballot, asked: Question) -> bytes:
    """Encipher a ballot; every ballot of a poll gives as many bytes."""
    plain = msgspec.json.encode(ballot).ljust(_size(asked))
    nonce = secrets.token_bytes(_NONCE)
    return nonce + _crossed(key, nonce, voter, plain)


def unseal(key: bytes, voter: str, sealed: bytes) -> Ballot:
    """Read a ballot again."""
    return _decoder.decode(_crossed(key, sealed[:_NONCE], voter, sealed[_NONCE:]))


def _size(asked: Question) -> int:
    """Give the bytes that the longest ballot takes as JSON: a character has at most 4, a quote two."""
    options = len(asked.options) if asked.rules.user_options == "no" else _MOST_OPTIONS
    return 16 + 4 * options + 4 * asked.rules.max_length


def _crossed(key: bytes, nonce: bytes, voter: str, data: bytes) -> bytes:
    stream = hashlib.shake_256(b"polls.ballot" + key + nonce + voter.encode()).digest(len(data))
    return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))
