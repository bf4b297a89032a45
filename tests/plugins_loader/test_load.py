"""Finding and loading plugins: one that can't be loaded is named, and stops nobody else unless it is required."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
from structlog.testing import capture_logs

from relay_bot.hall import plugins as module
from relay_bot.hall.plugins import PluginsError, builtin_folder, load_plugins
from relay_bot.plugin import Plugin, State
from relay_bot.testing import HallKit

WAVE = """
from relay_bot.plugin import Body, Context, Plugin, State, command, handle, route, Arguments, Request

class {Class}(Body, type="{kind}"):
    pass

class {Class}State(State):
    pass

class AllOf{Class}(Request, frozen=True):
    pass

class {Class}Plugin(Plugin[{Class}State]):
    @handle
    def take(self, body: {Class}, ctx: Context) -> dict[str, str]:
        return {{"from": __name__.rpartition(".")[2]}}

    @command("{command}")
    def do(self, arguments: Arguments, ctx: Context) -> str:
        return "done"

    @route("GET", "{path}")
    def show(self, request: AllOf{Class}, ctx: Context) -> dict[str, str]:
        return {{}}
"""


def put(folder: Path, name: str, text: str = "", *, package: bool = False, same: dict[str, str] | None = None) -> Path:
    """Write a plugin into a folder; `same` is what another one may have as well."""
    words = {"Class": "Wave", "kind": name, "command": name, "path": f"/{name}", **(same or {})}
    path = folder / name / "__init__.py" if package else folder / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or WAVE.format(**words), encoding="utf-8")
    return folder


def off() -> dict[str, dict[str, bool]]:
    """Switch the built-in plugins off."""
    return {path.name: {"enabled": False} for path in builtin_folder().iterdir() if (path / "__init__.py").is_file()}


def loaded_from(folder: Path, **section: object) -> list[str]:
    return list(load_plugins({**off(), "path": [str(folder)], **section}, folder))


def test_every_built_in_plugin_loads() -> None:
    """One that does not is left out with a word in the log, so nothing else would notice."""
    assert set(load_plugins({}, Path())) == set(off())


def test_a_plugin_that_is_not_enabled_is_left_out() -> None:
    assert load_plugins(off(), Path()) == {}


@pytest.mark.parametrize("package", [False, True], ids=["file", "package"])
async def test_a_users_plugin_outside_the_checkout_runs(tmp_path: Path, package: bool) -> None:
    put(tmp_path / "mine", "wave", package=package)
    async with HallKit.open(tmp_path, {"path": ["mine"]}) as kit:
        assert await (await kit.join("ann")).ask("wave", {}) == {"from": "wave"}


def test_two_folders_may_have_modules_of_one_name_beside_their_plugins(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        put(tmp_path / folder, f"wave_{folder}", package=True)
        put(tmp_path / folder, "_helper", f"WHICH = {folder!r}")
    found = load_plugins({**off(), "path": ["one", "other"]}, tmp_path)
    assert set(found) == {"wave_one", "wave_other"}


def test_a_plugin_of_ones_own_replaces_a_built_in_one(tmp_path: Path) -> None:
    put(tmp_path / "mine", "hands")
    found = load_plugins({**off(), "path": ["mine"], "hands": {}}, tmp_path)
    assert found["hands"].spec.handlers.keys() == {"hands"}


def test_hidden_files_are_no_plugins(tmp_path: Path) -> None:
    put(tmp_path, "_helper")
    put(tmp_path, ".hidden")
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert loaded_from(tmp_path) == []


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with a plugin, as if it were installed."""

    class StarState(State):
        pass

    class StarPlugin(Plugin[StarState]):
        pass

    package = ModuleType("stars_for_relay")
    package.StarPlugin = StarPlugin  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stars_for_relay", package)
    entries = [EntryPoint(*entry, module.ENTRY_POINTS) for entry in (("stars", "stars_for_relay:StarPlugin"),)]
    entries.append(EntryPoint("whole", "stars_for_relay", module.ENTRY_POINTS))

    def entry_points(*, group: str) -> list[EntryPoint]:
        return entries if group == "relay_bot.plugins" else []

    monkeypatch.setattr(module, "entry_points", entry_points)


