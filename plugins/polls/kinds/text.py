"""Text: answers in the voters' own words."""

from __future__ import annotations

import heapq
from typing import Any

from plugins.polls.asked import Question
from plugins.polls.kinds.base import View, VoteFields
from plugins.polls.tally import Ballot, Tally, shift, shift_within
from plugins.polls.texts import clean, said_words
from plugins.polls.wording import counted
from relay_bot.plugin import Refuse


class TextKind:
    """`{"text": "…"}`; the results are words, each with how many voters used it."""

    def read(self, asked: Question, vote: VoteFields) -> Ballot:
        """See `PollKind`."""
        most = asked.rules.max_length
        if vote.text is None:
            raise Refuse("invalid_choice", "expected a text", field="text")
        text = clean(vote.text)
        if len(text) > most:
            raise Refuse("invalid_choice", f"an answer has at most {counted(most, 'character')}", field="text")
        if not text:
            raise Refuse("invalid_choice", "the answer is empty", field="text")
        return Ballot((), text)

    def add(self, asked: Question, tally: Tally, ballot: Ballot, by: int) -> None:
        """See `PollKind`."""
        tally.total_votes += by
        for word, (written, meant) in said_words(ballot.text).items():
            shift(tally.words, word, by)
            shift_within(tally.spellings, word, written, by)
            if meant:
                shift_within(tally.meant, word, written, by)
        if asked.rules.anonymous:
            shift(tally.answers, ballot.text, by)

    def results(self, asked: Question, tally: Tally, view: View) -> dict[str, Any]:
        """Give the words that most voters used, without those that say nothing."""
        found = ((-_count(tally, word, view), word) for word in tally.words if word not in view.unwanted)
        most = heapq.nsmallest(view.words_shown, (entry for entry in found if entry[0]))
        return {"words": [{"word": _spelling(tally, word, view), "count": -count} for count, word in most]}

    def own(self, asked: Question, ballot: Ballot) -> Any:
        """See `PollKind`."""
        return ballot.text


def _count(tally: Tally, word: str, view: View) -> int:
    if word in view.stop_words:
        return sum(tally.meant.get(word, {}).values())
    return tally.words[word]


def _spelling(tally: Tally, word: str, view: View) -> str:
    """Give the spelling that most voters used; of equals the one with the fewest capitals."""
    spellings = (tally.meant if word in view.stop_words else tally.spellings).get(word)
    if not spellings:  # counted by an older version
        return word
    return min(spellings, key=lambda each: (-spellings[each], sum(map(str.isupper, each)), each))
