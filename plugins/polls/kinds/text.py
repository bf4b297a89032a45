"""Text: answers in the voters' own words."""

from __future__ import annotations

import heapq
from typing import Any

from plugins.polls.asked import Question
from plugins.polls.kinds.base import View, VoteFields
from plugins.polls.tally import Ballot, Tally, shift
from plugins.polls.texts import clean, words
from relay_bot.plugin import Refuse


class TextKind:
    """`{"text": "…"}`; the results are words, each with how many voters used it."""

    def read(self, asked: Question, vote: VoteFields) -> Ballot:
        """See `PollKind`."""
        most = asked.rules.max_length
        if vote.text is None:
            raise Refuse("invalid_choice", "expected a text", field="text")
        text = clean(vote.text)
        if len(vote.text) > most or len(text) > most:
            raise Refuse("invalid_choice", f"an answer has at most {most} characters", field="text")
        if not text:
            raise Refuse("invalid_choice", "the answer is empty", field="text")
        return Ballot((), text)

    def add(self, asked: Question, tally: Tally, ballot: Ballot, by: int) -> None:
        """See `PollKind`."""
        tally.total_votes += by
        for word in words(ballot.text):
            shift(tally.words, word, by)
        if asked.rules.anonymous:
            shift(tally.answers, ballot.text, by)

    def results(self, asked: Question, tally: Tally, view: View) -> dict[str, Any]:
        """Give the words that most voters used, without those that say nothing."""
        counted = ((-count, word) for word, count in tally.words.items() if word not in view.stop_words)
        most = heapq.nsmallest(view.words_shown, counted)
        return {"words": [{"word": word, "count": -count} for count, word in most]}

    def own(self, asked: Question, ballot: Ballot) -> Any:
        """See `PollKind`."""
        return ballot.text
