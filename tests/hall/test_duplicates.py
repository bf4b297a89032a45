"""The same sender sending the same id again gets the same answer again, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_bot.journal.batch import Unavailable
from relay_bot.testing import HallKit, Refused
from tests.support.halls import acks, errors, open_hall, votes


async def recorded(kit: HallKit) -> int:
    return (await kit.call("tally", "all_votes"))["recorded"]


@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
class TestAgain:
    async def test_a_packet_is_acked_again_and_counted_once(self, kit: HallKit, restart: bool) -> None:
        ann = await kit.join("ann")
        ann.send("vote", {}, "m1")
        await kit.settle()
        if restart:
            await kit.restart()
        ann.send("vote", {"option": "changed"}, "m1")
        await kit.settle()
        assert acks(ann, "m1") == 2
        assert await votes(kit) == {"ann": "yes"}
        assert await recorded(kit) == 1

    async def test_a_result_is_given_again(self, kit: HallKit, restart: bool) -> None:
        ann = await kit.join("ann", role="host")
        first = await ann.ask("who_am_i", {}, "m1")
        if restart:
            await kit.restart()
        assert await ann.ask("vote", {}, "m1") == first
        assert await recorded(kit) == 0

    async def test_a_refusal_for_good_is_given_again(self, kit: HallKit, restart: bool) -> None:
        ann = await kit.join("ann")
        with pytest.raises(Refused) as first:
            await ann.ask("vote", {"option": 7}, "m1")
        if restart:
            await kit.restart()
        with pytest.raises(Refused) as second:
            await ann.ask("vote", {"option": "yes"}, "m1")
        assert second.value.payload == first.value.payload
        assert second.value.payload["field"] == "payload.option"
        assert await votes(kit) == {}

    async def test_what_only_a_while_can_mend_is_tried_again(self, tmp_path: Path, restart: bool) -> None:
        async with open_hall(tmp_path, "trouble") as kit:
            ann = await kit.join("ann")
            with pytest.raises(Refused, match="internal"):
                await ann.ask("fail", {"how": "raise"}, "m1")
            if restart:
                await kit.restart()
            assert await ann.ask("fail", {"how": "not at all"}, "m1") is None

    async def test_the_door_does_not_matter(self, kit: HallKit, restart: bool) -> None:
        ann = await kit.join("ann")
        await ann.ask("vote", {}, "m1")
        if restart:
            await kit.restart()
        ann.send("vote", {}, "m1")
        await kit.settle()
        assert acks(ann, "m1") == 1
        assert await recorded(kit) == 1

    async def test_another_sender_with_the_same_id_is_another_message(self, kit: HallKit, restart: bool) -> None:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("vote", {}, "m1")
        if restart:
            await kit.restart()
        await bob.ask("vote", {}, "m1")
        assert await votes(kit) == {"ann": "yes", "bob": "yes"}


async def test_repetitions_in_one_burst_are_each_answered(kit: HallKit) -> None:
    """The first is not durable yet when the second comes: neither is answered before it is."""
    ann = await kit.join("ann")
    for _ in range(5):
        ann.send("vote", {}, "a-long-enough-random-id")
    await kit.settle()
    assert acks(ann, "a-long-enough-random-id") == 5
    assert await recorded(kit) == 1


async def test_a_message_without_an_id_is_taken_in_silence_and_refused_aloud(kit: HallKit) -> None:
    ann = await kit.join("ann")
    ann.send("vote", {})
    await kit.settle()
    assert (await votes(kit), ann.all("ack"), ann.all("error")) == ({"ann": "yes"}, [], [])
    ann.send("vote", {"option": 7})
    await kit.settle()
    assert errors(ann) == ["malformed"]


async def test_an_answer_that_is_not_durable_is_not_given_again(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit failed and the vote was answered `busy`: with the same id it must count when it comes again."""
    ann = await kit.join("ann")
    with monkeypatch.context() as broken:
        broken.setattr(kit.journal._store, "commit", lambda group: [Unavailable("full")] * len(group))  # type: ignore[misc]
        with pytest.raises(Refused, match="busy"):
            await ann.ask("vote", {}, "m1")
    await kit.until(lambda: kit.hall.status == "live")
    await ann.ask("vote", {}, "m1")
    assert await recorded(kit) == 1
