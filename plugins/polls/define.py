"""From what was asked for to a poll's definition: everything is checked here, before anything is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from plugins.polls.asked import MILLIONTHS, Eligible, Question, Quiz, Rules, Scale, Series, Weights
from plugins.polls.bodies import AskedFields, EligibleFields, ScaleFields, WeightFields
from plugins.polls.settings import PollsSettings
from plugins.polls.texts import clean, disturbs, fold_text
from plugins.polls.wording import counted
from relay_bot.plugin import Refuse

_ONLY: Final = {
    "correct": "quiz",
    "points": "quiz",
    "negative_points": "quiz",
    "speed_bonus": "quiz",
    "explanation": "quiz",
    "scale": "rating",
    "max_length": "text",
}
_MAX_STEPS: Final = 100
_TEXT_LENGTH: Final = 200


def malformed(field: str, text: str) -> Refuse:
    """Make the refusal for a field."""
    return Refuse("malformed", text, field=field)


def define(
    poll_id: str,
    asked: AskedFields,
    settings: PollsSettings,
    audience: tuple[str, ...] | None = None,
    series: Series | None = None,
) -> Question:
    """Check all that a poll is asked with; raises `Refuse("malformed")` with the field."""
    for field, kind in _ONLY.items():
        if getattr(asked, field) is not None and asked.kind != kind:
            raise malformed(field, f"{field} is for polls of kind {kind}")
    question = _shown(asked.question, "question")
    if asked.user_options != "no" and asked.kind != "choice":
        raise malformed("user_options", "options of the voters are for polls of kind choice")
    scale = _scale(asked) if asked.kind == "rating" else None
    options = _options(asked, settings, scale)
    least, most = _bounds(asked, len(options), settings)
    rules = Rules(
        kind=asked.kind,
        allow_revote=_revote(asked),
        results=asked.results,
        anonymous=asked.anonymous,
        eligible=_eligible(asked.eligible),
        weights=_weights(asked),
        quiz=_quiz(asked, len(options), least, most) if asked.kind == "quiz" else None,
        scale=scale,
        max_length=(asked.max_length or _TEXT_LENGTH) if asked.kind == "text" else 0,
        series=series,
        audience=None if audience is None else frozenset(audience),
        user_options=asked.user_options,
        duration_ms=None if asked.duration_seconds is None else max(1, round(asked.duration_seconds * 1000)),
    )
    return Question(poll_id, question, options, least, most, rules)


def _options(asked: AskedFields, settings: PollsSettings, scale: Scale | None) -> list[str]:
    if asked.kind in ("rating", "text"):
        if asked.options:
            raise malformed("options", f"a poll of kind {asked.kind} has no options")
        return [] if scale is None else [str(step) for step in range(scale.min, scale.max + 1)]
    most = settings.max_ranked_options if asked.kind == "ranking" else settings.max_options
    least = 2 if asked.user_options == "no" else 0
    if not least <= len(asked.options) <= most:
        raise malformed("options", f"expected {least} to {most} options")
    return _distinct(asked.options, "options")


def _distinct(texts: Sequence[str], field: str) -> list[str]:
    cleaned: list[str] = []
    keys: set[str] = set()
    for index, text in enumerate(texts):
        shown = _shown(text, f"{field}[{index}]")
        key = fold_text(shown)
        if key in keys:
            raise malformed(f"{field}[{index}]", "two options are the same")
        keys.add(key)
        cleaned.append(shown)
    return cleaned


def _shown(text: str, field: str) -> str:
    """Give a text as it is shown. What a host writes is refused where it would not be shown as it was written."""
    if disturbs(text):
        raise malformed(field, "the text has control characters, or marks that change its direction")
    shown = clean(text)
    if not shown:
        raise malformed(field, "the text has no visible characters")
    return shown


def _bounds(asked: AskedFields, options: int, settings: PollsSettings) -> tuple[int, int]:
    if asked.kind in ("rating", "text"):
        for field in ("min_choices", "max_choices"):
            if getattr(asked, field) is not None:
                raise malformed(field, f"a poll of kind {asked.kind} has no choices")
        return 1, 1
    least = 1 if asked.min_choices is None else asked.min_choices
    if least == 0 and asked.kind != "choice":
        raise malformed("min_choices", "0 is for polls of kind choice")
    default = options if asked.kind == "ranking" else max(1, len(asked.correct or ()))
    most = asked.max_choices or max(least, default)
    if least > most:
        raise malformed("max_choices", "max_choices is less than min_choices")
    if asked.user_options != "no":
        options = settings.max_options  # voters add to them
    if most > options:
        raise malformed("max_choices", f"the poll has only {counted(options, 'option')}")
    return least, most


def _revote(asked: AskedFields) -> bool:
    if asked.kind == "quiz":
        if asked.allow_revote:
            raise malformed("allow_revote", "a quiz takes one answer from each")
        return False
    return asked.kind != "text" if asked.allow_revote is None else asked.allow_revote


def _scale(asked: AskedFields) -> Scale:
    if asked.scale is None:
        return Scale()
    low, high = asked.scale.min, asked.scale.max
    steps = high - low + 1
    if not 2 <= steps <= _MAX_STEPS:
        raise malformed("scale", f"expected min < max and at most {_MAX_STEPS} steps")
    labels = tuple(_distinct(asked.scale.labels, "scale.labels"))
    if labels and len(labels) not in (2, steps):
        raise malformed("scale.labels", f"expected 2 labels (the ends) or {steps}")
    return Scale(low, high, labels)


def _quiz(asked: AskedFields, options: int, least: int, most: int) -> Quiz:
    correct = asked.correct
    if correct is None:
        raise malformed("correct", "a quiz needs the right options")
    if len(set(correct)) < len(correct) or not all(0 <= index < options for index in correct):
        raise malformed("correct", f"expected different options, 0 to {options - 1}")
    if not least <= len(correct) <= most:
        raise malformed("correct", "nobody could choose as many options as are right")
    if asked.speed_bonus and asked.duration_seconds is None:
        raise malformed("speed_bonus", "a speed bonus needs duration_seconds")
    defaults = Quiz(())
    return Quiz(
        tuple(sorted(correct)),
        defaults.points if asked.points is None else asked.points,
        asked.negative_points or 0,
        asked.speed_bonus or 0,
        _shown(asked.explanation, "explanation") if asked.explanation else "",
    )


def _eligible(fields: EligibleFields | None) -> Eligible | None:
    if fields is None:
        return None
    if not fields.roles and not fields.identities:
        raise malformed("eligible", "nobody could vote: name roles or identities")
    return Eligible(frozenset(fields.roles), frozenset(fields.identities))


def _weights(asked: AskedFields) -> Weights | None:
    fields = asked.weights
    if fields is None:
        return None
    if asked.kind not in ("choice", "rating"):
        raise malformed("weights", "weights are for polls of kind choice and rating")
    if asked.anonymous:
        raise malformed("weights", "weights would tell who voted what in an anonymous poll")
    if not fields.identities and not fields.roles:
        raise malformed("weights", "name identities or roles")
    return _exact(fields)


def _exact(fields: WeightFields) -> Weights:
    return Weights(
        {
            identity: _in_parts(weight, f"weights.identities[{identity}]")
            for identity, weight in fields.identities.items()
        },
        {role: _in_parts(weight, f"weights.roles[{role}]") for role, weight in fields.roles.items()},
        MILLIONTHS,
    )


def _in_parts(weight: float, field: str) -> int:
    parts = round(weight * MILLIONTHS)
    if weight and not parts:
        raise malformed(field, "the smallest weight beside 0 is 0.000001")
    return parts


def asked_of(poll: Question) -> dict[str, Any]:
    """Give what a poll would be asked with to be the same again: the fields of `AskedFields`, for `define`."""
    rules = poll.rules
    eligible, weights, quiz, scale = rules.eligible, rules.weights, rules.quiz, rules.scale
    asked: dict[str, Any] = {
        "question": poll.question,
        "kind": rules.kind,
        "duration_seconds": None if rules.duration_ms is None else rules.duration_ms / 1000,
        "allow_revote": None if quiz is not None else rules.allow_revote,
        "results": rules.results,
        "anonymous": rules.anonymous,
        "max_length": rules.max_length or None,
        "user_options": rules.user_options,
    }
    if rules.kind not in ("rating", "text"):
        asked |= {"options": list(poll.options), "min_choices": poll.min_choices, "max_choices": poll.max_choices}
    if eligible is not None:
        asked["eligible"] = EligibleFields(sorted(eligible.roles), sorted(eligible.identities))
    if weights is not None:
        identities = {identity: weight / weights.unit for identity, weight in weights.identities.items()}
        asked["weights"] = WeightFields(
            identities, {role: weight / weights.unit for role, weight in weights.roles.items()}
        )
    if quiz is not None:
        asked |= {name: getattr(quiz, name) for name in ("points", "negative_points", "speed_bonus")}
        asked |= {"correct": list(quiz.correct), "explanation": quiz.explanation}
    if scale is not None:
        asked["scale"] = ScaleFields(scale.min, scale.max, list(scale.labels))
    return asked


def again(poll: Question, poll_id: str, duration_ms: int | None) -> Question:
    """Define a new round of a poll: everything as it was, linked to it."""
    rules = msgspec.structs.replace(
        poll.rules,
        rerun_of=poll.poll_id,
        round=poll.rules.round + 1,
        duration_ms=poll.rules.duration_ms if duration_ms is None else duration_ms,
    )
    return Question(poll_id, poll.question, list(poll.options), poll.min_choices, poll.max_choices, rules)
