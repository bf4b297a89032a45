"""Finding what names a participant: by reading alone, so that nobody waits for it who commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from relay_bot.journal.erasing import Rules, erased, erased_document
from relay_bot.journal.pseudonyms import Pseudonyms, some_pseudonym

_ROWS_A_READ: Final = 2_000
_MAY_NAME: Final = "(instr({0}, ?) > 0 OR instr({0}, x'5c') > 0)"
"""An identity stands in JSON as it is, or some character of it behind a backslash: then it must be read to be seen."""


class Change(msgspec.Struct, frozen=True):
    """One event without the participant; `old` is the body that was read."""

    session: int
    seq: int
    old: bytes
    kind: str
    body: bytes


class DocumentChange(msgspec.Struct, frozen=True):
    """One shelved document without the participant."""

    shelf: str
    name: str
    old: bytes
    body: bytes


class Named(msgspec.Struct, frozen=True):
    """All that names a participant. What was answered can be read by nobody, and so is not searched."""

    events: list[Change]
    documents: list[DocumentChange]
    secrets: dict[int, tuple[bytes, bytes]] = {}
    """See `Pseudonyms.secrets`."""

    def __len__(self) -> int:
        return len(self.events) + len(self.documents)


class Scope(msgspec.Struct, frozen=True):
    """Which sessions are searched: `only` one, or all `besides` some; shelved documents belong to none."""

    only: int | None = None
    besides: tuple[int, ...] = ()

    def condition(self) -> tuple[str, Sequence[int]]:
        """Give the condition on `session`, and its parameters."""
        if self.only is not None:
            return "session = ?", (self.only,)
        return f"session NOT IN ({','.join('?' * len(self.besides))})", self.besides


def find(reader: sqlite3.Connection, identity: str, rules: Rules, scope: Scope) -> Named:
    """Find what names a participant, and how it is without them."""
    chosen = Pseudonyms(reader, identity)
    documents = [] if scope.only is not None else _documents(reader, identity, some_pseudonym(), rules)
    events = list(_events(reader, identity, chosen, rules, scope))
    return Named(events, documents, chosen.secrets)


def _events(
    reader: sqlite3.Connection, identity: str, chosen: Pseudonyms, rules: Rules, scope: Scope
) -> Iterator[Change]:
    condition, parameters = scope.condition()
    after = (0, 0)
    while True:
        rows = reader.execute(
            f"SELECT session, seq, kind, body FROM events WHERE {condition} AND (session, seq) > (?, ?)"  # noqa: S608  (names of ours alone)
            f" AND {_MAY_NAME.format('body')} ORDER BY session, seq LIMIT {_ROWS_A_READ}",
            (*parameters, *after, identity.encode()),
        ).fetchall()
        for session, seq, kind, body in rows:
            new = erased(kind, body, identity, chosen.of(session), rules)
            if new is not None:
                yield Change(session, seq, body, *new)
        if len(rows) < _ROWS_A_READ:
            return
        after = rows[-1][:2]


def _documents(reader: sqlite3.Connection, identity: str, pseudonym: str, rules: Rules) -> list[DocumentChange]:
    rows = reader.execute(
        f"SELECT shelf, name, body FROM shelved WHERE {_MAY_NAME.format('body')}",  # noqa: S608  (names of ours alone)
        (identity.encode(),),
    ).fetchall()
    found = [
        (shelf, name, body, erased_document(shelf, body, identity, pseudonym, rules)) for shelf, name, body in rows
    ]
    return [DocumentChange(shelf, name, body, new) for shelf, name, body, new in found if new is not None]
