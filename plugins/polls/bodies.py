"""What clients and backends send about polls."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from plugins.polls.asked import Kind, Results, RoleName, UserOptions
from relay_bot.plugin import Body, Delimiter, Identity, Request, public

PollId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\A[^\x00-\x1f\x7f-\x9f]+\Z")]
TemplateName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Person = Annotated[Identity, msgspec.Meta(min_length=1, max_length=256)]
OptionText = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Points = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Weight = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
ChoiceText = Annotated[str, msgspec.Meta(max_length=200)]
Choices = Annotated[list[ChoiceText | int], msgspec.Meta(max_length=100)]
Duration = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Shift = Annotated[float, msgspec.Meta(ge=-86_400, le=86_400)]
ChoiceCount = Annotated[int, msgspec.Meta(ge=1, le=100)]
LeastCount = Annotated[int, msgspec.Meta(ge=0, le=100)]


class EligibleFields(msgspec.Struct, frozen=True):
    """Who may vote: those with one of the roles, and those named."""

    roles: list[RoleName] = []
    identities: Annotated[list[Person], msgspec.Meta(max_length=5_000)] = []


class WeightFields(msgspec.Struct, frozen=True):
    """How much votes count: by identity, else by role, else 1."""

    identities: dict[Person, Weight] = {}
    roles: dict[RoleName, Weight] = {}


class ScaleFields(msgspec.Struct, frozen=True):
    """The steps of a rating: whole numbers from `min` to `max`."""

    min: Annotated[int, msgspec.Meta(ge=-100, le=100)] = 1
    max: Annotated[int, msgspec.Meta(ge=-100, le=100)] = 5
    labels: Annotated[list[Annotated[OptionText, public("label")]], msgspec.Meta(max_length=100)] = []


class SeriesFields(msgspec.Struct, frozen=True):
    """The place in a running order."""

    series_id: PollId
    index: Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class AskedFields(msgspec.Struct, frozen=True):
    """What a poll is asked with, wherever and whenever; see the plugin's README."""

    question: Annotated[str, msgspec.Meta(min_length=1, max_length=500), public("poll question")]
    options: Annotated[list[Annotated[OptionText, public("option")]], msgspec.Meta(max_length=100)] = []
    duration_seconds: Duration | None = None
    min_choices: LeastCount | None = None
    max_choices: ChoiceCount | None = None
    kind: Kind = "choice"
    allow_revote: bool | None = None
    results: Results = "live"
    anonymous: bool = False
    eligible: EligibleFields | None = None
    weights: WeightFields | None = None
    correct: Annotated[list[int], msgspec.Meta(min_length=1, max_length=100)] | None = None
    points: Points | None = None
    negative_points: Points | None = None
    speed_bonus: Points | None = None
    explanation: Annotated[str, msgspec.Meta(max_length=1000), public("explanation")] | None = None
    scale: ScaleFields | None = None
    max_length: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    user_options: UserOptions = "no"


class PollFields(AskedFields, frozen=True):
    """All that a poll of a hall may be asked with."""

    poll_id: PollId | None = None
    state: Literal["open", "draft"] = "open"
    opens_at: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    series: SeriesFields | None = None


class EditFields(msgspec.Struct, frozen=True):
    """What is to be otherwise in a draft or a scheduled poll; what is left out stays as it is."""

    poll_id: PollId
    question: Annotated[str, msgspec.Meta(min_length=1, max_length=500), public("poll question")] | UnsetType = UNSET
    options: Annotated[list[Annotated[OptionText, public("option")]], msgspec.Meta(max_length=100)] | UnsetType = UNSET
    duration_seconds: Duration | UnsetType | None = UNSET
    min_choices: LeastCount | UnsetType | None = UNSET
    max_choices: ChoiceCount | UnsetType | None = UNSET
    kind: Kind | UnsetType = UNSET
    allow_revote: bool | UnsetType | None = UNSET
    results: Results | UnsetType = UNSET
    anonymous: bool | UnsetType = UNSET
    eligible: EligibleFields | UnsetType | None = UNSET
    weights: WeightFields | UnsetType | None = UNSET
    correct: Annotated[list[int], msgspec.Meta(min_length=1, max_length=100)] | UnsetType | None = UNSET
    points: Points | UnsetType | None = UNSET
    negative_points: Points | UnsetType | None = UNSET
    speed_bonus: Points | UnsetType | None = UNSET
    explanation: Annotated[str, msgspec.Meta(max_length=1000), public("explanation")] | UnsetType | None = UNSET
    scale: ScaleFields | UnsetType | None = UNSET
    max_length: Annotated[int, msgspec.Meta(ge=1, le=1000)] | UnsetType | None = UNSET
    user_options: UserOptions | UnsetType = UNSET
    opens_at: Annotated[str, msgspec.Meta(max_length=40)] | UnsetType | None = UNSET
    series: SeriesFields | UnsetType | None = UNSET


class EditPoll(Body, EditFields, type="poll_edit"):
    """Change a draft or a scheduled poll."""


class EditRequest(Request, EditFields, frozen=True):
    """Change a draft or a scheduled poll; what is left out stays as it is."""


