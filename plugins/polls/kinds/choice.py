"""Choice: one option, or several."""

from __future__ import annotations

from typing import Any

from plugins.polls.asked import Question
from plugins.polls.kinds.base import View, VoteFields, indices
from plugins.polls.shares import leaders
from plugins.polls.tally import Ballot, Tally
from relay_bot.plugin import Refuse


class ChoiceKind:
    """`{"option": 1}` or `{"options": [0, "Tea"]}`."""

    def read(self, asked: Question, vote: VoteFields) -> Ballot:
        """See `PollKind`."""
        option, options = vote.option, vote.options
        if (option is None) == (options is None):
            raise Refuse("invalid_choice", "expected either option or options", field="option")
        if option is not None:
            if type(option) is int and 0 <= option < len(asked.options) and asked.min_choices == 1:
                return Ballot((option,))  # what nearly every vote is
            return Ballot(indices(asked, (option,), "option"))
        return Ballot(tuple(sorted(indices(asked, options or (), "options"))))

    def add(self, asked: Question, tally: Tally, ballot: Ballot, by: int) -> None:
        """See `PollKind`."""
        counts = tally.counts
        for choice in ballot.choices:
            counts[choice] += by
        tally.total_votes += by * len(ballot.choices)

    def results(self, asked: Question, tally: Tally, view: View) -> dict[str, Any]:
        """Give the options that lead: more than one is a tie."""
        leading = leaders(tally.weighted or tally.counts)
        return {"leaders": leading, "tie": len(leading) > 1}

    def own(self, asked: Question, ballot: Ballot) -> Any:
        """See `PollKind`."""
        return list(ballot.choices)