@pytest.mark.usefixtures("installed")
def test_an_installed_packages_plugin_is_found_by_its_entry_point() -> None:
    found = load_plugins(off(), Path())
    assert set(found) == {"stars", "whole"}
    assert found["stars"].spec.plugin_type.__name__ == "StarPlugin"


@pytest.mark.usefixtures("installed")
def test_one_of_the_folder_goes_before_one_that_is_installed(tmp_path: Path) -> None:
    put(tmp_path, "stars")
    assert load_plugins({**off(), "path": [str(tmp_path)]}, tmp_path)["stars"].spec.handlers.keys() == {"stars"}


# -- what does not load -------------------------------------------------------------------------------

BROKEN = {
    "a mistake in Python": ("def (", "invalid syntax"),
    "an error when it is imported": ("raise RuntimeError('boom')", "boom"),
    "an exit when it is imported": ("import sys; sys.exit(3)", "3"),
    "a missing module": ("import no_such_module", "no_such_module"),
    "no plugin class": ("x = 1", "expected one Plugin class"),
    "two plugin classes": (
        WAVE.format(Class="A", kind="a", command="a", path="/a")
        + WAVE.format(Class="B", kind="b", command="b", path="/b"),
        "found 2",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_named_and_left_out(tmp_path: Path, case: str) -> None:
    text, error = BROKEN[case]
    put(tmp_path, "broken", text)
    put(tmp_path, "wave")
    with capture_logs() as logs:
        assert loaded_from(tmp_path) == ["wave"]
    (entry,) = [entry for entry in logs if entry["event"] == "plugin.not_loaded"]
    assert entry["plugin"] == "broken"
    assert error in entry["error"]


def test_a_broken_plugin_that_is_required_stops_the_start(tmp_path: Path) -> None:
    put(tmp_path, "broken", "raise RuntimeError('boom')")
    with pytest.raises(PluginsError, match=r"plugins.broken: did not load: boom"):
        loaded_from(tmp_path, broken={"required": True})


def test_settings_for_a_plugin_that_is_not_there_are_an_error(tmp_path: Path) -> None:
    put(tmp_path, "wave")
    with pytest.raises(PluginsError, match=r"plugins.wavy: there is no such plugin; there are .*hands, .*wave"):
        loaded_from(tmp_path, wavy={})


@pytest.mark.parametrize(
    ("same", "thing"),
    [({"kind": "x"}, "messages of type x"), ({"path": "/x"}, "the route GET /x")],
)
def test_two_plugins_that_want_the_same_thing(tmp_path: Path, same: dict[str, str], thing: str) -> None:
    put(tmp_path, "first", same=same)
    put(tmp_path, "second", same=same)
    with capture_logs() as logs:
        assert loaded_from(tmp_path) == ["first"]
    assert [entry["error"] for entry in logs] == [f"{thing}: the plugin first has it already"]


def test_two_plugins_may_share_a_command(tmp_path: Path) -> None:
    put(tmp_path, "first", same={"command": "next"})
    put(tmp_path, "second", same={"command": "next"})
    assert loaded_from(tmp_path) == ["first", "second"]


@pytest.mark.parametrize(
    ("same", "thing"), [({"kind": "sync"}, "messages of type sync"), ({"command": "help"}, "the command help")]
)
def test_what_the_hall_does_itself_no_plugin_can(tmp_path: Path, same: dict[str, str], thing: str) -> None:
    put(tmp_path, "wave", same=same)
    with pytest.raises(PluginsError, match=f"{thing}: the hall has it already"):
        loaded_from(tmp_path, wave={"required": True})
