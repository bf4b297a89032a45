"""The mailbox: bounded, and what goes first when it is full has a name."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay_bot.hall.mailbox import _ROSTER_RESERVE, Mailbox
from relay_bot.link import Frame, Left
from relay_bot.testing import HallKit
from tests.support.halls import acks, envelope, errors, open_hall, unlimited, votes

BOUND = 3


class Box:
    """A small mailbox that remembers which frames it refused."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.box = Mailbox(BOUND, lambda frame: self.refused.append(frame.sender))

    def arrive(self, *arrivals: Any) -> None:
        self.box.arrive(arrivals)

    def content(self) -> list[str]:
        return [item.sender if isinstance(item, Frame) else type(item).__name__ for item in self.box.take(100)]


def reliable(sender: str) -> Frame:
    return Frame(b"", sender, 0.0)


def lossy(sender: str) -> Frame:
    return Frame(b"", sender, 0.0, reliable=False)


def test_what_arrives_is_taken_in_order_and_in_parts() -> None:
    made = Box()
    made.arrive(reliable("a"), Left("x"), lossy("b"))
    assert [type(item) for item in made.box.take(2)] == [Frame, Left]
    assert made.content() == ["b"]


def test_full_a_lossy_frame_is_dropped_unanswered() -> None:
    made = Box()
    made.arrive(reliable("a"), reliable("b"), reliable("c"), lossy("d"))
    assert (made.content(), made.refused) == (["a", "b", "c"], [])


def test_full_a_reliable_frame_takes_the_place_of_the_oldest_lossy_one() -> None:
    made = Box()
    made.arrive(reliable("a"), lossy("b"), lossy("c"))
    made.arrive(reliable("d"))
    assert (made.content(), made.refused) == (["a", "c", "d"], [])


def test_full_of_reliable_frames_another_one_is_refused() -> None:
    made = Box()
    made.arrive(reliable("a"), reliable("b"), reliable("c"), reliable("d"))
    assert (made.content(), made.refused) == (["a", "b", "c"], ["d"])


def test_what_the_link_says_of_the_room_is_never_refused() -> None:
    made = Box()
    made.arrive(reliable("a"), reliable("b"), reliable("c"), Left("x"), Left("y"), reliable("d"))
    assert (made.content(), made.refused) == (["a", "b", "c", "Left", "Left"], ["d"])


def test_even_that_is_bounded() -> None:
    made = Box()
    made.arrive(*[Left("x")] * (BOUND + _ROSTER_RESERVE + 5))
    assert len(made.box) == BOUND + _ROSTER_RESERVE
    assert not made.box.put("a request")


def test_there_is_room_again_after_a_take() -> None:
    made = Box()
    made.arrive(reliable("a"), reliable("b"), lossy("c"))
    made.box.take(3)
    made.arrive(reliable("d"), reliable("e"), reliable("f"), reliable("g"))
    assert (made.content(), made.refused) == (["d", "e", "f"], ["g"])


def test_what_is_given_back_comes_first_again() -> None:
    made = Box()
    made.arrive(reliable("a"), lossy("b"), reliable("c"))
    made.box.give_back(made.box.take(2))
    made.arrive(reliable("d"))
    assert (made.content(), made.refused) == (["a", "c", "d"], [])


def test_a_full_mailbox_takes_each_vote_without_looking_through_it() -> None:
    """Lossy frames behind many reliable ones: a search for each vote would take 20,000² / 2 looks, many seconds."""
    many = 20_000
    made = Mailbox(2 * many, lambda frame: None)
    made.arrive([reliable("a")] * many + [lossy("b")] * many)
    started = time.monotonic()
    made.arrive([reliable("c")] * many)
    assert time.monotonic() - started < 3
    assert [frame.sender for frame in made.take(3 * many)] == ["a"] * many + ["c"] * many
    assert len(made) == 0


