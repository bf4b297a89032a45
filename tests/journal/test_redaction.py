"""Words that are deleted leave the database with the commit that deletes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_bot.hall import session
from relay_bot.testing import HallKit

SECRET = "the secret of the tea"


def on_disk(folder: Path) -> bool:
    return any(SECRET.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("snapshots", [1, 20_000])
async def test_a_deleted_text_is_nowhere_in_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshots: int
) -> None:
    monkeypatch.setattr(session, "SNAPSHOT_EVERY", snapshots)
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        bob = await kit.join("bob", name="Bob")
        await bob.ask("chat", {"text": "this stays"}, "other")
        await bob.ask("chat", {"text": SECRET}, "m1")
        assert on_disk(tmp_path)
        await kit.call("chat", "delete_message", message_id="m1")
        assert not on_disk(tmp_path)
        assert kit.fingerprints() == await kit.replayed()
        await kit.restart()
        [kept] = (await kit.call("chat", "list_messages"))["messages"]
        assert kept["text"] == "this stays"
        await bob.ask("chat", {"text": "again"}, "m1")  # its id does not come to life again
        assert len((await kit.call("chat", "list_messages"))["messages"]) == 1
