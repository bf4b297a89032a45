"""Owed effects: done at LiveKit after the commit, tried until they succeed, also over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.hall import debts
from relay_bot.journal.batch import Unavailable
from relay_bot.plugin import SetPermissions
from relay_bot.testing import HallKit
from tests.support.halls import done, open_hall


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(failures: int) -> float:
        return 0.02

    monkeypatch.setattr(debts, "pause", pause)


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, "errands") as made:
        await made.join("ann")
        yield made


async def grant(kit: HallKit, identity: str = "ann", *, key: str = "stage", can_publish: bool = True) -> None:
    payload = {"key": key, "identity": identity, "can_publish": can_publish}
    await kit.backend("grant", payload)


def settled(kit: HallKit) -> list[list[str | None]]:
    return msgspec.json.decode(kit.fingerprints()["errands"])["settled"]


def owed(kit: HallKit) -> int:
    assert kit.hall.session is not None
    return len(kit.hall.session.core.owed)


async def test_an_effect_is_done_once_and_ticked_off(kit: HallKit) -> None:
    await grant(kit)
    await kit.until(lambda: settled(kit) == [["ann", None]])
    assert done(kit) == [SetPermissions("ann", can_publish=True)]
    assert kit.room.presences["ann"].can_publish
    assert owed(kit) == 0
    await kit.settle()
    await kit.restart()
    await asyncio.sleep(0.05)
    assert len(done(kit)) == 1
    assert kit.fingerprints() == await kit.replayed()


async def test_what_fails_is_tried_again_until_it_succeeds(kit: HallKit) -> None:
    kit.room.failing = True
    await grant(kit)
    await asyncio.sleep(0.08)
    assert (done(kit), settled(kit), owed(kit)) == ([], [], 1)
    kit.room.failing = False
    await kit.until(lambda: settled(kit) == [["ann", None]])
    assert len(done(kit)) == 1


async def test_what_is_owed_is_done_after_a_restart(kit: HallKit) -> None:
    kit.room.failing = True
    await grant(kit)
    await kit.restart()
    assert owed(kit) == 1
    kit.room.failing = False
    await kit.until(lambda: settled(kit) == [["ann", None]])
    assert len(done(kit)) == 1


async def test_a_newer_effect_with_the_same_key_takes_the_place_of_the_older(kit: HallKit) -> None:
    kit.room.failing = True
    await grant(kit, can_publish=True)
    await grant(kit, can_publish=False)
    await grant(kit, key="another", can_publish=True)
    assert owed(kit) == 2
    kit.room.failing = False
    await kit.until(lambda: len(settled(kit)) == 2)
    assert len(done(kit)) == 2
    assert SetPermissions("ann", can_publish=False) in done(kit)


async def test_what_can_never_be_done_is_given_up_and_the_plugin_hears_why(kit: HallKit) -> None:
    await grant(kit, "nobody")
    await kit.until(lambda: settled(kit) == [["nobody", "not_found"]])
    assert owed(kit) == 0


async def test_nothing_is_done_before_the_commit(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: list[Any]) -> list[Unavailable]:
        return [Unavailable("told to fail")] * len(group)

    with monkeypatch.context() as broken:
        broken.setattr(kit.journal._store, "commit", refuse)
        kit.room.guests["ann"].send("grant", {"key": "stage", "identity": "ann"}, "m1")
        await kit.room.guests["ann"].wait("error")
        assert done(kit) == []
    await kit.until(lambda: kit.hall.status == "live")
    await asyncio.sleep(0.05)
    assert (done(kit), owed(kit)) == ([], 0)


async def test_an_effect_whose_ticking_off_was_not_kept_is_ticked_off_later(
    kit: HallKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was done, but the journal does not say so: it is owed still, and safe to repeat."""
    store: Any = kit.journal._store
    commit = store.commit

    def refuse_what_settles(group: list[Any]) -> Any:
        if any(row[3] == "hall.effect_settled" for batch in group for row in batch.events):
            monkeypatch.setattr(store, "commit", commit)
            return [Unavailable("told to fail")] * len(group)
        return commit(group)

    monkeypatch.setattr(store, "commit", refuse_what_settles)
    await grant(kit)
    await kit.until(lambda: store.commit == commit)
    await kit.until(lambda: kit.hall.status == "live" and owed(kit) == 0)
    await kit.settle()
    assert settled(kit) == [["ann", None]]
    assert kit.fingerprints() == await kit.replayed()
