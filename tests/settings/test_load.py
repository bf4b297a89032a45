"""Reading the configuration: the file, the environment before it, defaults for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from relay_bot.hall.plugins import load_plugins
from relay_bot.settings import Rate, Settings, load
from relay_bot.templates import config_text

ROOT = Path(__file__).parents[2]
OWN = ROOT / "config.yaml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# -- the file that people start from: "what stands here is the default" ------------------------------


def test_the_template_tells_the_defaults() -> None:
    found, default = load(OWN, {}), Settings()
    for section in Settings.__struct_fields__:
        if section not in ("gate", "plugins"):
            assert getattr(found, section) == getattr(default, section), section
    assert (found.gate.hold_seconds, found.gate.mailbox) == (default.gate.hold_seconds, default.gate.mailbox)


def test_the_template_tells_the_default_rates() -> None:
    found = load(OWN, {}).gate
    assert set(found.rates) == {"default", "chat", "reaction"}
    for kind in (*found.rates, "vote"):
        assert found.rate(kind) == Settings().gate.rate(kind)


def test_the_template_tells_the_plugins_defaults() -> None:
    section = load(OWN, {}).plugins
    assert section["path"] == []
    for name, loaded in load_plugins(section, ROOT).items():
        assert loaded.settings == loaded.spec.settings_type(), name


def test_the_template_tells_every_key() -> None:
    raw: dict[str, Any] = yaml.safe_load(OWN.read_text(encoding="utf-8"))
    told = {f"{section}.{key}" for section, part in raw.items() for key in part}
    there = {
        f"{section}.{key}"
        for section in Settings.__struct_fields__
        if section != "plugins"
        for key in getattr(Settings(), section).__struct_fields__
    }
    from_the_environment = {"livekit.api_key", "livekit.api_secret", "control.token"}
    assert there - told == from_the_environment


def test_a_new_configuration_is_the_template() -> None:
    assert config_text() == OWN.read_text(encoding="utf-8")


# -- the file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing\n", "livekit:\n", "livekit:\n  # url: x\ncontrol:\n", "{}"])
def test_what_is_empty_means_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(written(tmp_path, text), {}) == Settings()


def test_without_a_file_there_are_defaults() -> None:
    assert load(None, {}) == Settings()


def test_what_the_file_says_goes(tmp_path: Path) -> None:
    path = written(tmp_path, "halls: {include: [show-*]}\ngate: {rates: {vote: {per_second: 2, burst: 3}}}\n")
    found = load(path, {})
    assert found.halls.include == ("show-*",)
    assert (found.gate.rate("vote"), found.gate.rate("chat"), found.gate.rate("x")) == (
        Rate(2, 3),
        Rate(5, 30),
        Rate(20, 100),
    )


def test_another_default_rate_leaves_chat_as_it_is(tmp_path: Path) -> None:
    found = load(written(tmp_path, "gate: {rates: {default: {per_second: 1, burst: 1}}}"), {})
    assert (found.gate.rate("x"), found.gate.rate("chat")) == (Rate(1, 1), Rate(5, 30))


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().bot.name = "Other"  # type: ignore[misc]


# -- the environment ----------------------------------------------------------------------------------

VARIABLES = {
    "LIVEKIT_URL": ("livekit", "url"),
    "LIVEKIT_API_KEY": ("livekit", "api_key"),
    "LIVEKIT_API_SECRET": ("livekit", "api_secret"),
    "RELAY_CONTROL_TOKEN": ("control", "token"),
    "RELAY_DATABASE_URL": ("storage", "url"),
}


@pytest.mark.parametrize(("variable", "place"), VARIABLES.items())
@pytest.mark.parametrize("text", ["", "{section}: {{{key}: from-the-file}}", "{section}:\n"])
def test_the_environment_goes_before_the_file(tmp_path: Path, variable: str, place: tuple[str, str], text: str) -> None:
    section, key = place
    path = written(tmp_path, text.format(section=section, key=key))
    found: Any = load(path, {variable: "from-the-environment"})
    assert getattr(getattr(found, section), key) == "from-the-environment"


@pytest.mark.parametrize(("variable", "place"), VARIABLES.items())
def test_an_empty_variable_is_none(tmp_path: Path, variable: str, place: tuple[str, str]) -> None:
    section, key = place
    found: Any = load(written(tmp_path, f"{section}: {{{key}: from-the-file}}"), {variable: ""})
    assert getattr(getattr(found, section), key) == "from-the-file"


def test_the_environment_is_a_text_whatever_it_looks_like() -> None:
    assert load(None, {"LIVEKIT_API_SECRET": "12345", "LIVEKIT_API_KEY": "null"}).livekit.api_secret == "12345"


def test_settings_go_through_msgspec_and_back() -> None:
    assert msgspec.convert(msgspec.to_builtins(Settings()), Settings) == Settings()
