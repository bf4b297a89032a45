"""The wheel runs outside the checkout, with its plugins, its migrations and its configuration template."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    (made,) = folder.glob("*.whl")
    return made


def test_what_it_holds(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "relay_bot/_bundled/config.yaml" in names
    assert "relay_bot/journal/migrations/versions/0001_first.py" in names
    for plugin in (ROOT / "plugins").iterdir():
        if (plugin / "__init__.py").is_file():
            assert f"relay_bot/_bundled/plugins/{plugin.name}/__init__.py" in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "scripts/", "plugins/"))]


def test_it_is_for_every_machine_and_without_a_native_link(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "relay_bot/_bundled/relay-link" not in zipfile.ZipFile(wheel).namelist()


def test_one_with_the_native_link_is_for_one_kind_of_machine(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    named = {"RELAY_WHEEL_LINK": str(program), "RELAY_WHEEL_PLATFORM": "macosx_12_0_arm64"}
    subprocess.run(command, check=True, capture_output=True, timeout=100, env=os.environ | named)
    (made,) = tmp_path.glob("*.whl")
    assert made.name.endswith("-py3-none-macosx_12_0_arm64.whl")
    bundled = zipfile.ZipFile(made).getinfo("relay_bot/_bundled/relay-link")
    assert bundled.external_attr >> 16 & 0o111, "it can be run"


def test_it_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    made = venv.EnvBuilder(with_pip=False, symlinks=True)
    made.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies are those of this environment; the package itself must come from the wheel.
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(packages + "\n")

    def relay_bot(*arguments: str) -> str:
        environment = {"PATH": "", "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "s" * 32}
        ran = subprocess.run(
            [str(python), "-P", "-m", "relay_bot", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert "config.yaml" in relay_bot("new-config", "config.yaml")
    checked = relay_bot("check-config", "--config", "config.yaml")
    assert "polls" in checked
    where = "import relay_bot.hall.plugins as p; print(p.builtin_folder())"
    ran = subprocess.run([str(python), "-P", "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(site) in ran.stdout
