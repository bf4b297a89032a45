"""A plugin's `refuses` that fails costs the message that it was asked about, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_bot.testing import HallKit, Refused

PLUGIN = """
from relay_bot.plugin import Plugin, Refuse, Sender, State

class Nothing(State):
    pass

class GuardPlugin(Plugin[Nothing]):
    def refuses(self, sender: Sender, kind: str) -> Refuse | None:
        if kind == "trap":
            raise RuntimeError("a mistake in a plugin")
        return None
"""


async def test_a_guard_that_raises_costs_its_message_alone(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "guard.py").write_text(PLUGIN)
    async with HallKit.open(tmp_path, {"path": [str(folder)], "guard": {}}) as kit:
        alice = await kit.join("alice")
        hall = kit.hall.session
        with pytest.raises(Refused, match="internal"):
            await alice.ask("trap", {})
        assert await alice.ask("anything", {}) is None
        assert kit.hall.session is hall, "the hall did not have to open its session again"
