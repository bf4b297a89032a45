"""Hands that go down by themselves when their owner speaks, and come back where that was a mistake."""

from pathlib import Path

from tests.plugins.hands.support import Clock, hall, queue, raised


async def test_a_hand_goes_down_when_its_owner_has_spoken(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, auto_lower_seconds=3, give_back_seconds=5) as kit:
        ann, _ = await raised(kit, "ann", "bob")
        ann.speak()
        await kit.settle()
        await clock.advance(kit, 2)
        assert await queue(kit) == ["ann", "bob"]
        await clock.advance(kit, 2)
        assert await queue(kit) == ["bob"]
        assert (await ann.wait("hand_position", lambda said: not said["raised"]))["reason"] == "spoke"
        await clock.advance(kit, 6)
        ann.speak(muted=True)
        await kit.settle()
        assert await queue(kit) == ["bob"]
        await ann.ask("hand_raise", {"raised": True})
        assert await queue(kit) == ["bob", "ann"]


async def test_the_place_comes_back_where_they_stop_at_once(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, auto_lower_seconds=3, give_back_seconds=5) as kit:
        ann, _ = await raised(kit, "ann", "bob")
        ann.speak()
        await kit.settle()
        await clock.advance(kit, 4)
        assert await queue(kit) == ["bob"]
        await kit.restart()
        ann.speak(muted=True)
        await kit.settle()
        assert await queue(kit) == ["ann", "bob"]
        assert (await ann.wait("hand_position", lambda said: said["position"] == 1))["raised"]


async def test_raising_again_at_once_takes_the_place_back(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path) as kit:
        ann, _ = await raised(kit, "ann", "bob")
        ann.speak()
        await kit.settle()
        await clock.advance(kit, 4)
        await ann.ask("hand_raise", {"raised": True})
        assert await queue(kit) == ["ann", "bob"]


async def test_a_short_word_changes_nothing(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path) as kit:
        ann, _ = await raised(kit, "ann", "bob")
        ann.speak()
        await kit.settle()
        await clock.advance(kit, 1)
        ann.speak(muted=True)
        await kit.settle()
        await clock.advance(kit, 5)
        assert await queue(kit) == ["ann", "bob"]


async def test_a_client_may_report_that_its_user_speaks(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await raised(kit, "ann", "bob")
        await ann.ask("speaking", {"speaking": True})
        await bob.ask("speaking", {"speaking": True})
        await clock.advance(kit, 2)
        await bob.ask("speaking", {"speaking": False})
        await clock.advance(kit, 2)
        assert await queue(kit) == ["bob"]


async def test_it_can_be_switched_off(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, auto_lower_seconds=0) as kit:
        (ann,) = await raised(kit, "ann")
        ann.speak()
        await kit.settle()
        await clock.advance(kit, 60)
        assert await queue(kit) == ["ann"]
