"""The bot's configuration in the stack."""

from pathlib import Path

import pytest
import yaml

from relay_bot.settings import LinkSettings
from scripts.devstack.bot_config import DEFAULT_LINK_KIND, BotConfig
from scripts.devstack.errors import StackError


def _config(tmp_path: Path, text: str) -> BotConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return BotConfig(path)


@pytest.mark.parametrize("text", ["", "control: {port: 8787}", "control: {port: 8787, host: 127.0.0.1}"])
def test_the_file_itself_is_used_where_it_fits(tmp_path: Path, text: str) -> None:
    config = _config(tmp_path, text)
    assert config.control_port == 8787
    assert config.on_port(8787, tmp_path / "unused") == config.path


@pytest.mark.parametrize(("text", "kind"), [("", "auto"), ("link: {}", "auto"), ("link: {kind: sdk}", "sdk")])
def test_the_link_that_it_asks_for(tmp_path: Path, text: str, kind: str) -> None:
    assert _config(tmp_path, text).link_kind == kind


def test_the_link_is_the_bots_own_default() -> None:
    assert LinkSettings().kind == DEFAULT_LINK_KIND


def test_a_copy_is_made_for_another_port(tmp_path: Path) -> None:
    config = _config(
        tmp_path,
        "control: {port: 9000, host: 0.0.0.0}\nplugins: {path: [mine, /other], polls: {enabled: true}}",
    )
    folder = tmp_path / ".relay"
    folder.mkdir()

    copy = config.on_port(9001, folder)

    assert copy.parent == folder
    assert yaml.safe_load(copy.read_text()) == {
        "control": {"port": 9001, "host": "127.0.0.1"},
        "plugins": {"path": [str(tmp_path / "mine"), "/other"], "polls": {"enabled": True}},
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("control: {port: 1", "config.yaml:1:18: this is no YAML: "),
        ("a: b: c", "config.yaml:1:5: this is no YAML: mapping values are not allowed here"),
        ("- a\n- b", "config.yaml: expected settings by name (key: value), got list"),
        ("a: \x00", "config.yaml: this is no YAML: "),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(StackError) as caught:
        _config(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/{complaint}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"none\.yaml: no such file; name the bot's configuration with --config"):
        BotConfig(tmp_path / "none.yaml")
