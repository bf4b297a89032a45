"""Announcements: who may make one, who hears it, and for how long."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay_bot.testing import Guest, HallKit, Refused
from relay_bot.wire.clock import now_ms


@asynccontextmanager
async def hall(folder: Path, **settings: Any) -> AsyncGenerator[HallKit]:
    """A hall that must, in the end, be what its journal says."""
    async with HallKit.open(folder, {"announcements": settings}) as kit:
        yield kit
        await kit.settle()
        assert kit.fingerprints() == await kit.replayed()


async def refusal(awaitable: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await awaitable
    return caught.value


async def shown(guest: Guest) -> str | None:
    state = await guest.ask("sync", {})
    return state["announcement"]["text"] if "announcement" in state else None


async def test_a_host_announces_to_everybody(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        await host.ask("announcement", {"text": " We begin.\x07 ", "level": "warning"})
        said = ann.last("announcement")
        assert (said["text"], said["level"]) == ("We begin.", "warning")
        assert ann.received[-1]["sender_id"] == "host"
        await host.say("/announce We go on.")
        assert ann.last("announcement")["text"] == "We go on."
        assert ann.last("announcement")["level"] == "info"
        assert host.last("notice")["text"] == "announced"
        assert await shown(ann) == "We go on."


@pytest.mark.parametrize("role", ["", "speaker", "moderator"])
async def test_nobody_below_a_host_announces(tmp_path: Path, role: str) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann", role=role), await kit.join("bob")
        assert (await refusal(ann.ask("announcement", {"text": "hello"}))).code == "forbidden"
        assert (await refusal(ann.say("/announce hello"))).code == "forbidden"
        assert not bob.all("announcement")
        assert await shown(bob) is None


async def test_a_backend_announces_once_to_whom_it_names(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await kit.backend("announcement", {"text": "to all"})
        await kit.backend("announcement", {"text": "to ann"}, to=["ann"])
        await kit.call("announcements", "post_announcement", text="to ann too", to=["ann"])
        await kit.settle()
        assert [said["text"] for said in ann.all("announcement")] == ["to all", "to ann", "to ann too"]
        assert [said["text"] for said in bob.all("announcement")] == ["to all"]
        assert bob.received[-1]["sender_id"] is None
        assert await shown(ann) == await shown(bob) == "to all"


async def test_the_route_answers_with_what_was_announced(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        answer = await kit.call("announcements", "post_announcement", text="hello", level="warning")
        assert await ann.wait("announcement") == answer
        assert answer["text"] == "hello"


@pytest.mark.parametrize("payload", [{"text": " \x00 "}, {"text": "x" * 11}, {"text": "x", "level": "loud"}, {}])
async def test_what_can_not_be_announced_is_refused(tmp_path: Path, payload: dict[str, Any]) -> None:
    async with hall(tmp_path, max_text=10) as kit:
        host = await kit.join("host", role="host")
        assert (await refusal(host.ask("announcement", payload))).code == "malformed"
        assert not host.all("announcement")
        assert (await refusal(host.say("/announce"))).code == "malformed"


async def test_late_joiners_are_told_the_last_one_also_after_a_restart(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await kit.backend("announcement", {"text": "first"})
        await kit.backend("announcement", {"text": "last"})
        await kit.restart()
        late = await kit.join("late")
        assert (await late.wait("hall_state"))["announcement"]["text"] == "last"


async def test_it_is_shown_for_its_time(tmp_path: Path) -> None:
    async with hall(tmp_path, show_seconds=0.4) as kit:
        ann = await kit.join("ann")
        await kit.backend("announcement", {"text": "hello"})
        assert await shown(ann) == "hello"
        await kit.restart()  # the time goes on
        await kit.until(lambda: _state(kit).shown is None)
        assert await shown(ann) is None


async def test_a_newer_one_has_its_own_time(tmp_path: Path) -> None:
    async with hall(tmp_path, show_seconds=0.4) as kit:
        ann = await kit.join("ann")
        await kit.backend("announcement", {"text": "first"})
        until = _state(kit).shown.shown_until
        await kit.until(lambda: now_ms() > until - 100)
        await kit.backend("announcement", {"text": "second"})
        await kit.until(lambda: now_ms() > until + 50)
        assert await shown(ann) == "second"
        await kit.until(lambda: _state(kit).shown is None)


def _state(kit: HallKit) -> Any:
    assert kit.hall.session is not None
    return kit.hall.session.plugins["announcements"].state
