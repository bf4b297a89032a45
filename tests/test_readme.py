"""What the README shows really runs."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from relay_bot.cli import main
from relay_bot.testing import HallKit

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def code(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


async def test_the_plugin_in_the_readme(tmp_path: Path) -> None:
    """It is written into a folder outside the checkout, named in the configuration, and used."""
    (source,) = code("python")
    lines = [line for line in source.splitlines() if line.strip()]
    assert len(lines) <= 22, "the README promises about 20 lines"
    folder = tmp_path / "my_plugins"
    folder.mkdir()
    (folder / "wave.py").write_text(source)
    async with HallKit.open(tmp_path, {"path": ["my_plugins"], "wave": {}}) as hall:
        alice, bob = await hall.join("alice"), await hall.join("bob")
        for guest in (alice, alice, bob):
            await guest.ask("wave", {"note": "hi"})
        assert await alice.wait("waves", lambda payload: payload["count"] == 2) == {"count": 2}
        await hall.restart()
        assert hall.fingerprints() == await hall.replayed()
        await bob.ask("wave", {})
        assert bob.last("waves") == {"count": 2}


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"^\s*relay-bot ([a-z-]+)", "\n".join(code("sh")), re.MULTILINE))
    assert {"new-config", "check-config", "run"} <= named
    for command in named:
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_every_page_that_the_documents_link_to_exists() -> None:
    root = Path(__file__).parent.parent
    for page in [root / "README.md", *(root / "docs").glob("*.md"), *(root / "plugins").glob("*/README.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(root)} links to {target}"
