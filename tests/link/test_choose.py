"""Which link is taken, and from where its program comes."""

from pathlib import Path

import pytest

from relay_bot.link import LinkError
from relay_bot.link._frames import PROTOCOL
from relay_bot.link._source import SOURCE
from relay_bot.link.choose import cached_native, choose, find_native
from scripts.devstack.native_link import source_hash

GOOD = f"relay-link 0.1.0 protocol {PROTOCOL} source {SOURCE}"


def _program(path: Path, says: str = GOOD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "{says}"\n')
    path.chmod(0o755)
    return path


def _env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"RELAY_CACHE_DIR": str(tmp_path / "cache")} | more


def test_the_noted_state_of_the_sources_is_theirs() -> None:
    assert source_hash() == SOURCE, "run `python -m scripts.devstack.native_link --stamp`"


def test_auto_is_native_where_its_program_is_and_the_sdk_elsewhere(tmp_path: Path) -> None:
    env = _env(tmp_path)
    assert choose("auto", env).name == "sdk"
    _program(cached_native(env))
    assert choose("auto", env).name == "native"
    assert choose("native", env).name == "native"
    assert choose("sdk", env).name == "sdk"


def test_the_named_program_comes_before_the_cached_one(tmp_path: Path) -> None:
    cached = _program(cached_native(_env(tmp_path)))
    named = _program(tmp_path / "named")
    assert find_native(_env(tmp_path)) == cached
    assert find_native(_env(tmp_path, RELAY_LINK_BIN=str(named))) == named


def test_a_name_that_leads_nowhere_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"^RELAY_LINK_BIN=/no/such: no such program"):
        choose("auto", _env(tmp_path, RELAY_LINK_BIN="/no/such"))


@pytest.mark.parametrize(
    "says",
    [GOOD.replace(SOURCE, "0" * 16), GOOD.replace(f"protocol {PROTOCOL}", f"protocol {PROTOCOL + 1}"), "hello"],
)
def test_a_program_of_another_version_is_not_taken(tmp_path: Path, says: str) -> None:
    env = _env(tmp_path, RELAY_LINK_BIN=str(_program(tmp_path / "other", says)))
    assert choose("auto", env).name == "sdk"
    with pytest.raises(LinkError, match=r"^link.kind: native, but .* is of another version .*build it"):
        choose("native", env)


def test_a_program_that_does_not_run_is_not_taken(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    env = _env(tmp_path, RELAY_LINK_BIN=str(broken))
    assert choose("auto", env).name == "sdk"
    with pytest.raises(LinkError, match="doesn't run"):
        choose("native", env)


def test_without_a_program_native_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"^link.kind: native, but there is no relay-link here: build it"):
        choose("native", _env(tmp_path))
