"""What goes to the journal in one piece, and what can go wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

EventRow = tuple[int, int, int, str, bytes]
"""session, seq, at (ms), kind, body"""
AnswerRow = tuple[int, int, bytes, bytes]
"""session, lot (see `Lots`), key, answer"""
SnapshotRow = tuple[int, str, int, int, bytes]
"""session, plugin, seq, version, state"""
SecretRow = tuple[int, str, bytes]
"""session, name, value"""
ShelfRow = tuple[str, str, int, bytes]
"""shelf, name, at (ms), body"""

OF_THE_PROCESS: Final = "\0"
"""Begins the name of a session that is no hall's: it has answers only, and no end. LiveKit has no such room names."""


_MINUTE_MS: Final = 60_000
_LOTS_A_MINUTE: Final = 1_000
_ANSWERS_A_LOT: Final = 1_000


class Lots:
    """Puts one session's answers into lots: those of a minute, and of each thousand where a minute has more.

    In a lot answers lie in the order of their keys, so nothing tells which of a lot's events an answer belongs
    to. Lots are written one after the other, so that a commit of many answers touches few pages.
    """

    def __init__(self) -> None:
        self._first = 0
        self._answers = 0

    def begin(self, last: int) -> None:
        """Go on after the last lot that is kept: in it, or in a later minute's."""
        self._first = last // _LOTS_A_MINUTE * _LOTS_A_MINUTE
        self._answers = last % _LOTS_A_MINUTE * _ANSWERS_A_LOT

    @staticmethod
    def first(at: int) -> int:
        """Give the first lot of the minute of a time (ms)."""
        return at // _MINUTE_MS * _LOTS_A_MINUTE

    def next(self, now: int) -> int:
        """Give the lot for one more answer at this time (ms); a later lot has a greater number.

        Where the clock was set back, answers go on in the last minute's lots: else the newest would be taken for the
        oldest, and be the first to be forgotten.
        """
        first = self.first(now)
        if first > self._first:
            self._first, self._answers = first, 0
        part = self._answers // _ANSWERS_A_LOT
        self._answers += 1
        return self._first + min(part, _LOTS_A_MINUTE - 1)


class JournalError(Exception):
    """The journal did not keep it."""


class Unavailable(JournalError):
    """The database can't be read or written now (full, locked, damaged); it may come back."""


class Fenced(JournalError):
    """Another owner has taken the session over: whoever hears this must stop deciding for it."""


class SessionInfo(msgspec.Struct, frozen=True):
    """A claimed hall session: its id, and the epoch that this owner's commits carry."""

    id: int
    epoch: int


class Unfinished(msgspec.Struct, frozen=True):
    """A hall's session that nobody holds. `closing`: its room is gone for good, and something is still to be done."""

    session: int
    hall: str
    closing: bool


def settle(future: asyncio.Future[JournalError | None]) -> Callable[[JournalError | None], None]:
    """Make a batch's `done` that settles a future, unless whoever waited has given up."""

    def done(error: JournalError | None) -> None:
        if not future.done():
            future.set_result(error)

    return done


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a session beside its events: answers as (key, answer), oldest first; secrets by name.

    `last_lot` is that of the newest answer.
    """

    snapshots: list[SnapshotRow]
    answers: list[tuple[bytes, bytes]]
    secrets: dict[str, bytes]
    last_lot: int = 0


class Redaction(msgspec.Struct, frozen=True):
    """Events of a kind, whose `field` is `value`, lose their words: each of `empty` is put in their place."""

    kind: str
    field: str
    value: str
    empty: dict[str, Any]


class Batch:
    """All that one hall commits together; `done` is called in the loop with the error or `None`."""

    __slots__ = (
        "answers",
        "done",
        "epoch",
        "events",
        "evicted",
        "forgotten",
        "redactions",
        "secrets",
        "session",
        "shelved",
        "snapshots",
    )

    def __init__(self, session: SessionInfo, done: Callable[[JournalError | None], None]) -> None:
        self.session = session.id
        self.epoch = session.epoch
        self.done = done
        self.events: list[EventRow] = []
        self.answers: list[AnswerRow] = []
        self.evicted: list[bytes] = []
        """Keys of answers for which there is no room any more."""
        self.snapshots: list[SnapshotRow] = []
        self.secrets: list[SecretRow] = []
        self.forgotten: list[str] = []
        """Names of secrets to destroy."""
        self.shelved: list[ShelfRow] = []
        self.redactions: Sequence[Redaction] = ()
        """Carried out on all the session's events, those of this batch too; its older snapshots go."""

    def __len__(self) -> int:
        return len(self.events) + len(self.answers) + len(self.snapshots) + len(self.shelved)
