"""What the scenarios share: one livekit-server, one crowd, and the bots side by side."""

import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.bare.bot import Behaviour
from bench.drive.bare import Bare
from bench.drive.crowd import Crowd, crowd_binary
from bench.drive.ours import RelayBot
from scripts.devstack.livekit_server import LiveKitServer
from scripts.devstack.provision import ensure_server
from scripts.devstack.voice import Voice

OPTIONS = 4  # in every poll of the bench
POLL = "bench"
WARM_UP_SECONDS = 12.0  # in its first 10 s in a room the SDK checks its connection 50 times a second


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
    journal_votes: int = 200_000
    restart_votes: int = 100_000


class Stage:
    """Server and crowd; the bots come as the scenarios ask for them and end with the stage."""

    def __init__(self, plan: Plan, voice: Voice) -> None:
        self.plan = plan
        self.voice = voice
        self._owned = ExitStack()
        self._one_hall: OneHall | None = None

    def __enter__(self) -> Self:
        try:
            binary = ensure_server(self.voice)
            crowd = crowd_binary(self.voice)
            self.directory = Path(tempfile.mkdtemp(prefix="relay-bench-"))
            self._owned.callback(shutil.rmtree, self.directory, ignore_errors=True)
            quiet = {"logging": {"level": "error"}}
            self.server = self._owned.enter_context(LiveKitServer(binary, self.directory, overrides=quiet))
            self.crowd = Crowd(crowd, self.server)
            self._owned.callback(self.crowd.close)
        except BaseException:
            self._owned.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._owned.close()

    def bare(self, behaviour: Behaviour, identity: str) -> Bare:
        bot = Bare(behaviour, identity, self.server)
        self._owned.callback(bot.close)
        return bot

    def relay_bot(self, name: str, include: list[str]) -> RelayBot:
        bot = RelayBot(name, self.server, self.directory, include)
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

    def one_hall(self) -> "OneHall":
        """The hall in which relay-bot, a bare sink and a bare echo sit side by side; made once."""
        if self._one_hall is None:
            self._one_hall = OneHall(self)
        return self._one_hall


class OneHall:
    """One hall, one crowd, three bots: each packet goes to one of them alone.

    The bots come after the crowd, so that they know everybody from the start; then all wait until the
    SDK's first seconds in a room are over.
    """

    name = "one"

    def __init__(self, stage: Stage) -> None:
        plan, crowd = stage.plan, stage.crowd
        with stage.voice.busy(f"{plan.participants} participants and three bots join a hall"):
            crowd.join([self.name], plan.participants)
            self.ours = stage.relay_bot("ours", [self.name])
            self.ours.start()
            self.sink = stage.bare("sink", "bare-sink")
            self.echo = stage.bare("echo", "bare-echo")
            self.sink.join([self.name])
            self.echo.join([self.name])
            self.ours.open_poll(self.name, POLL, OPTIONS)
            joined = time.monotonic()
            for bot in (self.ours, self.echo, self.sink):
                # Each participant's first packet makes its connection, and can vanish: so ask for an answer.
                crowd.burst(
                    bot.identity,
                    POLL,
                    halls=[self.name],
                    votes=1,
                    options=OPTIONS,
                    with_id=bot is not self.sink,
                    resend_seconds=2,
                    seconds=20,
                )
            time.sleep(max(0.0, joined + WARM_UP_SECONDS - time.monotonic()))
