"""`POST /livekit/webhook`: believed only when LiveKit signed it, and only once."""

import base64
import datetime
import hashlib
import time
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from livekit.api import AccessToken, VideoGrants
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.webhook import WebhookEvent

from relay_bot.livekit import webhooks
from tests.control.support import LIVEKIT, Answer, Endpoint

_numbers = iter(range(1_000_000))


def event(kind: str = "room_started", **more: Any) -> str:
    fields: dict[str, Any] = {"id": f"EV_{next(_numbers)}", "created_at": int(time.time())}
    found = WebhookEvent(event=kind, room=Room(name="hall-1", sid="RM_1"), **(fields | more))
    return MessageToJson(found)


def signature(body: str, *, secret: str = LIVEKIT.api_secret, key: str = LIVEKIT.api_key, hours: float = 1) -> str:
    token = AccessToken(key, secret).with_ttl(datetime.timedelta(hours=hours))
    return token.with_sha256(base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()).to_jwt()


async def send(endpoint: Endpoint, body: str, signed: str, **headers: str) -> Answer:
    sent = {"Authorization": signed, "Content-Type": "application/webhook+json"} | headers
    return await endpoint.call("POST", "/livekit/webhook", data=body.encode(), headers=sent, token=None)


@pytest.mark.parametrize("kind", ["room_started", "participant_joined"])
async def test_a_room_that_has_someone_begins_a_hall(endpoint: Endpoint, kind: str) -> None:
    body = event(kind, participant=ParticipantInfo(identity="ann"))
    answer = await send(endpoint, body, signature(body))
    assert (answer.status, answer.body) == (200, {"received": True})
    assert endpoint.halls.told == [("hall-1", "RM_1")]


@pytest.mark.parametrize("kind", ["room_finished", "participant_left", "track_published", "something_new"])
async def test_others_are_hints_that_nothing_waits_for(endpoint: Endpoint, kind: str) -> None:
    body = event(kind)
    assert (await send(endpoint, body, signature(body))).status == 200
    assert endpoint.halls.told == []


async def test_it_is_reached_under_any_name(endpoint: Endpoint) -> None:
    """LiveKit calls us by the name in its own configuration; the signature is what counts."""
    body = event()
    assert (await send(endpoint, body, signature(body), Host="bot.internal:8787")).status == 200


async def test_a_replay_is_taken_once(endpoint: Endpoint) -> None:
    body = event()
    signed = signature(body)
    for _ in range(3):
        assert (await send(endpoint, body, signed)).status == 200, "LiveKit tries again when an answer was lost"
    assert len(endpoint.halls.told) == 1


async def refused(endpoint: Endpoint, body: str, signed: str) -> None:
    answer = await send(endpoint, body, signed)
    assert answer.error == (401, "unauthorized", "unauthorized")
    assert endpoint.halls.told == []


async def test_a_tampered_body(endpoint: Endpoint) -> None:
    body = event()
    await refused(endpoint, body.replace("hall-1", "hall-2"), signature(body))
    await refused(endpoint, body + " ", signature(body))


async def test_another_secret_or_key(endpoint: Endpoint) -> None:
    body = event()
    await refused(endpoint, body, signature(body, secret="another-secret-of-more-than-32-characters"))
    await refused(endpoint, body, signature(body, key="another"))


@pytest.mark.parametrize("signed", ["", "x", "a.b.c", "Bearer ", "\udcff"])
async def test_no_signature(endpoint: Endpoint, signed: str) -> None:
    await refused(endpoint, event(), signed)


async def test_a_join_token_is_no_signature(endpoint: Endpoint) -> None:
    """It is signed with the same secret, and every participant has one."""
    token = AccessToken(LIVEKIT.api_key, LIVEKIT.api_secret).with_identity("ann")
    await refused(endpoint, event(), token.with_grants(VideoGrants(room_join=True, room="hall-1")).to_jwt())


async def test_an_old_one(endpoint: Endpoint) -> None:
    body = event(created_at=int(time.time()) - 301)
    await refused(endpoint, body, signature(body))
    body = event(created_at=int(time.time()) + 301)
    await refused(endpoint, body, signature(body))


async def test_an_expired_signature(endpoint: Endpoint) -> None:
    body = event()
    await refused(endpoint, body, signature(body, hours=-1))


async def test_one_without_an_id(endpoint: Endpoint) -> None:
    body = event(id="")
    await refused(endpoint, body, signature(body))


@pytest.mark.parametrize("body", ["", "[]", "{", '{"event": 7}'])
async def test_what_is_no_event(endpoint: Endpoint, body: str) -> None:
    await refused(endpoint, body, signature(body))


async def test_bytes_that_are_no_text(endpoint: Endpoint) -> None:
    signed = AccessToken(LIVEKIT.api_key, LIVEKIT.api_secret).with_sha256("x").to_jwt()
    answer = await endpoint.call(
        "POST", "/livekit/webhook", data=b"\xff\xfe", headers={"Authorization": signed}, token=None
    )
    assert answer.status == 401


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_MAX_SEEN", 3)
    receiver = webhooks.Webhooks(LIVEKIT)
    bodies = [event() for _ in range(4)]
    for body in bodies:
        assert receiver.receive(body.encode(), signature(body)) is not None
    assert receiver.receive(bodies[3].encode(), signature(bodies[3])) is None
    assert len(receiver._seen) == 3  # pyright: ignore[reportPrivateUsage] - the bound is what the test is about
