"""Builds relay-link, the native link's program, into the cache where the bot looks for it.

python -m scripts.devstack.native_link                  build it if need be, and print where it is
python -m scripts.devstack.native_link --output FILE    build it there, for a wheel; GOOS and GOARCH choose the machine
python -m scripts.devstack.native_link --stamp          after a change of its sources: note their state
"""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from relay_bot.link import _source, choose
from scripts.devstack.errors import StackError
from scripts.devstack.provision import FOREIGN, build_lock, go_toolchain, keep_builds, run_build
from scripts.devstack.signals import Interrupted, raise_on_signals
from scripts.devstack.voice import Voice

SOURCES = Path(__file__).resolve().parents[2] / "native" / "relay-link"
_PACKAGES = 490


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
        StackError: Go can't be had, the build failed, or the sources are not those that the bot was made with;
            the text says what to do.
    """
    if named := env.get("RELAY_LINK_BIN"):
        return Path(named).expanduser().absolute()
    require_stamp()
    target = choose.cached_native(env)
    if os.access(target, os.X_OK):
        keep_builds(target.parent)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with build_lock(target.parents[1] / "build.lock", voice, "relay-link"):
        if not os.access(target, os.X_OK):  # or whoever held the lock has built it
            build(target, voice, {name: value for name, value in env.items() if name not in FOREIGN})
    keep_builds(target.parent)
    return target


def require_stamp() -> None:
    """Raise `StackError` where the sources changed and nobody noted it: the bot would refuse the program."""
    if (state := source_hash()) != _source.SOURCE:
        raise StackError(
            f"native/relay-link was changed (it is {state}, the bot expects {_source.SOURCE}):"
            " run `python -m scripts.devstack.native_link --stamp`"
        )


def build(target: Path, voice: Voice, env: Mapping[str, str] = os.environ) -> None:
    """Build the program; GOOS and GOARCH in the environment choose for which machine.

    Raises:
        StackError: Go can't be had, or the build failed.
    """
    go = go_toolchain(voice, env)
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as work:
        made = Path(work) / choose.PROGRAM
        failure = run_build(
            [go, "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", made, "."],
            "building relay-link (once for each state of its sources, about a minute)",
            packages=_PACKAGES,
            cwd=SOURCES,
            env=env,
            voice=voice,
        )
        if failure is not None:
            raise StackError(f"could not build relay-link ({failure}): check the network, or set link.kind to sdk")
        os.replace(made, target)


def main() -> None:
    """See the module's text."""
    raise_on_signals()
    try:
        match sys.argv[1:]:
            case []:
                print(ensure_link(Voice()))
            case ["--output", file]:
                require_stamp()
                build(Path(file).absolute(), Voice())
            case ["--stamp"]:
                print(stamp())
            case _:
                sys.exit(__doc__)
    except StackError as error:
        sys.exit(f"relay-link: {error}")
    except Interrupted:
        sys.exit("relay-link: interrupted; nothing half done is left")


if __name__ == "__main__":
    main()
