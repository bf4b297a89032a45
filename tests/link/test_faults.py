"""What happens when the native link's process, its socket or its parent breaks."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from relay_bot.link import Frame, Joined, LinkError, Lost, Reason
from relay_bot.link import _frames as wire
from relay_bot.link.native import NativeLink
from tests.link.world import Guest, Hall, Recorder, eventually, hall_on
from tests.support.links import link_binary
from tests.support.livekit_server import LiveKit

pytestmark = pytest.mark.server


@pytest.fixture
def program() -> Path:
    return link_binary()


@pytest.fixture
async def link(program: Path) -> AsyncGenerator[NativeLink]:
    link = NativeLink(program)
    yield link
    await link.close()


def pid_of(link: NativeLink) -> int:
    assert link.pid is not None
    return link.pid


async def flood(guest: Guest, data: bytes, seconds: float, pause: float = 0.0) -> int:
    """Send until the time is over; gives how many packets that were."""
    sent, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        await guest.send(data, reliable=False)
        sent += 1
        await asyncio.sleep(pause)
    return sent


async def test_a_link_that_is_killed_in_a_burst_is_started_again(
    hall: Hall, livekit: LiveKit, link: NativeLink
) -> None:
    async with hall_on(livekit, livekit.new_hall(), link) as other:
        seat, sink = await hall.bot()
        _, other_sink = await other.bot()
        ann = await hall.guest("ann")
        await sink.first(Joined)
        burst = asyncio.create_task(flood(ann, b"vote", 1.0))
        await sink.until(lambda: len(sink.frames) > 20)
        publishing = [asyncio.create_task(seat.publish(b"x" * 10_000, to=["ann"], topic="")) for _ in range(500)]
        await asyncio.sleep(0)
        first = pid_of(link)
        os.kill(first, signal.SIGKILL)
        for one in (sink, other_sink):
            assert (await one.first(Lost)).reason is Reason.NETWORK
            assert isinstance(one.arrivals[-1], Lost)
        results = await asyncio.gather(*publishing, return_exceptions=True)
        assert all(result is None or isinstance(result, LinkError) for result in results)
        assert any(isinstance(result, LinkError) for result in results)
        await burst
        before = time.monotonic()
        seat, sink = await hall.bot()
        assert time.monotonic() - before < 5
        assert pid_of(link) != first
        assert [joined.presence.identity for joined in sink.all_of(Joined)] == ["ann"]
        await seat.publish(b"back", to=["ann"], topic="")
        await eventually(lambda: bool(ann.packets) and ann.packets[-1].data == b"back")


async def test_a_link_that_keeps_dying_is_started_less_and_less_often(hall: Hall, link: NativeLink) -> None:
    lives = 0
    end = time.monotonic() + 3
    while time.monotonic() < end:
        _, sink = await hall.bot()
        lives += 1
        os.kill(pid_of(link), signal.SIGKILL)
        await sink.first(Lost)
    assert lives <= 7


async def test_no_link_outlives_its_killed_parent(program: Path, tmp_path: Path) -> None:
    """However the parent ends. It is stopped first, so that it can't clean up, and the link can't see it end."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, sys, time\n"
        "from pathlib import Path\n"
        "from relay_bot.link import LinkError\n"
        "from relay_bot.link.native import NativeLink\n"
        "class Sink:\n"
        "    def arrive(self, arrivals): pass\n"
        "async def main():\n"
        "    link = NativeLink(Path(sys.argv[1]))\n"
        "    try:\n"
        "        await link.join('ws://127.0.0.1:1', 'token', Sink())\n"
        "    except LinkError:\n"
        "        pass\n"
        "    Path(sys.argv[2]).write_text(str(link.pid))\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    for stopped in (False, True):
        told = tmp_path / f"pid-{stopped}"
        path = os.pathsep.join([os.getcwd(), *sys.path])
        parent = subprocess.Popen(  # noqa: ASYNC220 - a few ms
            [sys.executable, script, program, told], env=os.environ | {"PYTHONPATH": path}
        )
        await eventually(lambda: told.exists() and told.read_text() != "", 30)  # noqa: B023
        child = psutil.Process(int(told.read_text()))
        if stopped:
            child.suspend()  # it can't read that its socket ended
        parent.kill()
        parent.wait()
        await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 2)  # noqa: B023


async def test_a_stalled_bot_loses_nothing_that_a_fair_sender_sent(hall: Hall) -> None:
    """The bot's loop stands still for ten seconds; what came meanwhile waits in the link."""
    seat, sink = await hall.bot()
    guests = [await hall.guest(f"guest-{number}") for number in range(3)]
    await sink.until(lambda: len(sink.all_of(Joined)) == 3)
    for number in range(300):
        await guests[number % 3].send(str(number).encode())
    time.sleep(10)  # noqa: ASYNC251 - this is the stall
    await sink.until(lambda: len(sink.frames) == 300)
    assert sorted(int(frame.data) for frame in sink.frames) == list(range(300))
    time.sleep(10)  # noqa: ASYNC251 - again, with nothing to read after it
    await asyncio.sleep(0.1)
    assert sink.all_of(Lost) == [], "it is not the link that stood still"
    await seat.publish(b"ack", to=["guest-0"], topic="")
    assert await guests[0].received(1, 30) == [b"ack"]


