"""Whom a name means: one rule for all commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import regex

from relay_bot.commands.quotes import LEAD, quoted_at, unescaped
from relay_bot.text.lookalikes import name_keys
from relay_bot.wire.refusal import Refuse

_LONGEST: Final = 600
"""Characters of a line that are looked at for a name: identities and names have at most 256 each."""
_LISTED: Final = 5
_WORD_END: Final = regex.compile(r"(?<=\S)(?=\s|$)")
BY_IDENTITY: Final = "id:"
"""Before an identity it says that no display name is meant."""

Known = tuple[str, str]
"""Somebody who can be meant: (identity, display name or "")."""


class Found(NamedTuple):
    """The identity that a name means, and where the line goes on behind the name."""

    identity: str
    end: int


def find_person(
    line: str,
    people: Iterable[Known],
    *,
    whole: bool = False,
    absent: bool = False,
    where: str = "here",
    otherwise: Iterable[Known] = (),
) -> Found:
    """Find whom the beginning of a line means, by identity or by display name: the longest name that fits.

    `whole`: nothing follows the name. `absent`: what fits nobody is taken for the identity of somebody else. `where`
    says in the refusal who was looked among, `otherwise` whom to look among where none of them fits. Raises
    `Refuse("not_found")` for nobody, and for more than one.
    """
    start = found.end() if (found := LEAD.match(line)) else 0
    readings = list(_readings(line, start, whole=whole))
    for known in (_Index(people), _Index(otherwise)):
        for written, end in readings:
            matches = known.matching(written)
            if len(matches) > 1:
                raise _which(written, matches)
            if matches:
                return Found(next(iter(matches)), end)
    quoted = _in_quotes(line, start)
    if absent and readings:
        written, end = quoted if quoted is not None else readings[0 if whole else -1]
        return Found(_bare(written), end)
    asked = quoted[0] if quoted is not None else line[start:].strip() if whole else readings[-1][0] if readings else ""
    raise Refuse("not_found", f"nobody {where} is called {asked[:80]!r}")


def _readings(line: str, start: int, *, whole: bool) -> Iterator[tuple[str, int]]:
    """Give what the name may be, the likeliest first: what stands in quotes, then ever fewer words of the line."""
    quoted = _in_quotes(line, start)
    if quoted is not None and not (whole and line[quoted[1] :].strip()):
        yield quoted
    if whole:
        text = line[start:].strip()
        if text:
            yield text, len(line)
        return
    ends = [found.start() for found in _WORD_END.finditer(line, start, start + _LONGEST + 1)]
    for end in reversed(ends):
        if end > start:
            yield line[start:end], end


def _in_quotes(line: str, start: int) -> tuple[str, int] | None:
    for mark in ("", "@", BY_IDENTITY):
        if line.startswith(mark, start) and (quoted := quoted_at(line, start + len(mark))) is not None:
            return mark + quoted.text, quoted.end
    return None


class _Index:
    """People by the keys of their identities and names: a line has many readings, and a hall many people."""

    def __init__(self, people: Iterable[Known]) -> None:
        self._by_key: dict[str, dict[str, str]] = {}
        self._identities: set[str] = set()
        for identity, name in people:
            self._identities.add(identity)
            plain = name.removesuffix(f" ({identity})")  # how they are shown where others are called the same
            for key in name_keys(identity) | name_keys(name) | name_keys(plain):
                self._by_key.setdefault(key, {})[identity] = name

    def matching(self, written: str) -> dict[str, str]:
        """Give the people whose identity or name is the same to a reader, as identity → name."""
        if written.startswith(BY_IDENTITY) and (wanted := written.removeprefix(BY_IDENTITY)) in self._identities:
            return {wanted: ""}
        found: dict[str, str] = {}
        for key in name_keys(written) | name_keys(unescaped(written)) | name_keys(_bare(written)):
            found |= self._by_key.get(key, {})
        return found


def _bare(written: str) -> str:
    return written.removeprefix(BY_IDENTITY).removeprefix("@").strip()


def _which(written: str, matches: dict[str, str]) -> Refuse:
    asked = name_keys(_bare(written))
    choices = [
        identity if not name or name_keys(name) & asked or name == identity else f"{identity} ({name})"
        for identity, name in sorted(matches.items())
    ]
    more = ", …" if len(choices) > _LISTED else ""
    listed = ", ".join(choices[:_LISTED]) + more
    text = f"{len(matches)} people here are called {written[:80]!r}; say which by identity: {listed}"
    if any(not asked.isdisjoint(name_keys(identity)) for identity in matches):
        text += f" (as {BY_IDENTITY}{min(matches)})"
    return Refuse("not_found", text)
