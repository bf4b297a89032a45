"""Builds the bench's Go programs on demand: the crowd, and the bare echo on LiveKit's Go SDK."""

import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.errors import CannotBuildError
from scripts.devstack.errors import StackError
from scripts.devstack.provision import cache_root, go_toolchain, keep_builds
from scripts.devstack.voice import Voice

_SOURCES = Path(__file__).resolve().parents[1] / "crowd"
_BUILD_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the built programs are."""

    crowd: Path
    echo: Path


def ensure_programs(voice: Voice) -> Programs:
    """The programs, built now if their sources changed or they were never built.

    Raises:
        CannotBuildError: Go can't be had, or the build failed; the text says which.
    """
    target = cache_root() / "bench-crowd" / _hash_of_sources()
    programs = Programs(target / "crowd", target / "echo")
    if os.access(programs.crowd, os.X_OK) and os.access(programs.echo, os.X_OK):
        keep_builds(target)
        return programs
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as work:
        go = _find_go(voice)
        with voice.busy("building the crowd (once, under a minute)"):
            _build(go, Path(work))
        for program in (programs.crowd, programs.echo):
            os.replace(Path(work) / program.name, program)
    keep_builds(target)
    return programs


def _hash_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*")):
        if path.suffix in {".go", ".mod", ".sum"} and not path.name.endswith("_test.go"):
            name = path.relative_to(_SOURCES).as_posix()
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _find_go(voice: Voice) -> Path:
    try:
        return go_toolchain(voice)
    except StackError as problem:
        raise CannotBuildError(f"the crowd of participants is a Go program: {problem}") from problem


def _build(go: Path, into: Path) -> None:
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    command = [os.fspath(go), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
    command += ["-o", f"{into}{os.sep}", ".", "./echo"]
    try:
        subprocess.run(
            command,
            cwd=_SOURCES,
            env=os.environ | settings,
            check=True,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:]
        raise CannotBuildError(f"the crowd can't be built: {' '.join(last)}") from error
    except subprocess.TimeoutExpired as error:
        raise CannotBuildError(f"the crowd was not built in {_BUILD_SECONDS} s") from error