async def test_a_stalled_link_is_noticed_and_replaced(
    hall: Hall, link: NativeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_bot.link.native.SILENCE_SECONDS", 1.0)
    monkeypatch.setattr("relay_bot.link.native.PING_SECONDS", 0.5)
    _, sink = await hall.bot()
    first = pid_of(link)
    os.kill(first, signal.SIGSTOP)
    assert (await sink.first(Lost)).reason is Reason.NETWORK
    await hall.bot()
    assert pid_of(link) != first


async def test_a_link_that_speaks_nonsense_is_replaced(hall: Hall, link: NativeLink) -> None:
    _, sink = await hall.bot()
    process = link._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    nonsense = (5).to_bytes(wire.HEAD, "big") + b"hello"
    process.get_buffer(0)[: len(nonsense)] = nonsense
    process.buffer_updated(len(nonsense))
    assert (await sink.first(Lost)).reason is Reason.NETWORK
    await hall.bot()


async def test_a_sink_that_raises_costs_its_own_arrivals_only(hall: Hall, livekit: LiveKit, link: NativeLink) -> None:
    class Broken(Recorder):
        def arrive(self, arrivals: object) -> None:
            raise RuntimeError("a bug")

    async with hall_on(livekit, livekit.new_hall(), link) as other:
        other.seats.append(await link.join(livekit.url, other.bot_token(), Broken()))
        _, sink = await hall.bot()
        ann, bob = await hall.guest("ann"), await other.guest("bob")
        await sink.first(Joined)
        await bob.send(b"to the broken one")
        await ann.send(b"vote")
        assert (await sink.first(Frame)).data == b"vote"


async def test_a_hall_that_floods_does_not_delay_one_that_votes(hall: Hall, livekit: LiveKit, link: NativeLink) -> None:
    async with hall_on(livekit, livekit.new_hall(), link) as loud:
        _, loud_sink = await loud.bot()
        _, sink = await hall.bot()
        flooders = [await loud.guest(f"flooder-{number}") for number in range(3)]
        ann = await hall.guest("ann")
        await sink.first(Joined)
        await loud_sink.first(Joined)
        floods = [asyncio.create_task(flood(flooder, b"x" * 1000, 2.0)) for flooder in flooders]
        delays: list[float] = []
        for number in range(10):
            await asyncio.sleep(0.1)
            await ann.send(str(number).encode())
            await sink.until(lambda: len(sink.frames) == number + 1)  # noqa: B023
            delays.append(time.monotonic() - sink.frames[-1].stamp)
        await asyncio.gather(*floods)
        assert max(delays) < 1.0, "from the link's stamp to the sink"


async def test_the_process_gets_no_secret_from_the_environment(
    hall: Hall, link: NativeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_API_SECRET", "a-secret")
    monkeypatch.setenv("NO_PROXY", "localhost")
    await hall.bot()
    environment = psutil.Process(pid_of(link)).environ()
    assert "LIVEKIT_API_SECRET" not in environment
    assert environment["NO_PROXY"] == "localhost"
    assert not any("ey" in part for part in psutil.Process(pid_of(link)).cmdline()), "no token in sight"


async def test_a_program_that_is_no_link_is_a_clear_error(hall: Hall, tmp_path: Path) -> None:
    program = tmp_path / "relay-link"
    program.write_text("#!/bin/sh\necho 'not me' >&2\n")
    program.chmod(0o755)
    for binary, text in ((program, "did not start: not me"), (tmp_path / "missing", "No such file")):
        link = NativeLink(binary)
        with pytest.raises(LinkError, match=text):
            await link.join(hall.server.url, "token", Recorder())
        await link.close()


async def test_a_program_of_another_version_is_a_clear_error(hall: Hall, program: Path) -> None:
    link = NativeLink(program, "0123456789abcdef")
    with pytest.raises(LinkError, match=r"source 0123456789abcdef is needed.*build it again"):
        await link.join(hall.server.url, "token", Recorder())
    await link.close()


async def test_a_signal_meant_for_the_bot_does_not_end_the_link(hall: Hall, link: NativeLink) -> None:
    """A terminal's Ctrl-C and a service manager's stop reach the whole group; the bot still has things to say."""
    seat, sink = await hall.bot()
    ann = await hall.guest("ann")
    await sink.first(Joined)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid_of(link), number)
    await seat.publish(b"goodbye", to=["ann"], topic="")
    assert await ann.received(1) == [b"goodbye"]
