"""What `relay-bot new-plugin` and `relay-bot new-config` write."""

from __future__ import annotations

from pathlib import Path

_PLUGIN = '''"""Who is with us? Everyone may wave once; all see how many did."""

from relay_bot.plugin import Body, Context, Event, Plugin, State, handle


class {Class}(Body, type="{name}"):  # what a client sends
    note: str = ""


class {Class}Counted(Event, frozen=True):  # what the journal keeps
    identity: str


class {Class}State(State):  # what follows from the journal, and nothing else
    identities: set[str] = set()

    def on_{name}_counted(self, event: {Class}Counted) -> None:
        self.identities.add(event.identity)


class {Class}Plugin(Plugin[{Class}State]):
    @handle
    def {name}(self, body: {Class}, ctx: Context) -> None:
        identity = ctx.sender.require_participant()  # a backend, which has none, is refused
        if identity not in self.state.identities:
            ctx.record({Class}Counted(identity))
        # Leaves after the commit; a newer one replaces one that has not left yet.
        ctx.publish_latest("{name}_count", lambda: {{"count": len(self.state.identities)}})
'''

_TEST = '''"""Run with: pytest (pytest-asyncio comes with relay-bot)."""

from pathlib import Path

import pytest

from relay_bot.testing import HallKit


@pytest.mark.asyncio
async def test_{name}_counts_everyone_once(tmp_path: Path) -> None:
    here = str(Path(__file__).parent.parent)
    async with HallKit.open(tmp_path, {{"path": [here], "{name}": {{}}}}) as hall:
        alice = await hall.join("alice")
        await alice.ask("{name}", {{}})
        await alice.ask("{name}", {{}})
        assert await alice.wait("{name}_count") == {{"count": 1}}
'''


def plugin_files(name: str) -> dict[str, str]:
    """Give the files of a new plugin by their path in its folder."""
    words = {"name": name, "Class": "".join(part.capitalize() for part in name.split("_"))}
    return {"__init__.py": _PLUGIN.format(**words), f"test_{name}.py": _TEST.format(**words)}


def config_text() -> str:
    """Give the commented configuration: from the package in a wheel, from beside it in a checkout."""
    package = Path(__file__).parent
    bundled = package / "_bundled" / "config.yaml"
    path = bundled if bundled.is_file() else package.parent / "config.yaml"
    return path.read_text(encoding="utf-8")
