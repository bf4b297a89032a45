"""What follows a command's name, taken piece by piece."""

from __future__ import annotations

from collections.abc import Iterable

import regex

from relay_bot.commands.durations import ACCEPTED, duration_at, looks_like_number
from relay_bot.commands.names import Known, find_person
from relay_bot.commands.quotes import LEAD, quoted_at, unquoted
from relay_bot.text import fold_text
from relay_bot.wire.refusal import Refuse

_WORD = regex.compile(r"\S+")
_YEAR = 366 * 86_400


class Arguments:
    """What follows a command's name: words, taken one after the other; quotes keep spaces together."""

    def __init__(self, text: str, usage: str) -> None:
        self._text = text
        self._usage = usage

    def _skip(self) -> str:
        """Drop the spaces, and what is invisible, before the next word."""
        found = LEAD.match(self._text)
        if found is not None:
            self._text = self._text[found.end() :]
        return self._text

    def word(self, what: str) -> str:
        """Take the next word; refuses with the command's usage where there is none."""
        quoted = self.quoted()
        if quoted is not None:
            return quoted
        found = _WORD.match(self._text)
        if found is None:
            raise self.wrong(f"{what} is missing")
        self._text = self._text[found.end() :]
        return found[0]

    def quoted(self) -> str | None:
        """Take the next words if they stand in quotes of any kind; `\\"` is a quote inside of them."""
        found = quoted_at(self._skip())
        if found is None:
            return None
        self._text = self._text[found.end :]
        return found.text

    def person(
        self,
        people: Iterable[Known],
        *,
        whole: bool = False,
        absent: bool = False,
        where: str = "here",
        otherwise: Iterable[Known] = (),
    ) -> str:
        """Take a name; gives the identity of the one among `people` (identity, display name) whom it means.

        The longest name that fits is taken. Nobody, and more than one, are refused: the text asks which is meant.
        `whole`: the name is all that follows. `absent`: what fits nobody is taken for an identity.
        `otherwise`: whom to look among where none of `people` fits.
        """
        if not self._skip():
            raise self.wrong("a name is missing")
        found = find_person(self._text, people, whole=whole, absent=absent, where=where, otherwise=otherwise)
        self._text = self._text[found.end :]
        return found.identity

    def wrong(self, what: str) -> Refuse:
        """Make a refusal that says what is wrong, and how the command is used."""
        return Refuse("malformed", f"{what}; usage: {self._usage}")

    def duration(self, *, most: int = _YEAR) -> int | None:
        """Take a duration such as `30s`, `10 min` or `1h30m`, if one is next; in seconds, from 1 to `most`.

        What begins like a number and is none is refused with the command's usage.
        """
        if not looks_like_number(self._skip()):
            return None
        found = duration_at(self._text, self._text.startswith("+"))
        if found is None:
            written = _WORD.match(self._text)
            shown = written[0][:40] if written else ""
            raise self.wrong(f"{shown!r} is not a time: expected {ACCEPTED} (other words that begin so go in quotes)")
        if not 1 <= found.seconds <= most:
            raise self.wrong(f"expected a time from 1s to {_longest(most)}")
        self._text = self._text[found.end :]
        return found.seconds

    def takes_sign(self) -> str:
        """Take a plus or a minus (`-`, of any length) before a number; gives `+`, `-` or nothing."""
        sign = self._skip()[:1]
        if not sign or sign not in "+-\u2212\u2013\uff0b\uff0d":
            return ""
        self._text = self._text[1:]
        return "+" if sign in "+\uff0b" else "-"

    def rest(self) -> str:
        """Take all that is left, without the spaces around it."""
        text, self._text = self._text.strip(), ""
        return text

    def rest_unquoted(self) -> str:
        """Take all that is left, without quotes where the whole of it stands in them."""
        return unquoted(self.rest())

    def takes(self, word: str) -> bool:
        """Take the command's own word `word` if that is all that is left, whatever its case."""
        if fold_text(self._text) != word:
            return False
        self._text = ""
        return True

    def choice(self) -> str:
        """Take all that is left as one of a command's own words: in small letters."""
        return fold_text(self.rest())


def _longest(seconds: int) -> str:
    return f"{seconds // 86_400}d" if seconds >= 86_400 else f"{seconds}s"
