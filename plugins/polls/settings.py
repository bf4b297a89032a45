"""`plugins.polls` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from plugins.polls.stopwords import Language

_Count = Annotated[int, msgspec.Meta(ge=1)]


class PollsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds and habits of all polls."""

    max_open: _Count = 20
    """Polls that may be open (or paused) at once."""
    max_polls: _Count = 500
    """Polls of a hall session, drafts and discarded ones among them."""
    max_options: Annotated[int, msgspec.Meta(ge=2, le=100)] = 100
    options_per_participant: _Count = 1
    """Options that one participant may suggest for a poll that takes suggestions."""
    max_ranked_options: Annotated[int, msgspec.Meta(ge=2, le=30)] = 20
    votes_of_leavers: Literal["keep", "drop"] = "keep"
    """`drop` takes the vote of someone who leaves out of the polls that are still open; a quiz's answer stays."""
    grace_seconds: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 60.0
    """How long someone may be away, as when their page is loaded anew, before they count as having left."""
    leaderboard_top: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    max_rank_messages: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1000
    """Participants who are told their own rank when a quiz closes; the others find it in `hall_state`."""
    words_shown: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50
    stop_words_language: Language = "en"
    """Whose common words word clouds leave out; `none` for no language's."""
    stop_words: list[str] = []
    """Words that no word cloud shows, beside those."""
