"""What the scenarios share: one livekit-server, one crowd, and the bots side by side."""

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from bench.bare.bot import Behaviour
from bench.drive.bare import Bare
from bench.drive.crowd import Crowd
from bench.drive.ours import Link, RelayBot
from bench.drive.programs import ensure_programs
from scripts.devstack.livekit_server import LiveKitServer
from scripts.devstack.native_link import ensure_link
from scripts.devstack.provision import ensure_server
from scripts.devstack.voice import Voice

OPTIONS = 4  # in every poll of the bench
POLL = "bench"
WARM_UP_SECONDS = 12.0  # in its first 10 s in a room the SDK checks its connection 50 times a second

_Bot = TypeVar("_Bot", Bare, RelayBot)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    participants: int = 40
    votes: int = 250  # of each participant in a burst without answers
    acked_votes: int = 100  # of each in a burst with answers: the bare echo needs seconds for these
    spread_seconds: float = 1.0
    pings: int = 400
    halls: int = 100
    hall_messages: int = 40  # of each hall's one participant
    memory_halls: int = 30
    native_votes: int = 250  # of each participant in a burst with answers on the native link
    native_halls: int = 200
    native_audience: int = 1_000
    crowd: int = 1_000
    crowd_bursts: int = 4
    socket_frames: int = 200_000
    journal_votes: int = 200_000
    restart_votes: int = 100_000


class Stage:
    """Server and crowd; the bots come as the scenarios ask for them and end with the stage."""

    def __init__(self, plan: Plan, voice: Voice) -> None:
        self.plan = plan
        self.voice = voice
        self._owned = ExitStack()
        self._sdk_hall: SdkHall | None = None
        self._native_hall: NativeHall | None = None

    def __enter__(self) -> Self:
        try:
            binary = ensure_server(self.voice)
            self._programs = ensure_programs(self.voice)
            self.directory = Path(tempfile.mkdtemp(prefix="relay-bench-"))
            self._owned.callback(shutil.rmtree, self.directory, ignore_errors=True)
            quiet = {"logging": {"level": "error"}}
            self.server = self._owned.enter_context(LiveKitServer(binary, self.directory, overrides=quiet))
            self.crowd = Crowd(self._programs.crowd, self.server)
            self._owned.callback(self.crowd.close)
        except BaseException:
            self._owned.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._owned.close()

    def bare(self, behaviour: Behaviour, identity: str) -> Bare:
        """A bare bot on the Python SDK."""
        command = [sys.executable, "-m", "bench.bare", behaviour, identity]
        return self._own(Bare(identity, command, self.server, answers=behaviour == "echo"))

    def go_echo(self, identity: str) -> Bare:
        """A bare echo on the Go SDK."""
        return self._own(Bare(identity, [self._programs.echo, identity], self.server, answers=True))

    def relay_bot(self, name: str, include: list[str], link: Link = "sdk", group: str = "") -> RelayBot:
        if link == "native":
            ensure_link(self.voice)
        return self._own(RelayBot(name, self.server, self.directory, include, link, group))

    def _own(self, bot: _Bot) -> _Bot:
        self._owned.callback(bot.close)
        return bot

    def room_sid(self, hall: str) -> str:
        """The id under which LiveKit has this room now."""
        return str(self.server.call("ListRooms", {"names": [hall]})["rooms"][0]["sid"])

    def close_halls(self, halls: list[str]) -> None:
        """Send everybody home and end the rooms."""
        self.crowd.leave(halls)
        for hall in halls:
            self.server.call("DeleteRoom", {"room": hall})

    def sdk_hall(self) -> "SdkHall":
        """The hall for what stands on the Python SDK; made once."""
        if self._sdk_hall is None:
            self._sdk_hall = SdkHall(self)
        return self._sdk_hall

    def native_hall(self) -> "NativeHall":
        """The hall for what is measured of the native link; made once."""
        if self._native_hall is None:
            self._native_hall = NativeHall(self)
        return self._native_hall


class OneHall:
    """One hall, one crowd, our bot and bare ones side by side: each packet goes to one of them alone.

    The bots come after the crowd, so that they know everybody from the start; then all wait until the
    SDK's first seconds in a room are over.
    """

    def __init__(self, stage: Stage, name: str, ours: RelayBot, bare: Sequence[Bare]) -> None:
        plan, crowd = stage.plan, stage.crowd
        self.name = name
        self.ours = ours
        with stage.voice.busy(f"{plan.participants} participants and {1 + len(bare)} bots join a hall"):
            crowd.join([name], plan.participants)
            ours.start()
            for bot in bare:
                bot.join([name])
            ours.open_poll(name, POLL, OPTIONS)
            joined = time.monotonic()
            for bot in (ours, *bare):
                # A participant's first packet can vanish: so ask for an answer.
                crowd.burst(
                    bot.identity,
                    POLL,
                    halls=[name],
                    votes=1,
                    options=OPTIONS,
                    with_id=bot.answers,
                    resend_seconds=2,
                    seconds=20,
                )
            time.sleep(max(0.0, joined + WARM_UP_SECONDS - time.monotonic()))


class SdkHall(OneHall):
    """relay-bot on the Python SDK, a bare sink and a bare echo."""

    def __init__(self, stage: Stage) -> None:
        self.sink = stage.bare("sink", "bare-sink")
        self.echo = stage.bare("echo", "bare-echo")
        super().__init__(stage, "one", stage.relay_bot("ours", ["one"]), [self.echo, self.sink])


class NativeHall(OneHall):
    """relay-bot on the native link, a bare echo on the Python SDK and one on the Go SDK."""

    def __init__(self, stage: Stage) -> None:
        self.echo = stage.bare("echo", "bare-echo")
        self.go_echo = stage.go_echo("bare-go-echo")
        ours = stage.relay_bot("native", ["native"], "native")
        super().__init__(stage, "native", ours, [self.echo, self.go_echo])
