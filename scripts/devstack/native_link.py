"""Builds relay-link, the native link's program, into the cache where the bot looks for it.

python -m scripts.devstack.native_link            build it if need be, and print where it is
python -m scripts.devstack.native_link --stamp    after a change of its sources: note their state
python -m scripts.devstack.native_link --hash     print the state of its sources
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from relay_bot.link import _source, choose
from scripts.devstack.errors import StackError
from scripts.devstack.process import leashed
from scripts.devstack.provision import build_lock, go_toolchain
from scripts.devstack.voice import Voice

SOURCES = Path(__file__).resolve().parents[2] / "native" / "relay-link"
_BUILD_SECONDS = 900


def source_hash(sources: Path = SOURCES) -> str:
    """The state of the sources; the program computes the same of what it was built from."""
    named = {path.relative_to(sources).as_posix(): path for path in sources.rglob("*") if _is_source(path)}
    digest = hashlib.sha256()
    for name in sorted(named, key=str.encode):
        text = named[name].read_bytes()
        digest.update(f"{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()[:16]


def _is_source(path: Path) -> bool:
    return path.name in {"go.mod", "go.sum"} or (path.suffix == ".go" and not path.name.endswith("_test.go"))


def stamp(sources: Path = SOURCES) -> str:
    """Note the state of the sources in the bot, which refuses a program of any other."""
    state = source_hash(sources)
    target = Path(_source.__file__)
    target.write_text(re.sub(r'SOURCE: Final = ".*"', f'SOURCE: Final = "{state}"', target.read_text()))
    return state


def ensure_link(voice: Voice, env: Mapping[str, str] = os.environ) -> Path:
    """The native link's program, built now if there is none for this state of its sources.

    Raises:
        StackError: Go can't be had, or the build failed; the text says what to do.
    """
    if named := env.get("RELAY_LINK_BIN"):
        return Path(named).expanduser().absolute()
    target = choose.cached_native(env)
    if os.access(target, os.X_OK):
        return target
    if (state := source_hash()) != _source.SOURCE:
        raise StackError(
            f"native/relay-link was changed (it is {state}, the bot expects {_source.SOURCE}):"
            " run `python -m scripts.devstack.native_link --stamp`"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with build_lock(target.parents[1] / "build.lock", voice, "relay-link"):
        if not os.access(target, os.X_OK):  # or whoever held the lock has built it
            build(go_toolchain(voice, env), target, voice, env)
    _keep_newest(target.parents[1], 3)
    return target


def build(go: Path, target: Path, voice: Voice, env: Mapping[str, str] = os.environ) -> None:
    """Build the program; GOOS and GOARCH in the environment choose for which machine."""
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as work:
        made = Path(work) / choose.PROGRAM
        command = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", made, "."]
        with voice.busy("building relay-link (once for each state of its sources, about a minute)"):
            run = subprocess.run(
                leashed(command),
                cwd=SOURCES,
                env=dict(env) | settings,
                capture_output=True,
                text=True,
                timeout=_BUILD_SECONDS,
                check=False,
            )
        if run.returncode != 0:
            lines = run.stderr.strip().splitlines() or [f"go ended with {run.returncode}"]
            raise StackError(f"could not build relay-link ({lines[-1]}): check the network, or set link.kind to sdk")
        os.replace(made, target)


def _keep_newest(builds: Path, count: int) -> None:
    newest_first = sorted((path for path in builds.iterdir() if path.is_dir()), key=lambda path: -path.stat().st_mtime)
    for old in newest_first[count:]:
        shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    """See the module's text."""
    try:
        match sys.argv[1:]:
            case []:
                print(ensure_link(Voice()))
            case ["--stamp"]:
                print(stamp())
            case ["--hash"]:
                print(source_hash())
            case _:
                sys.exit(__doc__)
    except StackError as error:
        sys.exit(f"relay-link: {error}")


if __name__ == "__main__":
    main()
