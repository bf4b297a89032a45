"""What goes through a hall: messages of participants and backends, each knowing how it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, Protocol

import msgspec

from relay_bot.plugin import Route, Sender
from relay_bot.wire.refusal import Refuse


class Answered(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What was answered to a message: kept, so that the same message again gets the same answer.

    Neither `result` nor `error`: a plain ack. `digest` guards an HTTP idempotency key: it is a hash of the body.
    `kept`: not so for what was only read, which is read again when the message comes again.
    """

    result: Any = None
    error: dict[str, Any] | None = None
    digest: str = ""
    kept: bool = True


ACKED = Answered()
READ = Answered(kept=False)
"""The ack of a message that read something, and hears it otherwise."""


ROW_BYTES: Final = 16


class Waiter(Protocol):
    """Someone who waits for the answer to a message."""

    def answer(self, answer: Answered, outlet: Outlet) -> None:
        """Pass the answer on; called once, after the commit."""
        ...


class Outlet(Protocol):
    """Where answers to data packets go, gathered for each commit."""

    def ack(self, identity: str, message_id: str, result: Any) -> None:
        """Tell a participant that their message was taken."""
        ...

    def error(self, identity: str, payload: dict[str, Any]) -> None:
        """Tell a participant that their message was refused."""
        ...


class PacketWaiter(msgspec.Struct, frozen=True, gc=False):
    """A participant who sent a data packet; without an id, only errors are told."""

    identity: str
    message_id: str | None
    silent: bool = False
    """A dialect's message: its clients know no answers."""

    def answer(self, answer: Answered, outlet: Outlet) -> None:
        if self.silent:
            return
        if answer.error is not None:
            outlet.error(self.identity, {**answer.error, "id": self.message_id})
        elif self.message_id is not None:
            outlet.ack(self.identity, self.message_id, answer.result)


class RpcWaiter:
    """A participant who made an RPC."""

    __slots__ = ("_message_id", "_reply")

    def __init__(self, reply: Any, message_id: str | None) -> None:
        self._reply = reply
        self._message_id = message_id

    def answer(self, answer: Answered, outlet: Outlet) -> None:
        if answer.error is not None:
            payload = {**answer.error, "id": self._message_id}
            self._reply.fail(str(payload.get("message", "")), msgspec.json.encode(payload))
            return
        ack: dict[str, Any] = {"ids": [] if self._message_id is None else [self._message_id]}
        if answer.result is not None:
            ack["result"] = answer.result
        self._reply.ok(msgspec.json.encode(ack))


class FutureWaiter:
    """A request on the control endpoint."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()

    def answer(self, answer: Answered, outlet: Outlet) -> None:
        if not self.future.done():
            self.future.set_result(answer)


class Message(msgspec.Struct):
    """One message on its way through a hall, past the gate. `payload` is JSON text, not yet decoded."""

    kind: str
    payload: msgspec.Raw
    sender: Sender
    waiter: Waiter
    stamp: float
    message_id: str | None = None
    key: bytes | None = None
    audience: tuple[str, ...] | None = None
    private: bool = False
    claimed: str | None = None
    provided: Mapping[str, Any] | None = None
    heard: bool | None = None
    """See `Context.heard`."""
    addressed: tuple[str, ...] = ()
    """See `Context.addressed`."""


class BackendMessage(msgspec.Struct, frozen=True):
    """An interaction from a backend: the envelope's parts, and whose message it passes on (`None`: its own order)."""

    kind: str
    payload: msgspec.Raw
    sender_id: str | None
    audience: tuple[str, ...] | None
    waiter: FutureWaiter
    key: bytes | None
    digest: str
    stamp: float


class RouteCall(msgspec.Struct, frozen=True):
    """A request on one of a plugin's routes."""

    plugin: str
    route: Route
    request: Any
    waiter: FutureWaiter
    key: bytes | None
    digest: str
    stamp: float


class RetryEffect(msgspec.Struct, frozen=True):
    """An operator wants an effect tried again that was given up."""

    id: int
    waiter: FutureWaiter
    key: bytes | None
    digest: str
    stamp: float


class CommandCall(msgspec.Struct, frozen=True):
    """A command from a backend, with its prefix."""

    text: str
    waiter: FutureWaiter
    key: bytes | None
    digest: str
    stamp: float


Asked = BackendMessage | RouteCall | CommandCall | RetryEffect
"""What comes from the control endpoint and waits for an answer."""


def refused(refusal: Refuse) -> Answered:
    """Make the answer for a refusal; the id is put in where it is told."""
    return Answered(error=refusal.payload(None))


def answer_key(sender: str, message_id: str, extra: bytes = b"") -> bytes:
    """Make the key of a message by its sender and its id: what duplicates are found by.

    The first `ROW_BYTES` are a hash, under which its answer is kept; the rest, which opens it, nowhere.
    """
    whole = f"{sender}\0{message_id}\0".encode() + extra
    return blake2b(whole, digest_size=ROW_BYTES).digest() + whole
