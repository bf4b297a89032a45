"""Halls on the control endpoint: the published interactions and join calls, our own, and the plugins' routes.

Source of the published ones: the Relay texts "Interactions" and "Participants & Joining".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from relay_bot.control.errors import ApiError, from_refusal
from relay_bot.control.idempotency import BACKEND, IdempotencyLog
from relay_bot.control.operation import Call, Operation, Run
from relay_bot.hall.hall import Hall
from relay_bot.hall.halls import Halls
from relay_bot.hall.message import Answered, BackendMessage, FutureWaiter, RouteCall, answer_key
from relay_bot.hall.session import Loaded
from relay_bot.livekit.tokens import join_token
from relay_bot.plugin import Request, Role, Route
from relay_bot.settings import Settings
from relay_bot.wire.envelope import MAX_TYPE_CHARS

Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class NoParameters(Request, frozen=True):
    """Nothing."""


class HallRequest(Request, frozen=True):
    """A hall, by the path."""

    hall_id: str


class Interaction(Request, frozen=True, forbid_unknown_fields=False):
    """An interaction to be sent to a hall's participants."""

    hall_id: str
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPE_CHARS)]
    payload: dict[str, Any]
    sender_id: Identity | None = None
    to: Annotated[list[Identity], msgspec.Meta(max_length=1000)] | None = None


class InteractionSent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was sent; `recipient_count` is null for a broadcast. `result`: what a plugin answered, if it did."""

    sent: bool
    type: str
    broadcast: bool
    recipient_count: int | None
    timestamp: str
    result: dict[str, Any] | None = None


class JoinRequest(Request, frozen=True, forbid_unknown_fields=False):
    """Someone who is to join a hall."""

    hall_id: str
    participant_id: Identity
    display_name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    role: Literal["publisher", "subscriber"]
    hall_role: Literal["host", "moderator", "speaker", "viewer"] = "viewer"
    """Ours: what they may do here, signed into the token."""


class JoinAnswer(msgspec.Struct, frozen=True):
    """The token to join with, and where."""

    join_token: str
    livekit_url: str


class HallSummary(msgspec.Struct, frozen=True):
    """A hall that is served now; plugins add fields of their own."""

    hall_id: str
    room_sid: str
    status: str
    seq: int
    participants: int
    bot_identity: str


class HallList(msgspec.Struct, frozen=True):
    """The halls that are served now."""

    halls: list[HallSummary]


class HallApi:
    """Makes the operations on halls."""

    def __init__(self, settings: Settings, halls: Halls, plugins: Mapping[str, Loaded], once: IdempotencyLog) -> None:
        self._settings = settings
        self._halls = halls
        self._plugins = plugins
        self._once = once

    def operations(self) -> list[Operation]:
        """List the operations, the plugins' routes among them."""
        prefix = "/v1/halls/{hall_id}"
        core = [
            Operation(
                "POST",
                f"{prefix}/interactions",
                "relay",
                "Send an interaction",
                Interaction,
                InteractionSent,
                self._interact,
            ),
            Operation("POST", f"{prefix}/join", "relay", "Generate a join token", JoinRequest, JoinAnswer, self._join),
            Operation("GET", "/v1/halls", "halls", "List the halls", NoParameters, HallList, self._list),
            Operation("GET", prefix, "halls", "Describe a hall", HallRequest, HallSummary, self._describe),
        ]
        routes = [
            Operation(
                route.http_method,
                prefix + route.path,
                name,
                route.help,
                _with_hall(route.request_type),
                route.answer_type,
                self._route(name, route),
            )
            for name, loaded in self._plugins.items()
            for route in loaded.spec.routes
        ]
        return core + routes

    # -- running ------------------------------------------------------------------------------------

    async def _interact(self, call: Call) -> Any:
        asked: Interaction = call.request
        hall = self._halls.get(asked.hall_id)
        if hall is None or not hall.active:
            raise ApiError(409, "hall_not_active", "the hall is not active: nobody is in it, or it is closed")
        waiter = FutureWaiter()
        to = None if asked.to is None else tuple(dict.fromkeys(asked.to))
        payload = msgspec.Raw(msgspec.json.encode(asked.payload))
        item = BackendMessage(
            asked.type, payload, asked.sender_id, to, waiter, _key(call), call.digest, time.monotonic()
        )
        return await _decided(hall, item)

    async def _join(self, call: Call) -> Any:
        asked: JoinRequest = call.request

        async def make() -> dict[str, str]:
            token = join_token(
                self._settings.livekit,
                asked.hall_id,
                asked.participant_id,
                name=asked.display_name,
                role=Role[asked.hall_role.upper()],
                can_publish=asked.role == "publisher",
            )
            return {"join_token": token, "livekit_url": public_url(self._settings)}

        if call.idempotency_key is None:
            return await make()
        return await self._once.once(call.idempotency_key, call.digest, make)

    async def _list(self, call: Call) -> Any:
        return {"halls": [hall.summary() for hall in self._halls.all()]}

    async def _describe(self, call: Call) -> Any:
        return self._hall(call.request.hall_id).summary()

    def _route(self, plugin: str, route: Route) -> Run:
        async def run(call: Call) -> Any:
            hall = self._hall(call.request.hall_id)
            request = _without_hall(call.request, route.request_type)
            item = RouteCall(plugin, route, request, FutureWaiter(), _key(call), call.digest, time.monotonic())
            return await _decided(hall, item)

        return run

    def _hall(self, hall_id: str) -> Hall:
        hall = self._halls.get(hall_id)
        if hall is None:
            raise ApiError(404, "not_found", "there is no active hall with this id")
        return hall


def public_url(settings: Settings) -> str:
    """Give the LiveKit address for clients."""
    return settings.control.public_livekit_url or settings.livekit.url


async def _decided(hall: Hall, item: BackendMessage | RouteCall) -> Any:
    answer: Answered = await hall.request(item)
    if answer.error is not None:
        raise from_refusal(answer.error)
    return answer.result


def _key(call: Call) -> bytes | None:
    return None if call.idempotency_key is None else answer_key(BACKEND, call.idempotency_key)


def _with_hall(request_type: type[Request]) -> type[Request]:
    """Give the request type with the path's `hall_id`, which the hall itself has no use for."""
    return msgspec.defstruct(  # type: ignore[return-value]
        request_type.__name__,
        [("hall_id", str)],
        bases=(request_type,),
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _without_hall(request: Any, request_type: type[Request]) -> Any:
    fields = {field: getattr(request, field) for field in request_type.__struct_fields__}
    return request_type(**fields)
