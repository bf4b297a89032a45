"""`POST /v1/halls/{hall_id}/join`, against the published text "Participants & Joining"."""

from pathlib import Path
from typing import Any

import pytest
from livekit.api import TokenVerifier

from tests.control.support import LIVEKIT, Answer, Endpoint, open_endpoint


def claims(answer: Answer) -> Any:
    return TokenVerifier(LIVEKIT.api_key, LIVEKIT.api_secret).verify(answer.body["join_token"])


async def join(endpoint: Endpoint, **more: Any) -> Answer:
    body = {"participant_id": "user_abc123", "display_name": "Alice", "role": "publisher"} | more
    return await endpoint.call("POST", f"{endpoint.hall}/join", body)


@pytest.mark.parametrize(("role", "can_publish"), [("publisher", True), ("subscriber", False)])
async def test_the_token_says_who_and_what(endpoint: Endpoint, role: str, can_publish: bool) -> None:
    answer = await join(endpoint, role=role)

    assert answer.status == 200
    assert set(answer.body) == {"join_token", "livekit_url", "bot_identity"}
    assert answer.body["bot_identity"] == endpoint.settings.bot.identity
    assert answer.body["livekit_url"] == LIVEKIT.url
    token = claims(answer)
    assert (token.identity, token.name) == ("user_abc123", "Alice")
    assert (token.video.room_join, token.video.room) == (True, endpoint.kit.hall.name)
    assert token.video.can_publish is can_publish
    assert token.video.can_subscribe is True
    assert token.video.can_publish_data is True
    assert token.video.can_update_own_metadata is False
    assert not token.video.hidden
    assert not token.video.room_admin
    assert token.attributes == {}


async def test_a_role_in_the_hall_is_signed_in(endpoint: Endpoint) -> None:
    assert claims(await join(endpoint, hall_role="host")).attributes == {"relay.role": "host"}


async def test_a_hall_that_nobody_is_in_yet(endpoint: Endpoint) -> None:
    body = {"participant_id": "ann", "display_name": "Ann", "role": "subscriber"}
    answer = await endpoint.call("POST", "/v1/halls/tomorrow/join", body)
    assert answer.status == 200
    assert claims(answer).video.room == "tomorrow"


async def test_the_public_address_is_told(tmp_path: Path) -> None:
    async with open_endpoint(tmp_path, public_livekit_url="wss://media.example") as endpoint:
        assert (await join(endpoint)).body["livekit_url"] == "wss://media.example"


async def test_who_is_banned_gets_no_token(endpoint: Endpoint) -> None:
    answer = await join(endpoint, participant_id="banned")
    assert answer.error == (403, "forbidden", "blocked")


async def test_nobody_takes_the_bots_place(endpoint: Endpoint) -> None:
    answer = await join(endpoint, participant_id=endpoint.settings.bot.identity)
    assert answer.error == (422, "validation_error", "validation_error")
    assert answer.body["error"]["field"] == "participant_id"


@pytest.mark.parametrize(
    "change",
    [
        {"participant_id": ""},
        {"participant_id": None},
        {"participant_id": "a\u0000backend"},
        {"participant_id": "a\n"},
        {"display_name": ""},
        {"display_name": 7},
        {"role": "host"},
        {"role": None},
        {"hall_role": "backend"},
    ],
)
async def test_bad_bodies(endpoint: Endpoint, change: dict[str, Any]) -> None:
    assert (await join(endpoint, **change)).error == (422, "validation_error", "validation_error")


async def test_missing_fields(endpoint: Endpoint) -> None:
    answer = await endpoint.call("POST", f"{endpoint.hall}/join", {"participant_id": "a"})
    assert answer.error == (422, "validation_error", "validation_error")
    assert "display_name" in answer.body["error"]["message"]


async def test_a_hall_whose_journal_can_not_be_written_says_so_at_every_door(endpoint: Endpoint) -> None:
    endpoint.kit.hall.status = "degraded"
    bodies = {
        f"{endpoint.hall}/interactions": {"type": "note", "payload": {"text": "a"}},
        f"{endpoint.hall}/commands": {"text": "/mute ana"},
        f"{endpoint.hall}/join": {"participant_id": "ana", "display_name": "Ana", "role": "subscriber"},
    }
    for path, body in bodies.items():
        answer = await endpoint.call("POST", path, body)
        assert answer.error == (503, "busy", "journal_unavailable"), path
        assert answer.headers["Retry-After"] == "2"