def test_what_was_dropped_does_not_count() -> None:
    made = Box()
    made.arrive(lossy("a"), lossy("b"), lossy("c"))
    made.arrive(reliable("d"), reliable("e"), reliable("f"))
    assert len(made.box) == 3
    assert [frame.sender for frame in made.box.take(2)] == ["d", "e"]
    made.arrive(lossy("g"), lossy("h"), reliable("i"))
    assert made.content() == ["f", "h", "i"]
    assert len(made.box) == 0


_arrivals = st.lists(st.sampled_from(["reliable", "lossy", "roster", "take", "look"]), max_size=40)


@settings(max_examples=150, deadline=None)
@given(_arrivals)
def test_nothing_reliable_is_lost_in_silence(steps: list[str]) -> None:
    made = Box()
    sent: list[str] = []
    taken: list[str] = []
    for number, step in enumerate(steps):
        if step == "take":
            taken += [item.sender for item in made.box.take(2) if isinstance(item, Frame)]
        elif step == "look":
            made.box.give_back(made.box.take(1))
        elif step == "roster":
            made.arrive(Left("x"))
        else:
            made.arrive(Frame(b"", f"{step} {number}", 0.0, reliable=step == "reliable"))
            sent.append(f"{step} {number}")
    kept = [name for name in taken + made.content() if name != "Left"]
    assert [name for name in kept if name.startswith("reliable")] == [
        name for name in sent if name.startswith("reliable") and name not in made.refused
    ]
    assert kept == [name for name in sent if name in kept], "in order"


async def test_waiting_ends_with_an_arrival_a_wake_or_the_time() -> None:
    box = Box().box
    waiting = asyncio.create_task(box.wait(None))
    await asyncio.sleep(0)
    box.arrive([reliable("a")])
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(box.wait(None), 1)  # something is there already
    box.take(1)
    waiting = asyncio.create_task(box.wait(None))
    await asyncio.sleep(0)
    box.wake()
    await asyncio.wait_for(waiting, 1)
    started = time.monotonic()
    await box.wait(0.02)
    assert time.monotonic() - started >= 0.015


# -- in the hall --------------------------------------------------------------------------------------


def flood(kit: HallKit, sender: str, count: int, **frame: Any) -> None:
    """Let packets arrive at once, as one list of the link's."""
    stamp = time.monotonic()
    kit.room.tell(*(Frame(envelope("vote", {}, id=f"{sender}-{n}"), sender, stamp, **frame) for n in range(count)))


async def test_a_flood_is_answered_busy_and_the_hall_goes_on(tmp_path: Path) -> None:
    async with open_hall(tmp_path, settings=unlimited(mailbox=100)) as kit:
        ann = await kit.join("ann")
        flood(kit, "ann", 110)
        await kit.settle()
        assert sum(acks(ann, f"ann-{number}") for number in range(110)) == 100
        assert [errors(ann, f"ann-{number}") for number in range(100, 110)] == [["busy"]] * 10
        assert ann.last("error")["retry_after_ms"] > 0
        flood(kit, "ann", 1)
        await kit.settle()
        assert await votes(kit) == {"ann": "yes"}


async def test_a_join_is_heard_though_the_mailbox_is_full(tmp_path: Path) -> None:
    async with open_hall(tmp_path, settings=unlimited(mailbox=100)) as kit:
        await kit.join("ann")
        flood(kit, "ann", 200)
        await kit.join("bob")
        assert kit.hall.roster.get("bob") is not None


async def test_lossy_packets_make_room_for_votes(tmp_path: Path) -> None:
    async with open_hall(tmp_path, settings=unlimited(mailbox=100)) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        flood(kit, "ann", 100, reliable=False)
        flood(kit, "bob", 10)
        await kit.settle()
        assert sum(acks(bob, f"bob-{number}") for number in range(10)) == 10
        assert sum(acks(ann, f"ann-{number}") for number in range(100)) == 90
        assert errors(ann) == []
