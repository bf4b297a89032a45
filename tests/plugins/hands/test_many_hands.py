"""500 hands at once: order, pages under the packet limit, and no more pushes than the throttle lets through."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from relay_bot.testing import Guest
from tests.plugins.hands.support import hall, queue


def newest_whole_queue(host: Guest) -> list[dict[str, Any]] | None:
    """Put the pages of the newest seq together as a client does; `None` while some are missing."""
    newest = max(page["seq"] for page in host.all("hand_queue"))
    pages = {page["page"]: page for page in host.all("hand_queue") if page["seq"] == newest}
    if len(pages) < pages[min(pages)]["pages"]:
        return None
    return [hand for number in sorted(pages) for hand in pages[number]["queue"]]


async def test_500_hands_keep_their_order_in_pages_that_fit(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host")
        names = [f"participant-{number:03}" for number in range(500)]
        guests = [await kit.join(name, name=f"{'Ä' * 40} {name}") for name in names]
        for guest in guests:
            guest.send("hand_raise", {"raised": True, "topic": "☝" * 100})
        await kit.settle()
        assert await queue(kit) == names

        def is_whole() -> bool:
            return [hand["participant_id"] for hand in newest_whole_queue(host) or ()] == names

        await kit.until(is_whole)
        pushes = {page["seq"] for page in host.all("hand_queue")}
        assert len(pushes) <= 12  # not one for each of the 500
        sizes = [len(msgspec.json.encode(packet)) for packet in host.received]
        assert max(sizes) <= 15_000
        assert guests[499].last("hand_position")["position"] == 500
        asked = [await host.ask("hands", {"page": number}) for number in range(host.last("hand_queue")["pages"])]
        assert [hand["participant_id"] for page in asked for hand in page["queue"]] == names


async def test_when_the_line_moves_those_far_back_hear_only_of_every_tenth_place(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        guests = [await kit.join(f"p{number:03}") for number in range(200)]
        for guest in guests:
            guest.send("hand_raise", {"raised": True})
        await kit.settle()
        await asyncio.sleep(0.3)  # the throttle of the positions told while raising
        heard = [len(guest.all("hand_position")) for guest in guests]
        await kit.call("hands", "lower_hand", participant_id="p000")
        await guests[99].wait("hand_position", lambda said: said["position"] == 99)
        await kit.settle()
        told = [len(guest.all("hand_position")) - before for guest, before in zip(guests, heard, strict=True)]
        assert all(count == 1 for count in told[:100])
        assert 5 <= sum(told[100:]) <= 15
