"""Errors of the configuration: one line that names the path, what was expected, and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_bot.hall.plugins import load_plugins
from relay_bot.settings import SettingsError, load


def error_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        load(path, {})
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("colour: 1", "config.yaml: unknown key `colour`"),
        ("livekit: {colour: 1}", "config.yaml: livekit: unknown key `colour`"),
        ("storage: {colour: 1}", "config.yaml: storage: unknown key `colour`"),
        ("gate: {rates: {chat: {colour: 1}}}", "config.yaml: gate.rates.chat: unknown key `colour`"),
        ("1: 2", "config.yaml: unknown key `1`"),
    ],
)
def test_unknown_keys_are_refused_at_every_level(tmp_path: Path, text: str, expected: str) -> None:
    assert error_of(tmp_path, text) == expected


@pytest.mark.parametrize(
    "section",
    ["livekit", "bot", "halls", "roles", "gate", "control", "storage", "link", "log", "commands"],
)
def test_every_section_refuses_them(tmp_path: Path, section: str) -> None:
    assert error_of(tmp_path, f"{section}: {{colour: 1}}") == f"config.yaml: {section}: unknown key `colour`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("control: {port: ten}", "control.port: expected `int`, got 'ten'"),
        ("control: {port: 65536}", "control.port: expected `int` <= 65535, got 65536"),
        ("control: {port: -1}", "control.port: expected `int` >= 0, got -1"),
        ("halls: {reconcile_seconds: 0}", "halls.reconcile_seconds: expected `float` > 0.0, got 0"),
        ("halls: {reconcile_seconds: .nan}", "halls.reconcile_seconds: expected `float` > 0.0, got nan"),
        ("halls: {max_halls: 0}", "halls.max_halls: expected `int` >= 1, got 0"),
        ("halls: {include: hall}", "halls.include: expected `array`, got 'hall'"),
        ("halls: {include: [a, 7]}", "halls.include[1]: expected `str`, got 7"),
        ("halls: {dialects: [show, tell]}", "halls.dialects[1]: expected one of show, chat, got 'tell'"),
        ("log: {level: loud}", "log.level: expected one of debug, info, warning, error, got 'loud'"),
        ("gate: {hold_seconds: 31}", "gate.hold_seconds: expected `float` <= 30.0, got 31"),
        ("gate: {mailbox: 99}", "gate.mailbox: expected `int` >= 100, got 99"),
        ("gate: {rates: {chat: fast}}", "gate.rates.chat: expected `object`, got 'fast'"),
        (
            "gate: {rates: {vote: {per_second: 1, burst: 0}}}",
            "gate.rates.vote.burst: expected `int` >= 1, got 0",
        ),
        ("gate: {rates: 7}", "gate.rates: expected `object`, got 7"),
        ("bot: {identity: ''}", "bot.identity: expected `str` of length >= 1, got ''"),
        ("commands: {prefix: long!}", "commands.prefix: expected `str` of length <= 3, got 'long!'"),
        ("livekit: {url: null}", "livekit.url: expected `str`"),
        ("livekit: {1: 2}", "livekit: expected `str`"),
        ("plugins: [polls]", "plugins: expected `object`"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    assert error_of(tmp_path, text) == f"config.yaml: {expected}"


@pytest.mark.parametrize("project", ["a__b", "a_", "_a", "a b", "a/b", "ä", '"a\\n"'])
def test_projects_that_can_not_be_told_apart(tmp_path: Path, project: str) -> None:
    """`p_a__` + `_x` and `p_a___` + `x` would be the same room."""
    error = error_of(tmp_path, f"control: {{project: {project}}}")
    assert error.startswith("config.yaml: control.project: expected letters, digits, . - and single _ between them")


@pytest.mark.parametrize("project", ["", "demo", "a-b.c_d_E9"])
def test_projects_that_can(tmp_path: Path, project: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"control: {{project: '{project}'}}")
    assert load(path, {}).control.project == project


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bot: {name: a}\nlog: {}\nbot: {name: b}", "bot: given twice, in lines 1 and 3"),
        ("bot:\n  name: a\n  identity: b\n  name: c", "bot.name: given twice, in lines 2 and 4"),
        ("gate:\n  rates:\n    chat: {}\n    chat: {}", "gate.rates.chat: given twice, in lines 3 and 4"),
        ("plugins:\n  own: [{a: 1,\n a: 1}]", "plugins.own.a: given twice, in lines 2 and 3"),
        ("livekit:\n  api_secret: s3cret\n  api_secret: s3cret", "livekit.api_secret: given twice, in lines 2 and 3"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert error_of(tmp_path, text) == f"config.yaml: {expected}"


def test_an_alias_is_no_repetition(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("plugins:\n  one: &all {a: 1, b: &self [*self]}\n  two: *all\n  three: {<<: *all, a: 2}\n")
    plugins = load(path, {}).plugins
    assert (plugins["two"]["a"], plugins["three"]["a"]) == (1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "livekit: {api_secret: [s3cret]}",
        "livekit: {api_key: 3735928559}",
        "livekit: {api_secret: 3735928559}",
        "livekit: [key, s3cret]",
        "livekit: s3cret",
        "control: {token: 3735928559}",
        "control: s3cret",
        "storage: 'postgres://user:s3cret@db/relay'",
        "livekit: {api_secret: s3cret, colour: 1}",
        "livekit: {api_secret: 's3cret",
        "livekit: {api_secret: @s3cret}",
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str) -> None:
    error = error_of(tmp_path, text)
    assert "s3cret" not in error
    assert "3735928559" not in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "config.yaml:1: not valid YAML: "),
        ("livekit:\n  url: a: b", "config.yaml:2: not valid YAML: mapping values are not allowed here"),
        ("a: \x00", "config.yaml: not valid YAML: "),
        ("- livekit", "config.yaml: expected sections such as livekit: and control:"),
        ("hello", "config.yaml: expected sections such as livekit: and control:"),
    ],
)
def test_what_is_not_yaml_or_no_sections(tmp_path: Path, text: str, expected: str) -> None:
    assert error_of(tmp_path, text).startswith(expected)


def test_what_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"bot: {name: \xff}")
    with pytest.raises(SettingsError, match=r"config.yaml: can't be read"):
        load(path, {})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere.yaml: no such file; name the configuration with --config"):
        load(tmp_path / "nowhere.yaml", {})


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"hands": {"colour": 1}}, "plugins.hands: unknown key `colour`"),
        ({"hands": {"enabled": "yes"}}, "plugins.hands.enabled: expected `bool`, got 'yes'"),
        ({"path": "here"}, "plugins.path: expected `array`, got 'here'"),
        ({"path": [7]}, "plugins.path[0]: expected `str`, got 7"),
        ({"path": ["nowhere"]}, "plugins.path: nowhere is not a folder"),
        ({"hands": 7}, "plugins.hands: expected `object`, got 7"),
        ({"hands": False}, "plugins.hands: expected `object`, got False"),
    ],
)
def test_plugins_settings_are_checked_the_same_way(tmp_path: Path, section: dict[str, object], expected: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_plugins(section, tmp_path)
    assert str(error.value) == expected
