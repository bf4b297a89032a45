"""What the erased are called in the sessions that named them.

In a session that is not over, a pseudonym is a keyed hash of the identity: whoever was erased and comes again is known
again there, by those who ask for that name. The key is made at the session's first erasure and destroyed when it ends.
"""

from __future__ import annotations

import secrets
import sqlite3
from hashlib import blake2b
from typing import Final

KEY_NAME: Final = "hall.erased"
"""The session's secret with the key, and how often at most somebody was erased from the session, in two bytes."""
_KEY_BYTES: Final = 32
_MOST: Final = 1_000
_PREFIX: Final = "erased-"


def pseudonyms(secret: bytes, identity: str) -> tuple[str, ...]:
    """List what somebody may be called in a session who was erased from it, once or several times."""
    return tuple(_pseudonym(secret, identity, number) for number in range(_depth(secret)))


def some_pseudonym() -> str:
    """Give one that leads back to nobody."""
    return _PREFIX + secrets.token_hex(12)


def _depth(secret: bytes) -> int:
    return int.from_bytes(secret[_KEY_BYTES:])


def _pseudonym(secret: bytes, identity: str, number: int) -> str:
    key = secret[:_KEY_BYTES]
    return (
        _PREFIX + blake2b(f"{number} {identity}".encode(), key=key, digest_size=12, person=b"relay erased").hexdigest()
    )


class Pseudonyms:
    """Chooses one participant's pseudonyms in the sessions that they are erased from.

    One who comes again and is erased again gets another one: their things never become those of one participant, which
    no state is prepared for.
    """

    def __init__(self, reader: sqlite3.Connection, identity: str) -> None:
        self._reader = reader
        self._identity = identity
        self._chosen: dict[int, str] = {}
        self.secrets: dict[int, tuple[bytes, bytes]] = {}
        """By session: what its secret was (empty: there was none) and is to be."""

    def of(self, session: int) -> str:
        """Give the pseudonym in a session; a random one where it is over, or not a session of a hall's."""
        found = self._chosen.get(session)
        if found is None:
            found = self._chosen[session] = self._choose(session)
        return found

    def _choose(self, session: int) -> str:
        row = self._reader.execute(
            "SELECT (SELECT value FROM secrets WHERE session = sessions.id AND name = ?) FROM sessions"
            " WHERE id = ? AND ended_at IS NULL",
            (KEY_NAME, session),
        ).fetchone()
        if row is None:
            return some_pseudonym()
        before: bytes = row[0] or b""
        after = before or secrets.token_bytes(_KEY_BYTES) + bytes(2)
        number = next((number for number in range(_depth(after)) if not self._is_used(session, after, number)), None)
        if number is None:
            number = min(_depth(after), _MOST)
            after = after[:_KEY_BYTES] + (number + 1).to_bytes(2)
        self.secrets[session] = before, after
        return _pseudonym(after, self._identity, number)

    def _is_used(self, session: int, secret: bytes, number: int) -> bool:
        pseudonym = _pseudonym(secret, self._identity, number).encode()
        query = "SELECT 1 FROM events WHERE session = ? AND instr(body, ?) > 0 LIMIT 1"
        return self._reader.execute(query, (session, pseudonym)).fetchone() is not None
