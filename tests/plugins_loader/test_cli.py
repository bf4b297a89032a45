"""The command line: what it prints, and how it says no."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from livekit.api import TokenVerifier

from relay_bot import __version__
from relay_bot.cli import main
from relay_bot.hall.plugins import load_plugins
from relay_bot.paths import settled
from relay_bot.settings import ControlSettings, Settings, StorageSettings

KEY, SECRET = "devkey", "a-secret-of-more-than-32-characters"
KEYS = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
VARIABLES = ("LIVEKIT_URL", *KEYS, "RELAY_CONTROL_TOKEN", "RELAY_DATABASE_URL")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


def error_of(result: Result) -> str:
    """Give the error of a command that has failed as it should: one line, exit 1."""
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("relay-bot: ")
    return line.removeprefix("relay-bot: ")


# -- help ---------------------------------------------------------------------------------------------


def test_help_names_every_command_and_the_environment() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for word in (*main.commands, *VARIABLES):
        assert word in result.output


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_a_help(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    assert result.output.splitlines()[0].startswith("Usage: ")
    assert main.commands[name].get_short_help_str(200)
    for option in main.commands[name].params:
        if isinstance(option, click.Option) and option.name not in ("role", "folder", "publish"):
            assert option.help, option.name


def test_the_version() -> None:
    assert call("--version").output.strip().endswith(__version__)


def test_the_help_answers_without_loading_livekit() -> None:
    """It reads well when it also comes at once."""
    code = "import sys; from relay_bot.cli import main; main(['--help'], standalone_mode=False); "
    code += "sys.exit('livekit' in sys.modules or 'sqlalchemy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True, capture_output=True)


# -- check-config -------------------------------------------------------------------------------------


def test_a_configuration_that_is_right(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("log: {level: debug}\n")
    result = call("check-config", **KEYS)
    assert result.exit_code == 0
    assert result.output.startswith("config.yaml: valid; plugins: ")
    assert "polls" in result.output


def test_without_a_file_the_defaults_are_checked() -> None:
    assert call("check-config", **KEYS).output.startswith("defaults: valid; ")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("control: {port: ten}", "config.yaml: control.port: expected `int`, got 'ten'"),
        ("colour: 1", "config.yaml: unknown key `colour`"),
        ("a: [", "config.yaml:1: not valid YAML: expected the node content, but found '<stream end>'"),
        ("plugins: {polls: {colour: 1}}", "plugins.polls: unknown key `colour`"),
        ("plugins: {path: [nowhere]}", "plugins.path: nowhere is not a folder"),
    ],
)
def test_a_configuration_that_is_wrong(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert error_of(call("check-config", **KEYS)) == error
    assert error_of(call("check-config", "--config", str(tmp_path / "config.yaml"), **KEYS)) == error


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("plugins: {pols: {}}")
    assert error_of(call("check-config", **KEYS)).startswith("plugins.pols: there is no such plugin; there are ")


def test_a_plugin_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "broken.py").write_text("raise RuntimeError('boom')")
    (tmp_path / "config.yaml").write_text("plugins: {path: [mine]}")
    assert error_of(call("check-config", **KEYS)) == "plugins.broken: did not load: boom"


def test_a_file_that_is_not_there() -> None:
    assert error_of(call("check-config", "--config", "other.yaml")).startswith("other.yaml: no such file")


def test_what_is_missing_to_run_is_named() -> None:
    result = call("check-config", LIVEKIT_API_KEY=KEY)
    assert error_of(result) == "LIVEKIT_API_SECRET must be set before the bot can run"


def test_a_run_with_a_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("storage: {url: nonsense, colour: 1}")
    assert error_of(call("run")) == "config.yaml: storage: unknown key `colour`"


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("control: {port: ten, host: 5}\nstorage: {colour: 1}\n")
    said = call("check-config", **KEYS).output
    assert [place in said for place in ("control.port: ", "control.host: ", "storage: unknown key")] == [True] * 3

    (tmp_path / "config.yaml").write_text(
        """
livekit: {url: "127.0.0.1:7880"}
storage: {url: "sqlite:///nowhere/relay.db"}
control:
  host: 0.0.0.0
  allowed_hosts: ["*", "desk:8787", "[::1]", "http://desk", "10.0.0.0/8", relay-bot, "::1"]
  allowed_origins: ["*", "https://desk.example/", "https://desk.example", "http://localhost:3000"]
  trusted_proxies: ["10.0.0.300", "10.0.0.0/8"]
