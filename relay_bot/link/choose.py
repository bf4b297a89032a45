"""Which link the bot stands on: `link.kind` in the configuration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import structlog

from relay_bot.link import Link, LinkError
from relay_bot.link._frames import PROTOCOL
from relay_bot.link._source import SOURCE

Kind = Literal["auto", "native", "sdk"]

PROGRAM: Final = "relay-link"
_PROBE_SECONDS: Final = 10.0
_log = structlog.get_logger("relay_bot.link")


def choose(kind: Kind, env: Mapping[str, str] = os.environ) -> Link:
    """Make the link; `auto` is the native one where its program is here and fits, else the Python SDK's.

    Raises `LinkError` with one line for a person where what is asked for can't be had.
    """
    if kind == "sdk":
        return _sdk("link.kind is sdk")
    binary = find_native(env)
    problem = _problem(binary) if binary is not None else f"there is no {PROGRAM} here"
    if binary is None or problem:
        if kind == "native":
            raise LinkError(
                f"link.kind: native, but {problem}: build it with `python -m scripts.devstack.native_link`,"
                " name one in RELAY_LINK_BIN, or set link.kind to sdk"
            )
        return _sdk(problem)
    from relay_bot.link.native import NativeLink

    _log.info("link.chosen", kind=NativeLink.name, program=str(binary))
    return NativeLink(binary)


def _sdk(why: str) -> Link:
    from relay_bot.link.python_sdk import PythonSdkLink  # here, because it loads 50 MB that nobody else needs

    _log.info("link.chosen", kind=PythonSdkLink.name, why=why)
    return PythonSdkLink()


def find_native(env: Mapping[str, str] = os.environ) -> Path | None:
    """The native link's program: the one named in RELAY_LINK_BIN, the wheel's, or the one in the cache.

    Raises `LinkError` where RELAY_LINK_BIN names something that can't be run.
    """
    if named := env.get("RELAY_LINK_BIN"):
        path = Path(named).expanduser()
        if not _can_run(path):
            raise LinkError(f"RELAY_LINK_BIN={named}: no such program; correct it, or unset it")
        return path.absolute()
    bundled = Path(__file__).parents[1] / "_bundled" / PROGRAM
    return next(filter(_can_run, (bundled, cached_native(env))), None)


def cached_native(env: Mapping[str, str] = os.environ) -> Path:
    """The place of a program that was built on this machine for this state of its sources."""
    base = env.get("RELAY_CACHE_DIR") or env.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "relay-bot" / PROGRAM / SOURCE / PROGRAM


def _can_run(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _problem(binary: Path) -> str:
    """What keeps this program from serving this bot; empty if nothing does."""
    try:
        run = subprocess.run(  # noqa: S603 - the path is the operator's
            [binary, "-version"], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{binary} doesn't run ({error})"
    needed = f"protocol {PROTOCOL} source {SOURCE}"
    if run.returncode != 0 or not run.stdout.rstrip().endswith(needed):
        return f"{binary} is of another version than this bot ({run.stdout.strip()!r}; {needed} is needed)"
    return ""
