"""Where the native link's program comes from, with a stand-in for Go."""

import os
from pathlib import Path

import pytest

from relay_bot.link import _source
from relay_bot.link.choose import cached_native
from scripts.devstack import native_link
from scripts.devstack.errors import StackError
from scripts.devstack.voice import Voice

_GOOD_BUILD = 'while [ "$1" != -o ]; do shift; done; echo "${GOOS:-this} ${CGO_ENABLED:-}" > "$2"; chmod +x "$2"'


def _env(tmp_path: Path, build: str = _GOOD_BUILD, **more: str) -> dict[str, str]:
    """An environment with a Go of ours, which counts its builds, and a cache of its own."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(
        f'#!/bin/sh\nif [ "$1" = version ]; then echo "go version go1.27.1 linux/amd64"; exit; fi\n'
        f'echo one >> "{tmp_path}/builds"\n{build}\n'
    )
    go.chmod(0o755)
    return {"PATH": f"{go.parent}:/bin:/usr/bin", "RELAY_CACHE_DIR": str(tmp_path / "cache")} | more


def test_it_is_built_once_for_this_machine_and_without_c(tmp_path: Path) -> None:
    env = _env(tmp_path, GOOS="plan9")
    built = native_link.ensure_link(Voice(), env)
    assert built == native_link.ensure_link(Voice(), env) == cached_native(env)
    assert built.read_text() == "this 0\n"
    assert (tmp_path / "builds").read_text() == "one\n"
    assert os.listdir(built.parent) == [built.name], "nothing else is left"


def test_for_a_wheel_it_can_be_built_for_another_machine(tmp_path: Path) -> None:
    native_link.build(tmp_path / "program", Voice(), _env(tmp_path, GOOS="plan9"))
    assert (tmp_path / "program").read_text() == "plan9 0\n"


def test_the_named_one_is_not_built(tmp_path: Path) -> None:
    assert native_link.ensure_link(Voice(), {"RELAY_LINK_BIN": "/my/relay-link"}) == Path("/my/relay-link")


def test_a_failed_build_says_why_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    env = _env(tmp_path, 'echo "go: dial tcp: no route to host" >&2; exit 1')
    with pytest.raises(StackError, match=r"could not build relay-link .*no route to host.*check the network"):
        native_link.ensure_link(Voice(), env)
    assert os.listdir(cached_native(env).parent) == []


def test_changed_sources_are_not_built_before_that_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = _env(tmp_path)
    native_link.ensure_link(Voice(), env)
    monkeypatch.setattr(native_link, "source_hash", lambda: "0123456789abcdef")
    with pytest.raises(StackError, match=rf"it is 0123456789abcdef, the bot expects {_source.SOURCE}.*--stamp"):
        native_link.ensure_link(Voice(), env)


def test_few_builds_are_kept_and_those_in_use_are_among_them(tmp_path: Path) -> None:
    env = _env(tmp_path)
    used = cached_native(env)
    builds = used.parents[1]
    native_link.ensure_link(Voice(), env)
    for number in range(6):
        (builds / f"other-{number}").mkdir()
        os.utime(builds / f"other-{number}", (1000 + number, 1000 + number))
    os.utime(used.parent, (1, 1))  # built long before the others
    native_link.ensure_link(Voice(), env)
    kept = {path.name for path in builds.iterdir() if path.is_dir()}
    assert kept == {_source.SOURCE, "other-2", "other-3", "other-4", "other-5"}
