"""Run a bare bot as a child process: `python -m bench.bare sink IDENTITY`, commands on stdin.

One JSON command a line, one JSON answer a line: {"cmd":"join","halls":[…]} and {"cmd":"count"}. The bot
ends when its stdin closes. URL and keys come from LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.
"""

import asyncio
import os
import sys
from typing import Any

import orjson

from bench.bare.bot import BareBot, Behaviour

_BEHAVIOURS: dict[str, Behaviour] = {"sink": "sink", "echo": "echo"}


async def obey(bot: BareBot, command: dict[str, Any]) -> dict[str, Any]:
    match command["cmd"]:
        case "join":
            return {"event": "join", "rooms": await bot.join(command["halls"])}
        case "count":
            counts = bot.counts
            return {
                "event": "count",
                "received": counts.received,
                "nameless": counts.nameless,
                "answered": counts.answered,
                "failed": counts.failed,
            }
        case other:
            return {"event": "failed", "error": f"no command is named {other!r}"}


async def serve(behaviour: Behaviour, identity: str) -> None:
    bot = BareBot(
        behaviour,
        identity,
        os.environ["LIVEKIT_URL"],
        os.environ["LIVEKIT_API_KEY"],
        os.environ["LIVEKIT_API_SECRET"],
    )
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        try:
            answer = await obey(bot, orjson.loads(line))
        except Exception as error:  # the bench shows it; the bot goes on
            answer = {"event": "failed", "error": f"{type(error).__name__}: {error}"}
        sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    await bot.leave()


def main() -> None:
    behaviour, identity = sys.argv[1:]
    asyncio.run(serve(_BEHAVIOURS[behaviour], identity))


if __name__ == "__main__":
    main()