class OpenPoll(PollFields, Body, type="poll"):
    """Open a poll, or make one for later (reference: interactions, "Poll")."""


class CreatePoll(PollFields, Request, frozen=True):
    """Open a poll, or make one for later."""


class Vote(Body, type="poll_response"):
    """Vote, or change one's vote; each kind of poll takes a field of its own."""

    poll_id: PollId
    option: int | ChoiceText | None = None
    options: Choices | None = None
    rating: int | None = None
    ranking: Choices | None = None
    text: Annotated[str, public("open answer")] | None = None


class SuggestOption(Body, type="poll_option"):
    """Suggest an option of one's own."""

    poll_id: PollId
    text: Annotated[OptionText, public("option")]


class DecideOption(Body, type="poll_option_decide"):
    """Take or refuse a suggested option."""

    poll_id: PollId
    text: OptionText
    approved: bool


class GetPoll(Body, type="poll_get"):
    """Ask for one poll as it stands, with one's own vote."""

    poll_id: PollId


class ClosePoll(Body, type="poll_close"):
    """Close a poll before its time."""

    poll_id: PollId


class StartPoll(Body, type="poll_open"):
    """Open a draft or a scheduled poll now."""

    poll_id: PollId
    duration_seconds: Duration | None = None


class ExtendPoll(Body, type="poll_extend"):
    """Move a poll's end; a negative number shortens it."""

    poll_id: PollId
    seconds: Shift


class PausePoll(Body, type="poll_pause"):
    """Take no votes, and stop the clock."""

    poll_id: PollId


class ResumePoll(Body, type="poll_resume"):
    """Take votes again after a pause."""

    poll_id: PollId


class ReopenPoll(Body, type="poll_reopen"):
    """Take votes again after the closing."""

    poll_id: PollId
    duration_seconds: Duration | None = None


class PublishPoll(Body, type="poll_publish"):
    """Let everybody see the results: of a poll, or of all closed ones of a series."""

    poll_id: PollId | None = None
    series_id: PollId | None = None


class DiscardPoll(Body, type="poll_discard"):
    """Put a poll out of sight for good."""

    poll_id: PollId


class NextPoll(Body, type="poll_next"):
    """Close what is open of a series and open what comes next."""

    series_id: PollId | None = None


class RerunPoll(Body, type="poll_rerun"):
    """Ask an ended poll again, as a new round."""

    poll_id: PollId
    new_poll_id: PollId | None = None
    duration_seconds: Duration | None = None


class UseTemplate(Body, type="poll_use"):
    """Ask what a template holds: its poll, or its polls as a series. `draft` opens none of them yet."""

    template: TemplateName
    series_id: PollId | None = None
    state: Literal["open", "draft"] = "open"


class SaveTemplate(Body, type="poll_save"):
    """Keep a poll, or a series, as a template for all halls."""

    template: TemplateName
    poll_id: PollId | None = None
    series_id: PollId | None = None


class ListTemplates(Body, type="poll_templates"):
    """Ask which templates there are."""


class OnePoll(Request, frozen=True):
    """A poll, by the path."""

    poll_id: PollId


class AllPolls(Request, frozen=True):
    """All polls of the hall session."""


class StartRequest(Request, frozen=True):
    """Open or reopen a poll, for so long; without `duration_seconds` as it was made."""

    poll_id: PollId
    duration_seconds: Duration | None = None


class ExtendRequest(Request, frozen=True):
    """Move a poll's end by so many seconds; a negative number shortens it."""

    poll_id: PollId
    seconds: Shift


class RerunRequest(Request, frozen=True):
    """Ask an ended poll again, as a new round."""

    poll_id: PollId
    new_poll_id: PollId | None = None
    duration_seconds: Duration | None = None


class DecideRequest(Request, frozen=True):
    """Take or refuse a suggested option."""

    poll_id: PollId
    text: OptionText
    approved: bool


class UseTemplateRequest(Request, frozen=True):
    """Ask what a template holds: its poll, or its polls as a series. `draft` opens none of them yet."""

    template: TemplateName
    series_id: PollId | None = None
    state: Literal["open", "draft"] = "open"


class SavePollRequest(Request, frozen=True):
    """Keep a poll as a template for all halls."""

    poll_id: PollId
    template: TemplateName


class SaveSeriesRequest(Request, frozen=True):
    """Keep a series as a template for all halls."""

    series_id: PollId
    template: TemplateName


class OneSeries(Request, frozen=True):
    """A series, by the path."""

    series_id: PollId


Format = Literal["csv", "json", "html", "xlsx"]
Part = Literal["results", "votes"]
"""Of csv: a row for each option, or for each vote. The other forms have all parts."""


class ExportRequest(Request, frozen=True):
    """A poll's file; `part` and `delimiter` are for csv."""

    poll_id: PollId
    format: Format = "csv"
    part: Part = "results"
    delimiter: Delimiter = ","


class ExportAllRequest(Request, frozen=True):
    """All polls' file; `part` and `delimiter` are for csv."""

    format: Format = "csv"
    part: Part = "results"
    delimiter: Delimiter = ","
