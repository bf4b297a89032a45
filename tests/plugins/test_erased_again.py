"""What holds for somebody, or was done by them once, holds after they were erased and came again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay_bot.testing import Guest, HallKit, Refused


async def erased(kit: HallKit, guest: Guest, **more: Any) -> Guest:
    """Have a guest leave, be erased, and come again."""
    guest.leave()
    await kit.settle()
    assert await kit.hall.erase(guest.identity)
    await kit.settle()
    return await kit.join(guest.identity, **more)


async def code(asked: Any) -> str:
    """The code that a request is refused with."""
    try:
        await asked
    except Refused as refused:
        return refused.code
    return ""


async def test_one_hand_for_each(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"hands": {}}) as kit:
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        await ann.ask("hand_raise", {"raised": True})
        ann = await erased(kit, ann)
        await ann.ask("hand_raise", {"raised": True})
        assert [hand["participant_id"] for hand in (await host.ask("hands", {}))["queue"]] == ["ann"]
        await kit.settle()
        assert kit.fingerprints() == await kit.replayed()


async def test_one_reaction_for_each(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        await host.ask("chat", {"text": "hello"})
        [message] = (await kit.call("chat", "list_messages"))["messages"]
        reaction = {"message_id": message["message_id"], "emoji": "👍"}
        await ann.ask("reaction", reaction)
        ann = await erased(kit, ann)
        await ann.ask("reaction", reaction)
        [message] = (await kit.call("chat", "list_messages"))["messages"]
        assert message["reactions"] == {"👍": 1}
        await ann.ask("reaction", reaction | {"emoji": "🎉"})
        [message] = (await kit.call("chat", "list_messages"))["messages"]
        assert message["reactions"] == {"👍": 1, "🎉": 1}


@pytest.mark.parametrize("lifted_by", ["hand", "time"])
async def test_a_mute_stays(tmp_path: Path, lifted_by: str) -> None:
    async with HallKit.open(tmp_path, {"moderation": {}, "chat": {}}) as kit:
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        until = {"duration_seconds": 1.5} if lifted_by == "time" else {}
        await host.ask("moderation", {"action": "mute", "participant_id": "ann"} | until)
        ann = await erased(kit, ann)
        assert await code(ann.ask("chat", {"text": "hello"})) == "muted"
        assert "muted" in await ann.ask("sync", {})
        await kit.until(lambda: not kit.room.presences["ann"].can_publish_data)
        if lifted_by == "hand":
            await host.say("/unmute ann")
        else:
            await ann.wait("moderation", lambda said: said["action"] == "unmute")
        await kit.until(lambda: kit.room.presences["ann"].can_publish_data)
        await ann.ask("chat", {"text": "hello"})
        assert kit.fingerprints() == await kit.replayed()


async def test_a_ban_stays(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"moderation": {}, "chat": {}}) as kit:
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        await host.ask("moderation", {"action": "ban", "participant_id": "ann"})
        await kit.settle()
        assert kit.hall.refuses_join("ann")
        ann = await erased(kit, ann)
        assert kit.hall.refuses_join("ann")
        assert kit.hall.refuses_join("ben") is None
        assert await code(ann.ask("chat", {"text": "hello"})) == "blocked"
        await host.ask("moderation", {"action": "ban", "participant_id": "ann", "reason": "again"})
        [ban] = (await kit.call("moderation", "list_sanctions"))["sanctions"]
        assert (ban["participant_id"], ban["reason"]) == ("ann", "again")
        ann = await erased(kit, ann)
        await host.ask("moderation", {"action": "unban", "participant_id": "ann"})
        assert kit.hall.refuses_join("ann") is None
        await kit.settle()
        assert kit.fingerprints() == await kit.replayed()


async def test_own_words_stay_untrusted(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        mallory = await kit.join("mallory", can_update_metadata=True)
        mallory.leave()
        await kit.settle()
        assert await kit.hall.erase("mallory")
        await kit.settle()
        kit.hall.roster.distrusted.clear()  # as in a process that starts now
        await kit.restart()
        mallory = await kit.join("mallory", name="The Host", attributes={"relay.role": "host"})
        assert (await mallory.ask("sync", {}))["role"] == "viewer"
        assert kit.hall.roster.get("mallory").display_name == "mallory"  # type: ignore[union-attr]
