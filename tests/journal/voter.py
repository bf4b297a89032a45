"""A bot and a voter in one process, to be killed: prints each id that was acked. See `test_kill`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import structlog

from relay_bot.testing import Guest
from tests.support.halls import open_hall


def print_acks(guest: Guest) -> None:
    hear = guest.hear

    def heard(packet: dict[str, Any]) -> None:
        hear(packet)
        if packet["type"] == "ack":
            print(*packet["payload"]["ids"], sep="\n", flush=True)  # noqa: T201

    guest.hear = heard  # type: ignore[method-assign]


async def vote(folder: Path, first: int) -> None:
    """Vote until killed, from a number on that may have been acked before."""
    async with open_hall(folder) as kit:
        ann = await kit.join("ann")
        print_acks(ann)
        for number in range(first, first + 100_000):
            message_id = f"message-{number:010}"
            ann.send("vote", {"option": message_id}, message_id)
            if number % 20 == 0:
                await asyncio.sleep(0.001)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(vote(Path(sys.argv[1]), int(sys.argv[2])))
