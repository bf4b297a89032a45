"""Moderation's blocked words, wherever a text would be seen by others: no plugin knows them but that one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from relay_bot.testing import Guest, HallKit, Refused

PLUGINS: dict[str, Any] = {
    "moderation": {"blocked_words": ["Darn", "very bad", "schlimm", " "]},
    "polls": {},
    "chat": {},
    "hands": {},
}
BAD = "well, DARN it"


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with HallKit.open(tmp_path, PLUGINS) as hall:
        yield hall
        assert hall.fingerprints() == await hall.replayed()


@pytest.fixture
async def host(kit: HallKit) -> Guest:
    host = await kit.join("host", role="host")
    await host.ask("poll", {"poll_id": "said", "kind": "text", "question": "Why?"})
    await host.ask("poll", {"poll_id": "secret", "kind": "text", "question": "Why?", "anonymous": True})
    await host.ask("poll", {"poll_id": "open", "question": "?", "options": ["a", "b"], "user_options": "free"})
    return host


TEXTS: list[tuple[str, dict[str, Any], str]] = [
    ("chat", {"text": "{}"}, "text"),
    ("chat", {"text": "hello", "display_name": "{}"}, "display_name"),
    ("reaction", {"emoji": "{}"}, "emoji"),
    ("poll_response", {"poll_id": "said", "text": "{}"}, "text"),
    ("poll_response", {"poll_id": "secret", "text": "{}"}, "text"),
    ("poll_option", {"poll_id": "open", "text": "{}"}, "text"),
    ("hand_raise", {"raised": True, "topic": "{}"}, "topic"),
]


def _with(payload: dict[str, Any], text: str) -> dict[str, Any]:
    return {name: text if value == "{}" else value for name, value in payload.items()}


@pytest.mark.parametrize(("kind", "payload", "field"), TEXTS)
async def test_a_text_with_one_is_refused_and_nobody_is_told_of_it(
    kit: HallKit, host: Guest, kind: str, payload: dict[str, Any], field: str
) -> None:
    ann = await kit.join("ann")
    seq = kit.hall.seq
    with pytest.raises(Refused) as refused:
        await ann.ask(kind, _with(payload, BAD))
    assert (refused.value.code, refused.value.payload["field"]) == ("blocked", f"payload.{field}")
    assert "darn" not in str(refused.value.payload).lower()
    assert kit.hall.seq == seq
    await host.ask("sync", {})
    assert "DARN" not in str([*host.received, *ann.received])
    assert kit.hall.session is not None
    harmless = "👍" if kind == "reaction" else "well, it is darning"
    await ann.ask(kind, _with(payload, harmless))
    assert kit.hall.seq > seq or kind == "reaction"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("DARN", True),
        ("well-darn", True),
        ("ｄａｒｎ", True),
        ("d\u200ba\u00adrn", True),
        ("ein SCHLIMMes Wort", False),
        ("Very,  BAD!", True),
        ("very good, bad", False),
        ("everything is bad", False),
        ("darned", False),
        ("...", False),
    ],
)
async def test_words_are_whole_and_alike_however_written(kit: HallKit, host: Guest, text: str, refused: bool) -> None:
    if refused:
        with pytest.raises(Refused, match="blocked"):
            await host.say(text)
    else:
        await host.say(text)


async def test_a_topic_that_the_settings_name_is_theirs_to_choose(tmp_path: Path) -> None:
    plugins = PLUGINS | {"hands": {"topics": ["darn"]}}
    async with HallKit.open(tmp_path, plugins) as kit:
        ann = await kit.join("ann")
        assert (await ann.ask("hand_raise", {"raised": True, "topic": "darn"}))["raised"]


async def test_without_a_plugin_that_objects_every_text_passes(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        await (await kit.join("ann")).say(BAD)
