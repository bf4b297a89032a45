"""SIGHUP: what can be taken up is, for halls found from then on; what can't is named; what is wrong changes nothing."""

import asyncio
import os
import signal
from typing import Any

import pytest
import yaml

from tests.server.polls import a_vote, open_poll, poll_of, votes_are
from tests.support.bot import Bot, eventually
from tests.support.clients import Join

pytestmark = pytest.mark.server


async def reload(bot: Bot, change: dict[str, dict[str, Any]], outcome: str) -> dict[str, Any]:
    """Change sections of the bot's config.yaml and have it read again; gives what it logged about it."""
    written = yaml.safe_load(bot.config.read_text("utf-8"))
    for section, values in change.items():
        written[section] = written.get(section, {}) | values
    bot.config.write_text(yaml.safe_dump(written, sort_keys=False), "utf-8")
    before = len(bot.events(outcome))
    os.kill(bot.pid, signal.SIGHUP)

    async def told() -> dict[str, Any] | None:
        lines = bot.events(outcome)
        return lines[-1] if len(lines) > before else None

    return await eventually(told, outcome)


async def test_new_halls_have_the_new_settings_and_old_ones_go_on(bot: Bot, join: Join) -> None:
    old = await bot.open_hall()
    ann = await join(old, "ann")
    await bot.live(old, present=1)
    poll_id = await open_poll(bot, old)
    await ann.rpc("poll_response", a_vote(poll_id, 0))
    told = await reload(
        bot,
        {
            "halls": {"include": [*bot.halls, "later-*"]},
            "roles": {"hosts": ["bob"]},
            "plugins": {"hands": {"enabled": False}},
            "control": {"port": bot.port + 1},
            "bot": {"identity": "another"},
        },
        "app.reloaded",
    )
    assert (told["taken_for_new_halls"], told["needs_restart"]) == (["halls", "plugins", "roles"], ["bot", "control"])

    later = await bot.open_hall("later")
    bob = await join(later, "bob")
    state = (await bob.wait_for("hall_state", timeout=15)).payload
    assert (state["role"], state["bot_identity"]) == ("host", bot.identity)
    refused = await bot.get(f"/v1/halls/{later}/hands")
    assert (refused.status, refused.body["error"]["code"]) == (404, "not_found"), "a plugin that is not in that hall"
    assert (await bot.get(f"/v1/halls/{old}/hands")).status == 200
    await bot.live(later, present=1)

    await ann.rpc("poll_response", a_vote(poll_id, 1))
    assert votes_are(await poll_of(bot, old, poll_id), [0, 1], voters=1)
    assert len(bot.events("hall.opened")) == 2, "no hall was opened again"


async def test_a_configuration_with_a_mistake_changes_nothing(bot: Bot) -> None:
    hall = await bot.open_hall()
    bot.expect_errors("app.reload_refused")
    told = await reload(bot, {"halls": {"include": ["other-*"], "reconcile_seconds": 0}}, "app.reload_refused")
    assert told["error"] == "config.yaml: halls.reconcile_seconds: expected `float` > 0.0, got 0"
    told = await reload(bot, {"halls": {"reconcile_seconds": 0.3}, "plugins": {"nothing": {}}}, "app.reload_refused")
    assert "plugins.nothing" in told["error"]
    assert not bot.events("app.reloaded")
    found = await bot.hall(hall)
    assert found is not None
    assert found["status"] == "live"
    other = bot.livekit.new_hall("other")
    await asyncio.to_thread(bot.livekit.server.call, "CreateRoom", {"name": other})
    again = await bot.open_hall()
    assert await bot.hall(other) is None, "it serves what it served before"
    assert await bot.hall(again) is not None
