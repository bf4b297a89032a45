"""Erasing a participant: their identity gives way to a pseudonym, and what they said to nothing.

The events stay, so that counts and orders stay right; they just don't lead to anybody any more. Only what is declared
is changed: fields typed `Identity`, keys of timers and effects, and an event's `personal` fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from relay_bot.journal.identities import Where, renamed

CORE: Final = "hall"
"""The namespace of the hall's own events."""
ERASED_KIND: Final = "-.erased"
"""The kind of an event that had to be emptied: no plugin has such a name, so nobody reads it."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event, a shelved document, a timer or an effect holds of people. It is kept in the journal as well.

    `places`: where identities stand. `personal`: the fields with the words of the one whom the field `subject` names,
    each with what is put in their place. `keys`: templates of a timer's or an effect's keys, see `check_template`.
    """

    places: Where | None = None
    subject: str = ""
    personal: dict[str, Any] = {}
    keys: tuple[str, ...] = ()


Rules = Mapping[str, Rule]
"""By the event's journal name, or as the functions below name the others."""


def of_shelf(shelf: str) -> str:
    """Give the name under which a shelf's rule stands."""
    return f"shelf {shelf}"


def of_timer(plugin: str, method: str) -> str:
    """Give the name under which the rule of a timer's keys stands."""
    return f"timer {plugin}.{method}"


def of_effects(plugin: str) -> str:
    """Give the name under which the rule of a plugin's effect keys stands."""
    return f"effects {plugin}"


def of_effect(tag: str) -> str:
    """Give the name under which the rule of one type of effects stands."""
    return f"effect {tag}"


_PLACE: Final = re.compile(r"\{(\w+)\}")
_IDENTITY: Final = "identity"


def check_template(template: str) -> str:
    """Check how keys are made, such as `data {identity}` or `{poll_id} {identity}`; raises `ValueError`.

    `{identity}` is a participant's identity, whatever it consists of; any other place is a text without spaces.
    """
    names = _PLACE.findall(template)
    if names.count(_IDENTITY) != 1 or "}{" in template:
        raise ValueError(f"{template!r}: expected one {{identity}}, with something between it and other places")
    return template


def _renamed_key(key: str, templates: tuple[str, ...], identity: str, pseudonym: str) -> str:
    for template in templates:
        before, _, after = template.partition(f"{{{_IDENTITY}}}")
        found = re.fullmatch(f"({_pattern(before)}){re.escape(identity)}({_pattern(after)})", key, re.DOTALL)
        if found is not None:
            return f"{found[1]}{pseudonym}{found[2]}"
    return key


def _pattern(part: str) -> str:
    return r"\S+".join(re.escape(text) for text in _PLACE.split(part)[::2])


def erased(kind: str, body: bytes, identity: str, pseudonym: str, rules: Rules) -> tuple[str, bytes] | None:
    """Give an event's kind and body without the participant; `None` where it doesn't name them.

    An event that no rule is known for is that of a plugin that never ran here with rules: nobody can tell its
    fields apart. Where it names them anywhere it is emptied, because that they are erased is what was promised.
    """
    if kind == ERASED_KIND:
        return None
    rule = rules.get(kind)
    try:
        event: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    if rule is None:
        return (ERASED_KIND, b"{}") if identity in set(texts(event)) else None
    changed = _without(event, rule, identity, pseudonym)
    if kind.startswith(f"{CORE}."):
        changed = _effect_without(_keys_renamed(changed, rules, identity, pseudonym), rules, identity, pseudonym)
    return None if changed == event else (kind, msgspec.json.encode(changed))


def erased_document(shelf: str, body: bytes, identity: str, pseudonym: str, rules: Rules) -> bytes | None:
    """Give a shelved document without the participant; `None` where it doesn't name them, as far as is declared."""
    rule, document = rules.get(of_shelf(shelf)), msgspec.json.decode(body)
    if rule is None:  # see `erased`
        return b"{}" if identity in set(texts(document)) else None
    changed = _without(document, rule, identity, pseudonym)
    return None if changed == document else msgspec.json.encode(changed)


def _without(found: Any, rule: Rule, identity: str, pseudonym: str) -> Any:
    changed = found if rule.places is None else renamed(found, rule.places, identity, pseudonym)
    if not rule.personal or found.get(rule.subject) != identity:
        return changed
    return changed | {name: empty for name, empty in rule.personal.items() if name in changed}


def _keys_renamed(event: dict[str, Any], rules: Rules, identity: str, pseudonym: str) -> dict[str, Any]:
    """Rename the key of a timer or of an effect, by what its plugin has declared."""
    plugin, key = event.get("plugin"), event.get("key")
    if not isinstance(plugin, str) or not isinstance(key, str):
        return event
    method = event.get("method")
    rule = rules.get(of_effects(plugin) if method is None else of_timer(plugin, method))
    if rule is None and method is not None and any(name.startswith(f"{plugin}.") for name in rules):
        return event  # the plugin is known, and its timer's key is no identity
    keys = ("{identity}",) if rule is None else rule.keys
    return event | {"key": _renamed_key(key, keys, identity, pseudonym)}


def _effect_without(event: dict[str, Any], rules: Rules, identity: str, pseudonym: str) -> dict[str, Any]:
    """Rename the participant in an owed effect; one of a type that nobody knows is emptied where it names them."""
    effect = event.get("effect")
    if not isinstance(effect, dict):
        return event
    owed = cast("dict[str, Any]", effect)
    rule = rules.get(of_effect(str(owed.get("type"))))
    if rule is not None:
        return event | {"effect": _without(owed, rule, identity, pseudonym)}
    return event | {"effect": {"type": owed.get("type")}} if identity in set(texts(owed)) else event


def texts(value: Any) -> Iterator[str]:
    """List all texts of a JSON value, keys of its inner objects included."""
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, list):
            waiting += cast("list[Any]", part)
        elif isinstance(part, dict):
            waiting += cast("dict[str, Any]", part)
            waiting += cast("dict[str, Any]", part).values()
