"""LiveKit, the bot, and the demo hall: started in order, watched, ended in order."""

import os
import re
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.devstack.bot_config import BotConfig
from scripts.devstack.errors import StackError
from scripts.devstack.livekit_server import Keys, LiveKitServer, wait_until
from scripts.devstack.loopback import UnreachableError, call
from scripts.devstack.native_link import ensure_link
from scripts.devstack.ports import LOOPBACK, LiveKitPorts, require_free
from scripts.devstack.process import Child
from scripts.devstack.provision import ensure_server
from scripts.devstack.state import Running, StateFolder
from scripts.devstack.voice import Voice

HALL = "demo"
READY_SECONDS = 30.0
HALL_LOOK_SECONDS = 5.0
# Together less than the 5 s after which a person thinks that Ctrl-C doesn't work.
BOT_STOP_SECONDS = 2.5
LIVEKIT_STOP_SECONDS = 1.0
_WEEK = 7 * 24 * 3600

_GOOD = ("ok", "live")  # what the bot says of itself, and of a hall that it serves

BOT_COMMAND = (sys.executable, "-m", "relay_bot")


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose."""

    livekit_port: int
    control_port: int


class Stack:
    """One stack. `start` may be called once; `stop` always works, also after a start that failed."""

    def __init__(
        self,
        root: Path,
        folder: StateFolder,
        config: BotConfig,
        options: Options,
        voice: Voice,
        *,
        bot_command: tuple[str, ...] = BOT_COMMAND,
    ) -> None:
        self._root = root
        self._folder = folder
        self._config = config
        self._options = options
        self._voice = voice
        self._bot_command = bot_command
        self._server: LiveKitServer | None = None
        self._bot: Child | None = None
        self._owned = ExitStack()
        self._next_look = 0.0

    def start(self) -> Running:
        """Start everything, and return once the bot is ready.

        Raises:
            StackError: Something is in the way; the text says what to do.
        """
        self._owned.enter_context(self._folder.owned())
        ports = self._require_ports()
        binary = ensure_server(self._voice)
        self._provide_link()
        with self._voice.busy("starting LiveKit and the bot"):
            server = self._start_livekit(binary, ports)
            running = self._describe(server)
            self._bot = self._start_bot(running)
            self._wait_until_ready(self._bot, running, "/ready")
            self._wait_until_ready(self._bot, running, f"/v1/halls/{HALL}")
            running = replace(running, link=_link_of(running))
        self._folder.announce(running)
        return running

    @property
    def livekit(self) -> LiveKitServer:
        """The stack's LiveKit, once it was started."""
        if self._server is None:
            raise RuntimeError("the stack wasn't started")
        return self._server

    def watch(self) -> None:
        """Look after it once: raise if a part has ended, open the demo hall again if it is gone."""
        server, bot = self.livekit, self._bot
        if bot is None:
            raise RuntimeError("the stack wasn't started")
        if not server.running:
            raise StackError(f"livekit-server has ended; its log is {server.log}")
        if not bot.running:
            raise StackError(f"the bot has ended ({_last_words(bot)}); its log is {bot.log}")
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + HALL_LOOK_SECONDS
            with suppress(UnreachableError):  # busy: the next look tells more
                self._open_hall(server)

    def stop(self) -> None:
        """End the bot, then LiveKit, each killed if it takes too long."""
        try:
            if self._bot is not None and not self._bot.stop(BOT_STOP_SECONDS):
                self._voice.line(f"the bot was killed: it didn't end within {BOT_STOP_SECONDS:g} s")
            if self._server is not None:
                self._server.stop(LIVEKIT_STOP_SECONDS)
        finally:
            self._owned.close()

    def _provide_link(self) -> None:
        """Build the native link where the bot would take it; `auto` goes on without."""
        kind = self._config.link_kind
        if kind == "sdk":
            return
        try:
            ensure_link(self._voice)
        except StackError as error:
            if kind == "native":
                raise
            self._voice.line(f"no native link, so the bot stands on LiveKit's Python SDK: {error}")

    def _require_ports(self) -> LiveKitPorts:
        first = self._options.livekit_port
        ports = LiveKitPorts(http=first, tcp=first + 1, udp=first + 2)
        change = "--livekit-port or RELAY_DEV_LIVEKIT_PORT"
        require_free(ports.http, "tcp", use="LiveKit", change_with=change)
        require_free(ports.tcp, "tcp", use="LiveKit's media over TCP", change_with=change)
        require_free(ports.udp, "udp", use="LiveKit's media", change_with=change)
        change = "--control-port or RELAY_DEV_CONTROL_PORT"
        if self._options.control_port in ports:
            raise StackError(f"port {self._options.control_port} is LiveKit's here: choose another with {change}")
        require_free(self._options.control_port, "tcp", use="the bot's control endpoint", change_with=change)
        return ports

    def _start_livekit(self, binary: Path, ports: LiveKitPorts) -> LiveKitServer:
        keys = Keys(secret=self._folder.secret("livekit"))
        self._server = LiveKitServer(binary, self._folder.path, ports=ports, keys=keys)
        self._server.log.unlink(missing_ok=True)
        self._server.start()
        self._open_hall(self._server)
        return self._server

    def _open_hall(self, server: LiveKitServer) -> None:
        if server.call("ListRooms", {"names": [HALL]}).get("rooms"):
            return
        # Long after the last one left, so that the hall waits for a person who reads first.
        server.call("CreateRoom", {"name": HALL, "empty_timeout": _WEEK, "departure_timeout": _WEEK})

    def _describe(self, server: LiveKitServer) -> Running:
        return Running(
            pid=os.getpid(),
            hall=HALL,
            livekit_url=server.url,
            api_key=server.keys.key,
            api_secret=server.keys.secret,
            control_url=f"http://{LOOPBACK}:{self._options.control_port}",
            control_token=os.environ.get("RELAY_CONTROL_TOKEN") or self._folder.secret("control"),
        )

    def _start_bot(self, running: Running) -> Child:
        config = self._config.on_port(self._options.control_port, self._folder.path)
        database = {"RELAY_DATABASE_URL": f"sqlite:///{self._folder.database.absolute()}", "PYTHONUNBUFFERED": "1"}
        self._folder.bot_log.unlink(missing_ok=True)
        bot = Child(
            "relay-bot",
            [*self._bot_command, "run", "--config", config],
            log=self._folder.bot_log,
            env=os.environ | running.env | database,
            cwd=self._root,
        )
        bot.start()
        return bot

    def _wait_until_ready(self, bot: Child, running: Running, path: str) -> None:
        said = "nothing"

        def ready() -> bool:
            nonlocal said
            if not bot.running:
                raise StackError(_last_words(bot))
            try:
                answer = call("GET", running.control_url + path, token=running.control_token, timeout=2)
            except UnreachableError:
                return False
            said = f"{answer.status} {answer.text[:200].strip()}"
            return answer.status == 200 and answer.body.get("status") in _GOOD

        if not wait_until(ready, READY_SECONDS, pause=0.1):
            raise StackError(
                f"the bot isn't ready after {READY_SECONDS:.0f} s ({path} says {said}); its log is {bot.log}"
            )


def _link_of(running: Running) -> str:
    """The kind of link that the bot says it has."""
    found = re.search(r'^relay_link_rooms\{kind="(\w+)"\}', call("GET", f"{running.control_url}/metrics").text, re.M)
    return found[1] if found else ""


def _last_words(bot: Child) -> str:
    """The last line that the bot wrote: it ends with one line for a person."""
    return bot.tail().removeprefix("relay-bot: ") or f"the bot ended with exit code {bot.exit_code}"
