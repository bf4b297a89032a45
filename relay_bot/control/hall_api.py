"""Halls on the control endpoint: the published interactions and join calls, our own, and the plugins' routes.

Source of the published ones: the Relay texts "Interactions" and "Participants & Joining".
"""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from relay_bot.control.errors import ApiError, from_refusal, from_refuse
from relay_bot.control.hall_set import HallSet, check_journal, hall_of
from relay_bot.control.idempotency import BACKEND, IdempotencyLog
from relay_bot.control.operation import Call, Operation, Run
from relay_bot.control.token_desk import check_may_join
from relay_bot.hall.hall import Hall
from relay_bot.hall.message import Answered, Asked, BackendMessage, CommandCall, FutureWaiter, RouteCall, answer_key
from relay_bot.hall.quarantine import Quarantined
from relay_bot.hall.session import Loaded
from relay_bot.journal.batch import Unavailable
from relay_bot.livekit.tokens import join_token
from relay_bot.plugin import Request, Role, Route
from relay_bot.settings import Settings
from relay_bot.wire.clock import now_ms
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES, MAX_TYPE_CHARS, encode_envelope
from relay_bot.wire.refusal import Refuse

HallId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Identity = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
JoinId = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$", description="No control characters"),
]

_DECIDE_SECONDS: Final = 30.0
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f]")


class NoParameters(Request, frozen=True):
    """Nothing."""


class HallRequest(Request, frozen=True):
    """A hall, by the path."""

    hall_id: HallId


class Interaction(Request, frozen=True, forbid_unknown_fields=False):
    """An interaction to be sent to a hall's participants.

    `to`: whom it is for; left out or null = everybody, an empty list = nobody.
    """

    hall_id: HallId
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPE_CHARS)]
    payload: dict[str, Any]
    sender_id: Identity | None = None
    """Whose message it is: it is decided as theirs, with their rights. Without it, it is the backend's own order."""
    to: Annotated[list[Identity], msgspec.Meta(max_length=1000)] | None = None


class InteractionSent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was sent; `recipient_count` is null for a broadcast. `result`: what a plugin answered, if it did.

    `sent` is false where nothing left: nobody of those it is for is here, or a plugin took it and says nothing.
    `not_here`: those it is for who are not in the hall, and so have not got it.
    """

    sent: bool
    type: str
    broadcast: bool
    recipient_count: int | None
    timestamp: str
    result: dict[str, Any] | None = None
    not_here: list[str] = []


class CommandText(Request, frozen=True):
    """A command of the backend's own, as a host would write it in the chat."""

    hall_id: HallId
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]


class CommandAnswer(msgspec.Struct, frozen=True):
    """What the issuer of the command would be told; empty where there is nothing to tell."""

    notice: str


class JoinRequest(Request, frozen=True, forbid_unknown_fields=False):
    """Someone who is to join a hall: a publisher sends and receives audio and video, a subscriber receives only."""

    hall_id: JoinId
    participant_id: JoinId
    display_name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    role: Literal["publisher", "subscriber"]
    hall_role: Literal["host", "moderator", "speaker", "viewer"] = "viewer"
    """Ours: what they may do here, signed into the token."""


class JoinAnswer(msgspec.Struct, frozen=True):
    """The token to join with, and where; beside the published fields, whom to send votes and commands to."""

    join_token: str
    livekit_url: str
    bot_identity: str


class HallSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A hall that is served now; plugins add fields of their own."""

    hall_id: str
    room_sid: str
    status: str
    seq: int
    participants: int
    bot_identity: str
    quarantined: list[Quarantined] = []
    """Plugins that the hall goes on without, left out where there are none; a reload or restart brings them back."""


class HallList(msgspec.Struct, frozen=True):
    """The halls that are served now."""

    halls: list[HallSummary]


class HallApi:
    """Makes the operations on halls."""

    def __init__(self, settings: Settings, halls: HallSet, plugins: Mapping[str, Loaded], once: IdempotencyLog) -> None:
        self._settings = settings
        self._halls = halls
        self._plugins = plugins
        self._once = once

    def operations(self) -> list[Operation]:
        """List the operations, the plugins' routes among them."""
        return [*self._relay(), *self._own(), *self._of_plugins()]

    def _relay(self) -> list[Operation]:
        interact = Operation(
            "POST",
            "/v1/halls/{hall_id}/interactions",
            "relay",
            "Send an interaction",
            Interaction,
            InteractionSent,
            self._interact,
            description=(
                "Sends a typed envelope to everybody in the hall, or to those named in `to`. Types that no plugin "
                "knows are forwarded as they are. `result` is there only where a plugin made something, such as a "
                "poll's id. A 2xx leaves after it is durable."
            ),
            example={
                "type": "reaction",
                "payload": {"emoji": "\N{THUMBS UP SIGN}", "x": 0.42, "y": 0.75},
                "sender_id": "user_abc123",
            },
            answer_example={
                "sent": True,
                "type": "reaction",
                "broadcast": True,
                "recipient_count": None,
                "timestamp": "2025-04-05T10:00:00.000Z",
            },
            errors=(409, 503),
        )
        join = Operation(
            "POST",
            "/v1/halls/{hall_id}/join",
            "relay",
            "Generate a join token",
            JoinRequest,
            JoinAnswer,
            self._join,
            description="Makes a token that is good for an hour; 403 `blocked` for someone who is banned."
            " The identity is the backend's to give: whoever has it has what waits for it, a place on the stage too.",
            errors=(403, 503),
            example={"participant_id": "user_abc123", "display_name": "Alice", "role": "publisher"},
            answer_example={
                "join_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...",
                "livekit_url": "wss://media.relay.dev",
                "bot_identity": "relay-bot",
            },
        )
        return [interact, join]

    def _own(self) -> list[Operation]:
        path = "/v1/halls/{hall_id}"
        return [
            Operation("GET", "/v1/halls", "halls", "List the halls", NoParameters, HallList, self._list),
            Operation("GET", path, "halls", "Describe a hall", HallRequest, HallSummary, self._describe, errors=(404,)),
            Operation(
                "POST",
                path + "/commands",
                "halls",
                "Run a command",
                CommandText,
                CommandAnswer,
                self._command,
                description=(
                    "Runs a chat command with the backend's authority: the texts of interactions are never commands. "
                    "A refusal says what the issuer would have been told."
                ),
                example={"text": "/mute ana 10m"},
                answer_example={"notice": "muted Ana until 2025-04-05T10:10:00.000Z"},
                errors=(403, 404, 409, 503),
            ),
        ]

    def _of_plugins(self) -> list[Operation]:
        return [
            Operation(
                route.http_method,
                "/v1/halls/{hall_id}" + route.path,
                name,
                route.help,
                _with_hall(route.request_type),
                route.answer_type,
                self._route(name, route),
                errors=(404, 409, 503),
                files=route.files,
            )
            for name, loaded in self._plugins.items()
            for route in loaded.spec.routes
        ]

    # -- running ------------------------------------------------------------------------------------

    async def _interact(self, call: Call) -> Any:
        asked: Interaction = call.request
        hall = self._halls.get(asked.hall_id)
        if hall is not None:
            check_journal(hall)
        if hall is None or not hall.active:
            raise ApiError(409, "hall_not_active", "the hall is not active: nobody is in it, or it is closed")
        waiter = FutureWaiter()
        to = None if asked.to is None else tuple(dict.fromkeys(asked.to))
        # Before the hall sees it: a plugin must not have kept what can't be sent.
        size = len(encode_envelope(asked.type, asked.payload, sender_id=asked.sender_id, at_ms=now_ms()))
        if size > MAX_ENVELOPE_BYTES:
            text = f"the envelope would have {size} bytes of {MAX_ENVELOPE_BYTES}"
            raise ApiError(422, "validation_error", text, field="payload")
        payload = msgspec.Raw(msgspec.json.encode(asked.payload))
        item = BackendMessage(
            asked.type, payload, asked.sender_id, to, waiter, key_of(call), call.digest, time.monotonic()
        )
        return await decided(hall, item)

    async def _command(self, call: Call) -> Any:
        asked: CommandText = call.request
        hall = hall_of(self._halls, asked.hall_id)
        item = CommandCall(asked.text, FutureWaiter(), key_of(call), call.digest, time.monotonic())
        return await decided(hall, item)

    async def _join(self, call: Call) -> Any:
        asked: JoinRequest = call.request
        await self._check_may_join(asked)

        async def make() -> dict[str, str]:
            token = join_token(
                self._settings.livekit,
                asked.hall_id,
                asked.participant_id,
                name=asked.display_name,
                role=Role[asked.hall_role.upper()],
                can_publish=asked.role == "publisher",
            )
            return {
                "join_token": token,
                "livekit_url": public_url(self._settings),
                "bot_identity": self._settings.bot.identity,
            }

        if call.idempotency_key is None:
            return await make()
        return await self._once.once(call.idempotency_key, call.digest, make)

    async def _check_may_join(self, asked: JoinRequest) -> None:
        """Raise `ApiError` for identities that can't be used, and for those that are banned."""
        identity = asked.participant_id
        if identity == self._settings.bot.identity:
            # LiveKit would throw the bot out of the hall: one identity is there once.
            raise ApiError(422, "validation_error", "this identity is the bot's", field="participant_id")
        if _CONTROL_CHARACTER.search(identity) or _CONTROL_CHARACTER.search(asked.hall_id):
            # The types' pattern lets a line break at the end pass.
            raise ApiError(422, "validation_error", "an id has no control characters", field="participant_id")
        await check_may_join(self._halls, asked.hall_id, identity)

    async def _list(self, call: Call) -> Any:
        return {"halls": [hall.summary() for hall in self._halls.all()]}

    async def _describe(self, call: Call) -> Any:
        return hall_of(self._halls, call.request.hall_id).summary()

    def _route(self, plugin: str, route: Route) -> Run:
        async def run(call: Call) -> Any:
            request = _without_hall(call.request, route.request_type)
            name: str = call.request.hall_id
            if route.http_method == "GET" and self._halls.get(name) is None:
                return await self._ask_past(name, plugin, route, request)
            hall = hall_of(self._halls, name)
            item = RouteCall(plugin, route, request, FutureWaiter(), key_of(call), call.digest, time.monotonic())
            return await decided(hall, item)

        return run

    async def _ask_past(self, name: str, plugin: str, route: Route, request: Request) -> Any:
        try:
            async with asyncio.timeout(_DECIDE_SECONDS):
                return await self._halls.ask_past(name, plugin, route, request)
        except Refuse as refusal:
            raise from_refuse(refusal) from None
        except (TimeoutError, Unavailable) as error:
            raise ApiError(503, "busy", f"the hall's journal could not be read: {error}", retry_after_ms=1000) from None


