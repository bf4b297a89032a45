"""What a stack leaves for other terminals."""

import stat
from pathlib import Path

import pytest

from scripts.devstack.errors import StackError
from scripts.devstack.state import Running, StateFolder

RUNNING = Running(
    pid=1,
    hall="demo",
    livekit_url="ws://127.0.0.1:1",
    api_key="key",
    control_url="http://127.0.0.1:2",
    api_secret="it's secret",
    control_token="token",
)


def test_another_terminal_finds_the_stack_while_it_runs(tmp_path: Path) -> None:
    here, other = StateFolder(tmp_path / ".relay"), StateFolder(tmp_path / ".relay")
    assert not other.is_owned()
    with here.owned():
        assert other.is_owned()
        assert other.running() is None, "not ready yet"
        here.announce(RUNNING)
        assert other.running() == RUNNING
    assert other.running() is None
    assert not here.env_file.exists()


def test_a_second_stack_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        StateFolder(tmp_path).owned(),
        pytest.raises(StackError, match=r"runs already.*--crowd"),
        StateFolder(tmp_path).owned(),
    ):
        pass


def test_nobody_else_can_read_the_secrets(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / ".relay")
    with folder.owned():
        folder.announce(RUNNING)
        folder.secret("control")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {modes["dev.json"], modes["env"], modes["secrets.json"]} == {0o600}
    assert "secret" not in repr(RUNNING)


def test_secrets_stay_the_same(tmp_path: Path) -> None:
    first = StateFolder(tmp_path).secret("control")
    assert StateFolder(tmp_path).secret("control") == first
    assert StateFolder(tmp_path).secret("livekit") != first


def test_a_shell_can_read_the_environment(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with folder.owned():
        folder.announce(RUNNING)
        assert """export LIVEKIT_API_SECRET='it'"'"'s secret'\n""" in folder.env_file.read_text()
