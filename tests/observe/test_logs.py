"""Logs: one line for each event, for machines or for people, and no word of what people say to each other."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import structlog

from relay_bot.observe import logs
from relay_bot.settings import LogSettings
from relay_bot.testing import HallKit, Refused
from tests.support.halls import PLUGINS, envelope, send_raw, unlimited

MARKER = "xyzzy-plugh"


@pytest.fixture(autouse=True)
def logging_as_before() -> Generator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:], level, config = before
    root.setLevel(level)
    structlog.configure(**config)


def fail(secret: str) -> None:
    """Raise with texts and a local variable that must not be told."""
    try:
        raise KeyError(secret)
    except KeyError as error:
        raise RuntimeError(f"a mistake: {secret}") from error


# -- the form -----------------------------------------------------------------------------------------


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("info", "json"))
    structlog.get_logger("hall").info("hall.live", hall="show", participants=3)
    logging.getLogger("some.library").warning("over %s", "there")
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (first["event"], first["hall"], first["level"], first["logger"]) == ("hall.live", "show", "info", "hall")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", first["timestamp"])
    assert (second["event"], second["logger"]) == ("over there", "some.library")


def test_an_exception_is_one_line_of_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("info", "json"))
    try:
        fail(MARKER)
    except RuntimeError:
        structlog.get_logger("hall").exception("plugin.failed", plugin="polls")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)["exception"].splitlines()
    assert [part for part in told if "Error" in part and not part.startswith(" ")] == ["KeyError", "RuntimeError"]
    assert any(f'"{__file__}"' in part and "in fail" in part for part in told)
    assert MARKER not in line


def test_what_json_does_not_know_is_still_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("info", "json"))
    structlog.get_logger("hall").info("hall.live", path=Path("here"), bytes_=b"x", set_={1})
    assert json.loads(capsys.readouterr().err)["path"] == "here"


def test_pretty_is_for_people_and_shows_no_variables(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("info", "pretty"))
    try:
        fail(MARKER)
    except RuntimeError:
        structlog.get_logger("hall").exception("plugin.failed", plugin="polls")
    told = capsys.readouterr().err
    assert "plugin.failed" in told
    assert "\nRuntimeError" in told
    assert "in fail" in told
    assert MARKER not in told


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_debugging_one_wants_the_texts_of_exceptions(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.configure(LogSettings("debug", form))  # type: ignore[arg-type]
    try:
        fail(MARKER)
    except RuntimeError:
        structlog.get_logger("hall").exception("plugin.failed", plugin="polls")
    assert f"RuntimeError: a mistake: {MARKER}" in capsys.readouterr().err


def test_exceptions_of_libraries_are_told_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("info", "json"))
    try:
        fail(MARKER)
    except RuntimeError:
        logging.getLogger("some.library").exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError" in json.loads(line)["exception"]
    assert MARKER not in line


def test_auto_is_json_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("info", "auto"))
    structlog.get_logger("hall").info("hall.live")
    assert json.loads(capsys.readouterr().err)["event"] == "hall.live"


def test_the_level_is_kept_and_can_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger("hall")
    logs.configure(LogSettings("warning", "json"))
    log.info("hidden")
    log.warning("shown")
    logs.configure(LogSettings("debug", "json"))
    log.debug("shown too")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["shown", "shown too"]


def test_nothing_is_written_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogSettings("debug", "json"))
    structlog.get_logger("hall").info("hall.live")
    assert capsys.readouterr().out == ""


# -- what is in them ----------------------------------------------------------------------------------


async def scenario(folder: Path, mistake: str) -> None:
    """Say the marker in every way: taken, refused, malformed, in a plugin that fails, over a restart.

    `mistake` is how the plugin fails.
    """
    plugins: dict[str, Any] = {"polls": {}, "chat": {}, "hands": {}, "moderation": {}, "announcements": {}}
    others = {path.stem: {"enabled": path.stem == "trouble"} for path in PLUGINS.glob("[!_]*.py")}
    section = {**plugins, **others, "path": [str(PLUGINS)]}
    async with HallKit.open(folder, section, settings=unlimited()) as kit:
        ann = await kit.join("ann", role="host", name=MARKER)
        bob = await kit.join("bob", metadata=f'{{"note":"{MARKER}"}}')
        poll = {"poll_id": "p", "question": f"{MARKER}?", "options": [f"{MARKER} yes", "no"]}
        await ann.ask("poll", poll)
        await bob.ask("poll_response", {"poll_id": "p", "option": f"{MARKER} yes"})
        await bob.ask("chat", {"text": f"so {MARKER}"})
        for guest, kind, payload in (
            (bob, "poll", poll),
            (bob, "poll_response", {"poll_id": "p", "option": f"{MARKER} maybe"}),
            (bob, "poll_response", {"poll_id": 7, "option": MARKER}),
            (bob, "chat", {"text": f"/{MARKER} {MARKER}"}),
            (ann, "chat", {"text": f"/mute {MARKER}-nobody"}),
            (bob, "fail", {"how": mistake, "note": MARKER}),
            (bob, "fail", {"how": f"{MARKER}"}),
            (bob, "fail", {"how": "apply", "record_first": True, "note": MARKER}),
        ):
            with contextlib.suppress(Refused):
                await guest.ask(kind, payload)
        await kit.settle()
        await kit.until(lambda: kit.hall.status == "live", 10)
        send_raw(kit, f'{{"relay_version":"1","type":"{MARKER}"'.encode(), "bob")
        send_raw(kit, envelope("chat", {"text": MARKER}, sender_id="ghost"))
        send_raw(kit, envelope("chat", {"text": MARKER}, relay_version="7"), "bob")
        await kit.settle()
        await kit.restart()
        await kit.settle()


@pytest.mark.parametrize("form", ["json", "pretty"])
@pytest.mark.parametrize(("level", "mistake"), [("info", "quote"), ("debug", "raise")])
async def test_no_log_holds_what_people_say(
    tmp_path: Path, form: str, level: str, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Debugging, a plugin's exception is told with its text: that alone is left to the plugin."""
    logs.configure(LogSettings(level, form))  # type: ignore[arg-type]
    await scenario(tmp_path, mistake)
    told = capsys.readouterr()
    assert "plugin.failed" in told.err, "the scenario says nothing of what it is for"
    assert [line for line in (told.out + told.err).splitlines() if MARKER in line] == []
