"""`/next` means the next in the queue of hands or the next poll of a series: whichever there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_bot.testing import HallKit, Refused


async def test_next_is_for_the_one_that_has_something_next(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"polls": {}, "hands": {}}) as kit:
        host, bob = await kit.join("host", role="host"), await kit.join("bob")
        for index, poll_id in enumerate(("one", "two")):
            draft = {"poll_id": poll_id, "question": f"{poll_id}?", "options": ["a", "b"], "state": "draft"}
            await host.ask("poll", draft | {"series": {"series_id": "s", "index": index}})
        assert "one" in (await host.say("/next"))["notice"]
        await bob.ask("hand_raise", {"raised": True})
        with pytest.raises(Refused, match="/next@hands or /next@polls"):
            await host.say("/next")
        assert "two" in (await host.say("/next@polls"))["notice"]
        assert "bob" in (await host.say("/next"))["notice"]
