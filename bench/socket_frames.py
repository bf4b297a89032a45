"""Our side of the native link's socket: what a packet costs from the socket through the decoder to the mailbox.

The real link, seat and mailbox; behind the socket sits a stand-in that costs its own process, not ours. Run as a
process of its own, too:

    python -m bench.socket_frames --frames 200000 --together 100
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.no_rooms import NoRooms
from bench.stand_in_link import write_program
from relay_bot.hall.mailbox import Mailbox
from relay_bot.hall.seat import SeatKeeper
from relay_bot.hall.services import Services
from relay_bot.hall.shelf import Shelf
from relay_bot.hall.watchdog import Watchdog
from relay_bot.journal.writer import Journal
from relay_bot.link import Frame
from relay_bot.link.native import NativeLink
from relay_bot.observe import logs
from relay_bot.settings import LogSettings, Settings

_TAKEN_AT_ONCE = 256  # as a hall takes them
_WARM_UP = 0.05  # of the frames, before the clock runs
_LIMIT = 60.0


class Result(msgspec.Struct):
    """So many packets reached the mailbox after so many seconds (of the wall, and of CPU)."""

    packets: int
    seconds: float
    cpu_seconds: float


async def measure(frames: int, together: int) -> Result:
    """Take frames that come so many together."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        link = NativeLink(write_program(Path(folder), frames, together))
        settings = Settings()
        journal = Journal(settings.storage.url)  # never started: only the seat and its mailbox are at work
        shelf = Shelf(journal, settings.storage.max_shelved)
        services = Services(settings, journal, link, NoRooms(), {}, Watchdog(), shelf)
        mailbox = Mailbox(settings.gate.mailbox, _refused)
        keeper = SeatKeeper("bench", services, mailbox)
        seat = asyncio.create_task(keeper.run())
        try:
            async with asyncio.timeout(_LIMIT):
                before = await _take(mailbox, int(frames * _WARM_UP))
                started, cpu_before = time.perf_counter(), time.process_time()
                packets = await _take(mailbox, frames - before)
                result = Result(packets, time.perf_counter() - started, time.process_time() - cpu_before)
        except TimeoutError:
            sys.exit(f"not all of {frames} frames came within {_LIMIT:g} s")
        finally:
            seat.cancel()
            await asyncio.gather(seat, return_exceptions=True)
            await link.close()
        return result


async def _take(mailbox: Mailbox, frames: int) -> int:
    """Take at least so many frames from the mailbox; gives how many."""
    taken = 0
    while taken < frames:
        await mailbox.wait(None)
        while items := mailbox.take(_TAKEN_AT_ONCE):
            taken += sum(type(item) is Frame for item in items)
    return taken


def _refused(frame: Frame) -> None:
    sys.exit("the mailbox was full")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.socket_frames", description="Frames through the socket.")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--together", type=int, default=100, help="frames in a message of the link's")
    arguments = parser.parse_args()
    logs.configure(LogSettings(level="warning"))
    print(msgspec.json.encode(asyncio.run(measure(arguments.frames, arguments.together))).decode())


if __name__ == "__main__":
    main()
