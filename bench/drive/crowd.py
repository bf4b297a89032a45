"""Drives the crowd of participants, a Go program."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.drive.lines import LinesChild
from scripts.devstack.livekit_server import LiveKitServer

_PATIENCE = 30.0  # beyond what a command may take by its own timeout


class Latency(msgspec.Struct):
    """Milliseconds from a vote's first sending to its answer."""

    p50: float
    p99: float
    max: float


class Outcome(msgspec.Struct):
    """What a burst or a ping-pong came to."""

    sent: int
    acked: int
    unacked: int
    resent: int
    refused: dict[str, int]
    send_errors: int
    send_ms: float
    duration_ms: float
    latency_ms: Latency
    samples_ms: list[float]  # a ping-pong's latencies, one by one
    choices: list[int]  # how many participants chose each option last


class Insisted(msgspec.Struct):
    """A vote that was sent until it was answered; an answer is "" for an ack, else an error's code."""

    id: str
    option: int
    sent: int
    answers: list[str]


class HeardResults(msgspec.Struct):
    """One `poll_results` as it came, so long after the voting began."""

    at_ms: float
    poll_id: str
    seq: int
    voters: int


class Insistence(msgspec.Struct):
    """How one participant insisted: two votes, one after the other, and what they heard meanwhile."""

    identity: str
    votes: list[Insisted]
    results: list[HeardResults] | None


class _Insistences(msgspec.Struct):
    people: list[Insistence]


class _Done(msgspec.Struct):
    participants: int


class Crowd:
    """Real participants in halls, voting when they are told to."""

    def __init__(self, binary: Path, server: LiveKitServer) -> None:
        self._server = server
        self._child = LinesChild("crowd", [binary])

    def join(self, halls: Sequence[str], participants: int) -> None:
        """Bring so many participants into each hall."""
        command = {
            "cmd": "join",
            "url": self._server.url,
            "key": self._server.keys.key,
            "secret": self._server.keys.secret,
            "halls": list(halls),
            "participants": participants,
            "prefix": "crowd-",
            "attributes": {"relay.role": "viewer"},
        }
        self._child.ask(command, _Done, seconds=60 + len(halls) * participants)

    def burst(
        self,
        to: str,
        poll_id: str,
        *,
        halls: Sequence[str],
        votes: int,
        options: int,
        with_id: bool,
        spread_seconds: float = 0,
        resend_seconds: float = 0,
        seconds: float = 60,
    ) -> Outcome:
        """Let each participant of the halls vote so often; with an id, wait for the answers."""
        command = {
            "cmd": "burst",
            "halls": list(halls),
            "votes": votes,
            "poll_id": poll_id,
            "options": options,
            "with_id": with_id,
            "to": to,
            "spread_ms": int(spread_seconds * 1000),
            "resend_ms": int(resend_seconds * 1000),
            "timeout_ms": int(seconds * 1000),
        }
        return self._child.ask(command, Outcome, seconds=seconds + spread_seconds + _PATIENCE)

    def pingpong(
        self,
        to: str,
        poll_id: str,
        *,
        hall: str,
        votes: int,
        options: int,
        resend_seconds: float = 2,
        seconds: float = 60,
    ) -> Outcome:
        """Let one participant vote so often, each time after the answer to the vote before."""
        command = {
            "cmd": "pingpong",
            "halls": [hall],
            "votes": votes,
            "poll_id": poll_id,
            "options": options,
            "to": to,
            "resend_ms": int(resend_seconds * 1000),
            "timeout_ms": int(seconds * 1000),
        }
        return self._child.ask(command, Outcome, seconds=seconds + _PATIENCE)

    def insist(
        self,
        to: str,
        poll_id: str,
        *,
        hall: str,
        options: int,
        spread_seconds: float,
        resend_seconds: float = 1,
        seconds: float = 60,
    ) -> list[Insistence]:
        """Let each participant vote twice with one id, then once with another, each until it is answered."""
        command = {
            "cmd": "insist",
            "halls": [hall],
            "poll_id": poll_id,
            "options": options,
            "to": to,
            "spread_ms": int(spread_seconds * 1000),
            "resend_ms": int(resend_seconds * 1000),
            "timeout_ms": int(seconds * 1000),
        }
        return self._child.ask(command, _Insistences, seconds=seconds + _PATIENCE).people

    def leave(self, halls: Sequence[str]) -> None:
        self._child.ask({"cmd": "leave", "halls": list(halls)}, _Done, seconds=60)

    def close(self) -> None:
        self._child.close()