plugins: {pols: {}}
"""
    )
    said = call("check-config").output
    wrong = [line.strip().removeprefix("relay-bot: ").partition(": ") for line in said.splitlines()]
    assert [(place, said.rpartition("got ")[2] if "got " in said else "") for place, _, said in wrong] == [
        ("livekit.url", "'127.0.0.1:7880'"),
        ("storage.url", ""),
        ("control.host", ""),
        ("control.allowed_hosts", "'*'"),
        ("control.allowed_hosts", "'desk:8787'"),
        ("control.allowed_hosts", "'[::1]'"),
        ("control.allowed_hosts", "'http://desk'"),
        ("control.allowed_origins", "'*'"),
        ("control.allowed_origins", "'https://desk.example/'"),
        ("control.trusted_proxies", "'10.0.0.300'"),
        ("plugins.pols", ""),
        ("LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be set before the bot can run", ""),
    ]


@pytest.mark.parametrize("url", ["postgresql://db/relay", "sqlite://", "relay.db", "sqlite:///:memory:"])
def test_a_database_that_can_not_be_used(url: str) -> None:
    assert error_of(call("check-config", RELAY_DATABASE_URL=url, **KEYS)).startswith("storage.url: expected sqlite:///")


def test_relative_paths_start_at_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = settled(Settings(control=ControlSettings(socket="relay.sock")), tmp_path / "etc")
    assert made.storage.url == f"sqlite:///{tmp_path}/etc/relay.db"
    assert made.control.socket == f"{tmp_path}/etc/relay.sock"
    absolute = StorageSettings(url="sqlite:////var/lib/relay.db")
    assert settled(Settings(storage=absolute), tmp_path).storage == absolute


# -- token --------------------------------------------------------------------------------------------


def test_a_token_verifies_and_says_what_was_asked() -> None:
    arguments = ("--name", "Ann Lee", "--role", "host", "--publish", "--for", "30m")
    result = call("token", "show", "ann", *arguments, **KEYS)
    assert result.exit_code == 0
    claims = TokenVerifier(KEY, SECRET).verify(result.output.strip())
    assert (claims.identity, claims.name, claims.attributes) == ("ann", "Ann Lee", {"relay.role": "host"})
    grants = claims.video
    assert grants is not None
    assert (grants.room_join, grants.room, grants.can_publish, grants.can_publish_data) == (True, "show", True, True)
    assert not grants.can_update_own_metadata, "else they could give themselves a role"
    assert not grants.room_admin


def test_a_token_is_a_viewers_by_default() -> None:
    claims = TokenVerifier(KEY, SECRET).verify(call("token", "show", "ann", **KEYS).output.strip())
    assert claims.video is not None
    assert (claims.name, not claims.attributes, claims.video.can_publish) == ("ann", True, False)


@pytest.mark.parametrize(("life", "seconds"), [("30m", 1800), ("2d", 172_800)])
def test_a_token_is_good_for_as_long_as_was_asked(life: str, seconds: int) -> None:
    made = call("token", "show", "ann", "--for", life, **KEYS).output.strip()
    claims = json.loads(base64.urlsafe_b64decode(made.split(".")[1] + "=="))
    assert abs(claims["exp"] - time.time() - seconds) < 60


@pytest.mark.parametrize("life", ["soon", "", "0s", "10"])
def test_a_life_that_is_no_duration(life: str) -> None:
    result = call("token", "show", "ann", "--for", life, **KEYS)
    assert error_of(result) == f"--for: expected a duration such as 30m or 6h, got {life!r}"


def test_a_token_needs_the_keys() -> None:
    assert error_of(call("token", "show", "ann")) == "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET first"


def test_a_token_for_a_role_that_is_none() -> None:
    assert call("token", "show", "ann", "--role", "backend", **KEYS).exit_code == 2


# -- new-plugin and new-config ------------------------------------------------------------------------


def test_a_new_plugin_passes_its_own_test(tmp_path: Path) -> None:
    result = call("new-plugin", "show_of_cards", "--in", "mine")
    assert result.exit_code == 0
    assert "path: [mine]" in result.output
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        str(tmp_path / "mine"),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["wave", "show_of_cards", "x2", "a_", "note", "identity", "count", "str_"])
def test_a_new_plugin_loads_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    assert call("new-plugin", name, "--in", "mine").exit_code == 0
    section = {"path": ["mine"], name: {"required": True}}
    assert name in load_plugins(section, tmp_path)


@pytest.mark.parametrize("name", ["Wave", "2x", "a-b", "", "a b", "../x", "é", "_x"])
def test_a_name_that_no_module_can_have(name: str) -> None:
    assert "small letters, digits and underscores" in error_of(call("new-plugin", name))


@pytest.mark.parametrize(
    "name", ["class", "import", "hall", "path", "state", "plugin", "body", "event", "context", "sync"]
)
def test_a_name_that_means_something_already(tmp_path: Path, name: str) -> None:
    assert error_of(call("new-plugin", name)) == f"{name} means something else already; choose another name"
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "my_plugins" / "wave").mkdir(parents=True)
    assert "exists already" in error_of(call("new-plugin", "wave"))


def test_a_new_configuration_is_valid_and_never_overwrites() -> None:
    assert call("new-config").exit_code == 0
    assert call("check-config", **KEYS).exit_code == 0
    assert error_of(call("new-config")) == "config.yaml exists already"
