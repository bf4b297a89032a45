"""What a person can do with a stack that runs."""

import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from scripts.devstack.state import Running

_POLL = {
    "type": "poll",
    "payload": {
        "poll_id": "lunch",
        "question": "What do we order for lunch?",
        "options": ["Pizza", "Curry", "Salad"],
        "duration_seconds": 120,
    },
}


_LINKS = {"native": "native: LiveKit's Go SDK", "sdk": "sdk: LiveKit's Python SDK"}


def open_poll(running: Running) -> str:
    """The command that opens a poll."""
    url = f"{running.control_url}/v1/halls/{running.hall}/interactions"
    lines = [
        f"curl -s -X POST {url}",
        f"-H 'Authorization: Bearer {running.control_token}'",
        "-H 'Content-Type: application/json'",
        f"-d '{json.dumps(_POLL)}'",
    ]
    return " \\\n    ".join(lines)


def read_results(running: Running) -> str:
    """The command that reads that poll's results."""
    url = f"{running.control_url}/v1/halls/{running.hall}/polls/lunch"
    return f"curl -s {url} \\\n    -H 'Authorization: Bearer {running.control_token}'"


def show(running: Running, folder: Path, *, crowd_command: str, console: Console | None = None) -> None:
    """Print it. Lines aren't broken, so that they can be copied."""
    out = console or Console(highlight=False, soft_wrap=True)
    out.print(f"\n[bold green]The stack is up.[/] Hall [bold]{escape(running.hall)}[/] is open.\n")
    for name, value in (
        ("LiveKit", running.livekit_url),
        ("Control", running.control_url),
        ("Token", running.control_token),
        ("Link", _LINKS.get(running.link, "unknown")),
        ("Logs", f"{folder / 'bot.log'}, {folder / 'livekit.log'}"),
    ):
        out.print(f"  {name:<8} [cyan]{escape(value)}[/]")
    for title, command in (
        ("Let 20 participants join and vote (in a second terminal):", crowd_command),
        ("Open a poll:", open_poll(running)),
        ("Read its results:", read_results(running)),
        ("Set the environment for other tools (LIVEKIT_URL, keys, token):", f". {folder / 'env'}"),
    ):
        out.print(f"\n{escape(title)}")
        out.print(f"  [cyan]{escape(command)}[/]")
    out.print("\nCtrl-C ends it all.")
