"""The Dockerfile, held to what it builds from and what it runs: no Docker engine is needed to see these."""

import ast
import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.devstack.bot_config import BotConfig

ROOT = Path(__file__).parents[2]


class Instruction(NamedTuple):
    word: str
    text: str


def _instructions() -> list[Instruction]:
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text())
    lines = text.replace("\\\n", " ").splitlines()
    return [Instruction(*line.split(None, 1)) for line in lines if line.strip()]


ALL = _instructions()
RUNTIME = ALL[max(i for i, one in enumerate(ALL) if one.word == "FROM") :]


def _texts(word: str, within: list[Instruction] = ALL) -> list[str]:
    return [one.text for one in within if one.word == word]


def _list(word: str) -> list[str]:
    [text] = _texts(word, RUNTIME)
    return json.loads(text)


def _copied() -> list[str]:
    """Sources that are copied from the checkout, not from another stage."""
    texts = [text for text in _texts("COPY") if not text.startswith("--from")]
    return [source for text in texts for source in text.split()[:-1]]


@pytest.mark.parametrize("source", _copied())
def test_what_is_copied_exists_and_is_let_through(source: str) -> None:
    name = source.removeprefix("./")
    assert (ROOT / name).exists()
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    let = any(fnmatch(name, pattern) or name.startswith(f"{pattern}/") for pattern in let_through)
    assert let, f"{name} is kept out by .dockerignore"


def test_the_wheel_gets_all_that_it_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"}
    needed |= {hook["path"] for hook in wheel["hooks"].values()}
    assert needed <= set(_copied())


def test_nothing_is_installed_without_its_pin() -> None:
    installs = [text for text in _texts("RUN") if "pip install" in text]
    assert len(installs) == 2
    assert all("-c " in text and "constraints.txt" in text for text in installs)
    assert all(re.search(r":\d+\.\d+-(slim-)?bookworm", image) for image in _texts("FROM"))


def test_the_native_link_is_in_the_wheel_that_it_installs() -> None:
    [build] = [text for text in _texts("RUN") if "go build" in text]
    program = build.split(" -o ")[1].split()[0]
    assert f"--from=link {program} {program}" in _texts("COPY")
    assert any(f"RELAY_WHEEL_LINK={program} python -m build" in text for text in _texts("RUN"))


def test_it_does_not_run_as_root() -> None:
    [user] = _texts("USER", RUNTIME)
    assert user not in {"root", "0"}
    order = [one.word for one in RUNTIME]
    assert order.index("USER") > max(i for i, word in enumerate(order) if word in {"RUN", "COPY"})
    [data] = _texts("VOLUME", RUNTIME)
    assert any(f"-o {user}" in run and data in run for run in _texts("RUN", RUNTIME)), "its data must be its own"


def test_no_secret_is_in_it() -> None:
    names = re.findall(r"(\w+)=", " ".join([*_texts("ENV"), *_texts("ARG")]))
    assert not [name for name in names if re.search("SECRET|TOKEN|KEY|PASSWORD", name)]


def test_its_command_is_the_projects_own() -> None:
    from click.testing import CliRunner

    from relay_bot.cli import main

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [program] = _list("ENTRYPOINT")
    assert project["project"]["scripts"][program] == "relay_bot.cli:main"

    command, *arguments = _list("CMD")
    shown = CliRunner().invoke(main, [command, "--help"])
    assert shown.exit_code == 0, shown.output
    assert arguments[0] in shown.output
    assert arguments[1] in " ".join(_texts("COPY", RUNTIME)), "the configuration it is given must be there"


def test_its_health_check_is_python_that_asks_the_right_port() -> None:
    [text] = _texts("HEALTHCHECK", RUNTIME)
    program, flag, code = json.loads(text[text.index("CMD") + 3 :])
    assert (program, flag) == ("python", "-c")
    ast.parse(code)
    [variable] = re.findall(r"os\.environ\['(\w+)'\]", code)
    [url] = re.findall(rf"{variable}=(\S+)", " ".join(_texts("ENV", RUNTIME)))
    port = BotConfig(ROOT / "config.yaml").control_port
    assert url == f"http://127.0.0.1:{port}/health"
    assert _texts("EXPOSE", RUNTIME) == [str(port)]


def test_its_database_lies_in_the_volume() -> None:
    [data] = _texts("VOLUME", RUNTIME)
    assert f"RELAY_DATABASE_URL=sqlite:///{data}/" in " ".join(_texts("ENV", RUNTIME))
