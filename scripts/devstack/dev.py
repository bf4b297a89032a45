"""`scripts/dev`: run everything on this machine, and try it."""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.devstack import guide
from scripts.devstack.bot_config import BotConfig
from scripts.devstack.errors import StackError
from scripts.devstack.livekit_server import wait_until
from scripts.devstack.ports import parse_port
from scripts.devstack.process import Child
from scripts.devstack.signals import Interrupted, raise_on_signals
from scripts.devstack.stack import READY_SECONDS, Options, Stack
from scripts.devstack.state import Running, StateFolder
from scripts.devstack.voice import Voice

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_STATE = ROOT / ".relay"
DEFAULT_LIVEKIT_PORT = 7880
MAX_CROWD = 200  # one process of Python clients carries no more
_CROWD_STOP_SECONDS = 1.0
_WATCH_SECONDS = 1.0

DESCRIPTION = """\
Run LiveKit, the bot and its control endpoint on 127.0.0.1, with a hall called "demo".
With --crowd, let real participants join it and vote: in the stack that runs already,
or else in one that is started for it and goes on until Ctrl-C."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/dev", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crowd", type=_crowd, metavar="N", help=f"send N participants, 1 to {MAX_CROWD}")
    parser.add_argument(
        "--seconds", type=_seconds, default=15.0, metavar="S", help="over how long the crowd votes (15)"
    )
    parser.add_argument("--config", type=Path, default=ROOT / "config.yaml", help="the bot's configuration")
    parser.add_argument(
        "--livekit-port",
        type=_port,
        metavar="PORT",
        help="LiveKit's port; the next two are used as well (7880; RELAY_DEV_LIVEKIT_PORT)",
    )
    parser.add_argument(
        "--control-port",
        type=_port,
        metavar="PORT",
        help="the control endpoint's port (as in the configuration; RELAY_DEV_CONTROL_PORT)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=DEFAULT_STATE,
        metavar="DIR",
        help="where the database, logs and secrets are kept (.relay)",
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    try:
        return parse_port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port_from_env(name: str) -> int | None:
    try:
        return parse_port(text) if (text := os.environ.get(name)) else None
    except ValueError as error:
        raise StackError(f"{name}: {error}") from error


def _crowd(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CROWD:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {MAX_CROWD}, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        if 0 <= (seconds := float(text)) <= 3600:
            return seconds
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected seconds from 0 to 3600, got {text!r}")


def run_crowd(running: Running, count: int, seconds: float) -> int:
    """Send a crowd to a running stack and wait until it is done. Returns its exit code."""
    env = {"RELAY_HALL": running.hall, "RELAY_CONTROL_URL": running.control_url}
    command = [sys.executable, "-m", "scripts.devstack.crowd", str(count), str(seconds)]
    crowd = Child("crowd", command, env=os.environ | running.env | env, cwd=ROOT)
    crowd.start()
    try:
        return crowd.wait() or 0
    finally:
        crowd.stop(_CROWD_STOP_SECONDS)


def _crowd_command(folder: StateFolder) -> str:
    elsewhere = "" if folder.path == DEFAULT_STATE else f" --state {shlex.quote(str(folder.path))}"
    return f"scripts/dev --crowd 20{elsewhere}"


def run_stack(options: argparse.Namespace, folder: StateFolder) -> int:
    """Run the stack until Ctrl-C."""
    config = BotConfig(options.config)
    ports = Options(
        livekit_port=options.livekit_port or _port_from_env("RELAY_DEV_LIVEKIT_PORT") or DEFAULT_LIVEKIT_PORT,
        control_port=options.control_port or _port_from_env("RELAY_DEV_CONTROL_PORT") or config.control_port,
    )
    stack = Stack(ROOT, folder, config, ports, Voice())
    try:
        running = stack.start()
        guide.show(running, folder.path, crowd_command=_crowd_command(folder))
        if options.crowd:
            run_crowd(running, options.crowd, options.seconds)
            print("The stack goes on; Ctrl-C ends it.", flush=True)
        while True:
            time.sleep(_WATCH_SECONDS)
            stack.watch()
    finally:
        stack.stop()


def _stack_of_another_terminal(folder: StateFolder) -> Running | None:
    """The stack that runs already, once it is up."""
    if not folder.is_owned():
        return None
    if running := folder.running():
        return running
    with Voice().busy("waiting for the stack in the other terminal"):
        wait_until(lambda: folder.running() is not None or not folder.is_owned(), READY_SECONDS)
    return folder.running()


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks. Returns the exit code."""
    options = parse(arguments)
    raise_on_signals()
    folder = StateFolder(options.state.absolute())
    try:
        if options.crowd and (running := _stack_of_another_terminal(folder)):
            return run_crowd(running, options.crowd, options.seconds)
        return run_stack(options, folder)
    except StackError as error:
        print(f"scripts/dev: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        print("\nscripts/dev: ended", file=sys.stderr)
        return 0


if __name__ == "__main__":
    sys.exit(main())
