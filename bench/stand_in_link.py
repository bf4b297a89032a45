"""Stands for relay-link at the other end of the socket: lets the bot join, then sends it frames as credit allows.

It speaks docs/link-protocol.md as far as that takes. All its frames are votes of 250 bytes, encoded beforehand.
"""

import argparse
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from relay_bot.link import _frames as wire
from relay_bot.link._source import SOURCE

_CHECKOUT = Path(__file__).resolve().parents[1]
_SENDERS = 40
_VOTE = (
    '{"relay_version":"1","id":"7e0e1a52-7b42-4c0f-9e5e-5c1b7a0c9d11","type":"poll_response","sender_id":"crowd-bench-%d",'
    '"timestamp":"2026-01-31T10:00:00.000Z","payload":{"poll_id":"bench","option":%d}}'
)


def write_program(folder: Path, frames: int, frames_a_message: int) -> Path:
    """Make a program that the native link starts as if it were relay-link."""
    program = folder / "relay-link"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(_CHECKOUT)!r})\n"
        f"from bench.stand_in_link import main\nmain({frames}, {frames_a_message})\n"
    )
    program.chmod(0o755)
    return program


def main(frames: int, frames_a_message: int) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-fd", type=int, required=True)
    parser.add_argument("-parent", type=int)
    with socket.socket(fileno=parser.parse_args().fd) as bot:
        _serve(bot, frames, frames_a_message)


def _serve(bot: socket.socket, frames: int, frames_a_message: int) -> None:
    credit, seat, message = 0, 0, b""
    for op, *values in _commands(bot):
        if op == wire.HELLO:
            credit = values[2]
            _tell(bot, [[[0, wire.PROTOCOL, "bench", SOURCE]], []])
        elif op == wire.JOIN:
            seat = values[0]
            _tell(bot, [[[1, seat, "RM_bench", None]], []])
            message = _encode([[], [[seat, [_frame(number) for number in range(frames_a_message)]]]])
        elif op == wire.CREDIT:
            credit += values[0]
        elif op == wire.LEAVE:
            _tell(bot, [[[2, seat]], []])
        while message and credit and frames > 0:
            bot.sendall(message)
            credit -= 1
            frames -= frames_a_message


def _commands(bot: socket.socket) -> Iterator[list[Any]]:
    """Read what the bot asks for until it hangs up."""
    with bot.makefile("rb") as stream:
        while head := stream.read(wire.HEAD):
            yield from msgspec.msgpack.decode(stream.read(int.from_bytes(head, "big")))


def _frame(number: int) -> list[Any]:
    voter = number % _SENDERS
    return [0, (_VOTE % (voter, number % 4)).encode(), f"crowd-bench-{voter}", 1000.0, "packet", "", True]


def _encode(message: object) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(wire.HEAD, "big") + body


def _tell(bot: socket.socket, message: object) -> None:
    bot.sendall(_encode(message))