def public_url(settings: Settings) -> str:
    """Give the LiveKit address for clients."""
    return settings.control.public_livekit_url or settings.livekit.url


async def decided(hall: Hall, item: Asked) -> Any:
    """Have a request decided; gives its result. Raises `ApiError` for a refusal and where it takes too long."""
    answer: Answered
    check_journal(hall)
    try:
        async with asyncio.timeout(_DECIDE_SECONDS):
            answer = await hall.request(item)
    except TimeoutError:
        text = "the hall has not answered in time; send again with the same Idempotency-Key"
        raise ApiError(503, "busy", text, retry_after_ms=1000) from None
    if answer.error is not None:
        raise from_refusal(answer.error)
    return answer.result


def key_of(call: Call) -> bytes | None:
    """Give the key under which an answer is remembered; `None` without an Idempotency-Key."""
    return None if call.idempotency_key is None else answer_key(BACKEND, call.idempotency_key)


@functools.cache  # one type for each: OpenAPI names its schemas by them
def _with_hall(request_type: type[Request]) -> type[Request]:
    """Give the request type with the path's `hall_id`, which the hall itself has no use for."""
    return msgspec.defstruct(  # type: ignore[return-value]  (its base is a Request)
        f"{request_type.__name__}OfHall",
        [("hall_id", HallId)],
        bases=(request_type,),
        module=request_type.__module__,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _without_hall(request: Any, request_type: type[Request]) -> Any:
    fields = {field: getattr(request, field) for field in request_type.__struct_fields__}
    return request_type(**fields)
