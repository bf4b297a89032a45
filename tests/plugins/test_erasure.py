"""Whoever is erased has left nothing of theirs in any built-in plugin's events or states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relay_bot.hall.plugins import load_plugins
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
        assert await kit.hall.erase(WHO, "erased-1")
        await kit.settle()
        assert kit.fingerprints() == await kit.replayed()
        poll = await kit.call("polls", "get_poll", poll_id="c")
        assert poll["counts"] == [0, 1], "what was counted stays counted"
        await kit.stop()
    left = everything(tmp_path)
    assert WHO.encode() not in left
    assert WORDS.encode() not in left
