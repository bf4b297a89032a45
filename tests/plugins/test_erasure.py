"""Whoever is erased has left nothing of theirs in any built-in plugin's events or states."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from msgspec import inspect

from relay_bot.hall import core
from relay_bot.hall.plugins import load_plugins
from relay_bot.journal.events import EventTable
from relay_bot.testing import HallKit
from tests.journal.test_privacy import everything

WHO = "zoe-4711"
WORDS = "marmalade"


async def test_in_every_built_in_plugin(tmp_path: Path) -> None:
    every: dict[str, Any] = {name: {} for name in load_plugins({}, Path())}
    async with HallKit.open(tmp_path, every) as kit:
        host = await kit.join("host", role="host")
        zoe = await kit.join(WHO, name=f"Zoe {WORDS}", role="host")
        await zoe.say(f"{WORDS} for all")
        await zoe.ask("announcement", {"text": f"{WORDS} is served"})
        await zoe.ask("hand_raise", {"raised": True, "topic": WORDS})
        await host.ask("poll", {"poll_id": "t", "kind": "text", "question": "What?", "options": []})
        await zoe.ask("poll_response", {"poll_id": "t", "text": WORDS})
        await host.ask("poll", {"poll_id": "c", "question": "Which?", "options": ["a", "b"], "anonymous": False})
        await zoe.ask("poll_response", {"poll_id": "c", "option": 1})
        await kit.call("moderation", "decide", action="mute", participant_id=WHO, reason=WORDS)
        zoe.leave()
        await kit.settle()
        assert await kit.hall.erase(WHO)
        await kit.settle()
        assert kit.fingerprints() == await kit.replayed()
        poll = await kit.call("polls", "get_poll", poll_id="c")
        assert poll["counts"] == [0, 1], "what was counted stays counted"
        await kit.stop()
    left = everything(tmp_path)
    assert WHO.encode() not in left
    assert WORDS.encode() not in left


NO_IDENTITIES = {
    "announcement_id", "correct", "display_name", "effect", "emoji", "error", "explanation", "id", "kind", "labels",
    "level", "message_id", "method", "mode", "name", "option", "options", "outcome", "plugin", "poll_id", "question",
    "reason", "reply_to", "rerun_of", "results", "roles", "sanction", "series_id", "text", "topic", "user_options",
    "answers", "final", "held_id", "payload", "rankings", "type", "words", "spellings", "meant",
}  # fmt: skip
"""Fields with texts that are no identities, whichever plugin they are of."""
KEYS = {
    "hall.timer_set",
    "hall.timer_cleared",
    "hall.effect_owed",
    "hall.effect_settled",
    "hall.effect_died",
    "hall.effect_retried",
}
"""Their `key` is declared by the plugin whose timer or effect it is."""


def texts(name: str, kind: inspect.Type) -> set[str]:
    """List the fields of a type that hold texts and no declared identities."""
    match kind:
        case inspect.StrType() | inspect.AnyType():
            return {name}
        case inspect.Metadata(type=inner):
            extra: dict[str, Any] | None = cast("Any", kind).extra  # its type has no parameters
            return set() if extra and extra.get("identity") else texts(name, inner)
        case inspect.CollectionType(item_type=inner):
            return texts(name, inner)
        case inspect.DictType(key_type=key, value_type=value):
            return texts(name, key) | texts(name, value)
        case inspect.UnionType(types=types):
            return {found for each in types for found in texts(name, each)}
        case inspect.StructType(fields=fields):
            return {found for field in fields for found in texts(field.name, field.type)}
        case _:
            return set()


def test_every_identity_in_an_event_is_declared() -> None:
    """A field of a text is an `Identity`, or it is named above as one that never holds one."""
    tables: list[EventTable[Any]] = [each.spec.events for each in load_plugins({}, Path()).values()]
    for table in [*tables, core.TABLE]:
        for event_type, name in table.types().items():
            found = texts(name, inspect.type_info(event_type))
            assert found - NO_IDENTITIES - ({"key"} if name in KEYS else set()) == set(), name


def test_every_timer_with_somebodys_key_is_declared() -> None:
    others = {"opening_time", "sweep", "time_is_up"}
    for loaded in load_plugins({}, Path()).values():
        assert loaded.spec.timers - others == set(loaded.spec.timer_keys)
