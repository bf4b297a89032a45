"""What plugins keep beyond halls and sessions: read from memory, kept in the journal's database."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog

from relay_bot.journal.batch import ShelfRow
from relay_bot.journal.writer import Journal
from relay_bot.plugin import Shelved, one_line
from relay_bot.wire.refusal import Refuse

log = structlog.get_logger("shelf")

_MAX_BYTES: Final = 100_000
_MAX_NAME: Final = 64
T = TypeVar("T", bound=Shelved)


class Shelf:
    """Everything that is shelved, by shelf and name.

    Memory follows the database: a change is there when it is durable. Another process on the same database is
    heard of when a hall is opened (`load`).
    """

    def __init__(self, journal: Journal, most: int) -> None:
        self._journal = journal
        self._most = most
        self._rows: dict[tuple[str, str], ShelfRow] = {}
        self._changes = 0

    async def load(self) -> None:
        """Read what the database has; raises `Unavailable`."""
        while True:
            before = self._changes
            rows = await self._journal.shelved()
            if self._changes == before:  # else something was shelved while this was on its way
                self._rows = {(row[0], row[1]): row for row in rows}
                return

    def get(self, kind: type[T], name: str) -> T | None:
        """Find something; what can't be read any more, as after a change of its type, is as if it were not there."""
        row = self._rows.get((kind.shelf, name))
        return None if row is None else read_row(kind, row)

    def rows(self, shelf: str) -> list[ShelfRow]:
        """List what is on a shelf, by name."""
        return sorted(row for row in self._rows.values() if row[0] == shelf)

    def row(self, thing: Shelved, name: str, settings: Any, now: int, coming: Sequence[ShelfRow] = ()) -> ShelfRow:
        """Make the row that is to be kept; raises `Refuse` for what can't be.

        `coming`: rows that are not durable yet and take up room as well.
        """
        if not 1 <= len(name) <= _MAX_NAME or one_line(name) != unicodedata.normalize("NFC", name) or "/" in name:
            text = f"a name has 1 to {_MAX_NAME} characters that can be seen, no space around them, and no /"
            raise Refuse("malformed", text, field="name")
        thing.check(settings)
        shelf = thing.shelf
        body = msgspec.json.encode(thing)
        if len(body) > _MAX_BYTES:
            raise Refuse("too_large", f"it would have {len(body)} bytes of {_MAX_BYTES}")
        names = {each[1] for each in (*self.rows(shelf), *coming) if each[0] == shelf}
        if name not in names and len(names) >= self._most:
            raise Refuse("busy", f"{self._most} {shelf} are kept, which is the limit; delete one first")
        return shelf, name, now, body

    def settle(self, rows: Sequence[ShelfRow]) -> None:
        """Hear of rows that are durable now."""
        for row in rows:
            self._changes += 1
            self._rows[(row[0], row[1])] = row

    async def put(self, row: ShelfRow) -> None:
        """Keep a row that belongs to no hall's turn; raises `Unavailable`."""
        await self._journal.shelve(row)
        self.settle([row])

    async def delete(self, shelf: str, name: str) -> bool:
        """Delete something; tells whether there was something. Raises `Unavailable`."""
        found = (shelf, name) in self._rows
        if found:
            await self._journal.unshelve(shelf, name)
            self._changes += 1
            self._rows.pop((shelf, name), None)
        return found


def read_row(kind: type[T], row: ShelfRow) -> T | None:
    """Read what a row holds; `None` where its type can't read it any more."""
    try:
        return msgspec.json.decode(row[3], type=kind)
    except msgspec.DecodeError as error:
        log.warning("shelf.unreadable", shelf=row[0], error=str(error))
        return None
