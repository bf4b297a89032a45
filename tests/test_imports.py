"""What import-linter can't say: `livekit.rtc` and `livekit.api` are parts of one package to it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_only_the_python_sdk_link_imports_the_sdk() -> None:
    files = [*(ROOT / "relay_bot").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    guilty = {
        str(path.relative_to(ROOT))
        for path in files
        if any(name == "livekit.rtc" or name.startswith("livekit.rtc.") for name in imported(path))
    }
    assert guilty == {"relay_bot/link/python_sdk.py"}


def test_a_plugin_imports_nothing_of_relay_bot_but_the_plugin_api() -> None:
    guilty = {
        str(path.relative_to(ROOT)): sorted(name for name in imported(path) if not allowed(name))
        for path in (ROOT / "plugins").rglob("*.py")
        if not all(allowed(name) for name in imported(path))
    }
    assert guilty == {}


def allowed(name: str) -> bool:
    return not name.startswith("relay_bot") or name == "relay_bot.plugin" or name.startswith("relay_bot.plugin.")
