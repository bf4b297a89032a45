"""Where a livekit-server comes from."""

import os
import threading
from pathlib import Path

import pytest

from scripts.devstack import provision
from scripts.devstack.errors import StackError
from scripts.devstack.voice import Voice


def _program(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _env(tmp_path: Path, **more: str) -> dict[str, str]:
    """An environment with a PATH of our own, and a cache of our own."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    return {"PATH": f"{tmp_path / 'bin'}:/bin:/usr/bin", "RELAY_CACHE_DIR": str(tmp_path / "cache")} | more


def _go(tmp_path: Path, install: str, version: str = "go1.27.1") -> Path:
    return _program(
        tmp_path / "bin" / "go",
        f'if [ "$1" = version ]; then echo "go version {version} linux/amd64"; exit; fi\n{install}',
    )


_GOOD_INSTALL = (
    'echo one >> "$GOBIN/../builds"; echo github.com/a/b >&2; echo binary > "$GOBIN/server"; chmod +x "$GOBIN/server"'
)


def test_the_named_one_comes_before_path_and_path_before_the_cache(tmp_path: Path) -> None:
    env = _env(tmp_path)
    assert provision.find_server(env) is None

    cached = _program(provision.cached_server(env))
    assert provision.find_server(env) == cached

    on_path = _program(tmp_path / "bin" / "livekit-server")
    assert provision.find_server(env) == on_path

    named = _program(tmp_path / "named")
    assert provision.find_server(env | {"LIVEKIT_SERVER_BIN": str(named)}) == named


def test_a_name_that_leads_nowhere_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    _program(tmp_path / "bin" / "livekit-server")
    with pytest.raises(StackError, match=r"^LIVEKIT_SERVER_BIN=/no/such: no such program"):
        provision.find_server(_env(tmp_path, LIVEKIT_SERVER_BIN="/no/such"))


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"RELAY_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b"),
        ({}, str(Path.home() / ".cache")),
    ],
)
def test_the_place_of_the_cache(env: dict[str, str], expected: str) -> None:
    path = provision.cached_server(env)
    assert path == Path(expected, "relay-bot", "livekit-server", provision.LIVEKIT_VERSION, "livekit-server")


@pytest.mark.parametrize(
    ("version", "usable"),
    [("go1.26.8", True), ("go1.27", True), ("go2.0", True), ("go1.25.9", False), ("nonsense", False)],
)
def test_only_a_go_that_is_new_enough_is_used(tmp_path: Path, version: str, usable: bool) -> None:
    go = _go(tmp_path, "", version)
    assert provision.find_go(_env(tmp_path)) == (go if usable else None)


def test_a_build_leaves_the_program_and_nothing_else(tmp_path: Path) -> None:
    env = _env(tmp_path)
    _go(tmp_path, _GOOD_INSTALL)
    abandoned = provision.cached_server(env).parent / "build-abandoned"
    abandoned.mkdir(parents=True)

    built = provision.ensure_server(Voice(), env)

    assert built == provision.cached_server(env)
    assert sorted(os.listdir(built.parent)) == ["build.lock", "builds", "livekit-server"]


def test_a_failed_build_says_why_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    env = _env(tmp_path)
    _go(tmp_path, 'echo half > "$GOBIN/server"; echo "go: dial tcp: no route to host" >&2; exit 1')

    with pytest.raises(StackError, match=r"could not build .*no route to host.*check the network"):
        provision.ensure_server(Voice(), env)

    assert os.listdir(provision.cached_server(env).parent) == ["build.lock"]


def test_two_at_once_build_once(tmp_path: Path) -> None:
    env = _env(tmp_path)
    _go(tmp_path, "sleep 0.3; " + _GOOD_INSTALL)
    threads = [threading.Thread(target=provision.ensure_server, args=(Voice(), env)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    built = provision.cached_server(env)
    assert built.exists()
    assert (built.parent / "builds").read_text() == "one\n"
