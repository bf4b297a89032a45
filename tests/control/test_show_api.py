"""The Interactive Show's API with its published bodies, field for field; only LiveKit is stood in for."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgspec
import pytest
from aiohttp import web
from livekit.protocol.models import ParticipantInfo, ParticipantPermission, Room

from relay_bot.control.guard import Guard
from relay_bot.control.idempotency import IdempotencyLog
from relay_bot.control.openapi import describe
from relay_bot.control.operation import Operation
from relay_bot.control.server import ControlServer
from relay_bot.control.show_api import ShowApi
from relay_bot.control.show_limits import RateLimits
from relay_bot.hall.plugins import load_plugins
from relay_bot.journal.writer import Journal
from relay_bot.livekit.rooms import RoomsError
from relay_bot.livekit.tokens import join_token
from relay_bot.settings import ControlSettings, RoleSettings, Settings
from relay_bot.testing import Guest, HallKit
from tests.control.support import LIVEKIT, TOKEN, Answer, KitHalls

HOST = '{"role":"host","displayName":"Host Jane"}'


class KitRooms:
    """LiveKit's rooms as the kit's hall has them."""

    def __init__(self, kit: HallKit) -> None:
        self._kit = kit
        self.open = True

    async def rooms(self, names: list[str] | None = None) -> list[Room]:
        name = self._kit.hall.name
        if not self.open or (names and name not in names):
            return []
        return [Room(name=name, sid="RM_kit", num_participants=1, creation_time=1704067200)]

    async def delete(self, hall: str) -> None:
        self.open = False

    async def participants(self, hall: str) -> list[ParticipantInfo]:
        if self._kit.room.failing:
            raise RoomsError("LiveKit can't be reached: ClientConnectorError")
        if hall != self._kit.hall.name:
            raise RoomsError("no such room", not_found=True)
        return [
            ParticipantInfo(
                sid=f"PA_{one.identity}",
                identity=one.identity,
                name=one.name,
                metadata=one.metadata,
                attributes=one.attributes,
                joined_at=1704067200,
                state=ParticipantInfo.State.ACTIVE,
                permission=ParticipantPermission(
                    can_publish=one.can_publish,
                    can_publish_data=one.can_publish_data,
                    can_subscribe=one.can_subscribe,
                    can_update_metadata=one.can_update_metadata,
                ),
            )
            for one in self._kit.room.presences.values()
        ]

    async def remove_visible(self, hall: str, identity: str) -> None:
        if identity not in self._kit.room.guests:
            raise RoomsError("no such participant", not_found=True)
        self._kit.room.guests[identity].leave()


class Show:
    """The endpoint with one room, asked like a backend that has the token."""

    def __init__(self, kit: HallKit, server: ControlServer, client: aiohttp.ClientSession, rooms: KitRooms) -> None:
        self.kit = kit
        self.rooms = rooms
        self.operations: list[Operation] = []
        self._server = server
        self._client = client

    @property
    def room(self) -> str:
        return self.kit.hall.name

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> Answer:
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = f"{self._server.address}/api/rooms{path}"
        async with self._client.request(method, url, json=body, data=data, headers=sent | dict(headers or {})) as got:
            return Answer(got.status, json.loads(await got.text()), got.headers)

    async def post(self, path: str, body: Any, **more: Any) -> Answer:
        return await self.call("POST", path, body, **more)

    async def stage(self) -> list[str]:
        told = await self.kit.call("hands", "show_stage")
        return [guest["participant_id"] for guest in told["on_stage"]]


@asynccontextmanager
async def open_show(folder: Path, roles: RoleSettings | None = None) -> AsyncGenerator[Show]:
    settings = Settings(
        livekit=LIVEKIT,
        control=ControlSettings(port=0, public_livekit_url="wss://show.example"),
        roles=roles or RoleSettings(),
    )
    journal = Journal(f"sqlite:///{folder / 'relay.db'}")
    await journal.start()
    try:
        async with (
            HallKit.open(folder, {"hands": {}}, settings=settings, journal=journal) as kit,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client,
        ):
            once = IdempotencyLog(journal, "control")
            await once.start()
            rooms = KitRooms(kit)
            plugins = {name: loaded for name, loaded in load_plugins({}, folder).items() if name == "hands"}
            operations = ShowApi(settings, rooms, KitHalls(kit), plugins, once).operations()  # pyright: ignore[reportArgumentType]
            server = ControlServer(settings.control, Guard(settings.control, TOKEN), operations, _no_webhook)
            await server.start()
            show = Show(kit, server, client, rooms)
            show.operations = operations
            try:
                yield show
            finally:
                await server.stop()
    finally:
        await journal.stop()


async def _no_webhook(request: web.Request) -> web.Response:
    raise NotImplementedError


@pytest.fixture
async def show(tmp_path: Path) -> AsyncGenerator[Show]:
    async with open_show(tmp_path) as opened:
        yield opened


@pytest.fixture
async def host(show: Show) -> Guest:
    return await show.kit.join("host-456", name="Host Jane", metadata=HOST, can_publish=True)


@pytest.fixture
async def viewer(show: Show) -> Guest:
    return await show.kit.join("viewer-123", name="John Viewer", metadata='{"role":"viewer","team":"red"}')


INVITE = {"viewerIdentity": "viewer-123", "hostIdentity": "host-456"}
GUEST = {"guestIdentity": "viewer-123", "hostIdentity": "host-456"}


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, LIVEKIT.api_secret, algorithms=["HS256"])  # pyright: ignore[reportUnknownMemberType]


# -- join ---------------------------------------------------------------------------------------------


async def test_join_gives_a_token_with_the_role(show: Show) -> None:
    body = {"roomName": "my-show", "participantName": "john-doe", "role": "host"}
    answer = await show.post("/join", body)
    assert answer.status == 200
    token = answer.body.pop("token")
    assert answer.body == {"wsUrl": "wss://show.example", "roomName": "my-show", "role": "host"}
    told = claims(token)
    assert (told["sub"], told["name"], told["video"]["room"]) == ("john-doe", "john-doe", "my-show")
    assert json.loads(told["metadata"]) == {"role": "host", "displayName": "john-doe"}
    assert (told["video"]["canPublish"], told["video"]["canUpdateOwnMetadata"]) == (True, False)
    viewer = await show.post("/join", body | {"participantName": "vic", "role": "viewer"})
    told = claims(viewer.body["token"])
    assert (told["video"]["canPublish"], json.loads(told["metadata"])["role"]) == (False, "viewer")


@pytest.mark.parametrize(
    "body",
    [
        {"participantName": "a", "role": "host"},
        {"roomName": "a", "role": "host"},
        {"roomName": "", "participantName": "a", "role": "host"},
        {"roomName": 7, "participantName": "a", "role": "host"},
        {},
    ],
)
async def test_join_needs_a_room_and_a_name(show: Show, body: dict[str, Any]) -> None:
    answer = await show.post("/join", body)
    assert (answer.status, answer.body) == (400, {"error": "roomName and participantName are required"})


async def test_join_refuses_what_is_no_role_and_the_bots_own_name(show: Show) -> None:
    for role in (None, "guest", "moderator", 1):
        answer = await show.post("/join", {"roomName": "r", "participantName": "a", "role": role})
        assert answer.status == 400
    answer = await show.post("/join", {"roomName": "r", "participantName": "relay-bot", "role": "viewer"})
    assert answer.status == 400


async def test_a_room_has_one_host(show: Show, host: Guest) -> None:
    join = {"roomName": show.room, "participantName": "another", "role": "host"}
    answer = await show.post("/join", join)
    assert (answer.status, answer.body) == (409, {"error": "Room already has a host"})
    own = join | {"participantName": "host-456"}
    assert (await show.post("/join", own)).status == 409  # it may be anybody who knows the name
    proof = join_token(LIVEKIT, show.room, "host-456")
    again = await show.post("/join", own | {"participantToken": proof})  # a reload of their page
    assert (again.status, claims(again.body["token"])["sub"]) == (200, "host-456")
    assert (await show.post("/join", join | {"participantName": "host-456", "role": "viewer"})).status == 409


async def test_two_who_ask_at_once_are_not_both_host(show: Show) -> None:
    join = {"roomName": "new-show", "role": "host"}
    answers = await asyncio.gather(*(show.post("/join", join | {"participantName": name}) for name in ("a", "b")))
    assert sorted(answer.status for answer in answers) == [200, 409]


async def test_a_name_that_is_taken_is_nobody_elses(show: Show, host: Guest, viewer: Guest) -> None:
    await show.post(f"/{show.room}/invite", INVITE)
    ask = {"roomName": show.room, "participantName": "viewer-123", "role": "viewer"}
    told = claims((await show.post("/join", ask)).body["token"])
    assert (told["sub"], told["name"], told["video"]["canPublish"]) == ("viewer-123-2", "viewer-123 (2)", False)
    viewer.leave()  # away: the place on the stage waits for them, and not for whoever has their name
    await show.kit.settle()
    assert claims((await show.post("/join", ask)).body["token"])["sub"] == "viewer-123-3"
    proof = join_token(LIVEKIT, show.room, "viewer-123")
    assert claims((await show.post("/join", ask | {"participantToken": proof})).body["token"])["sub"] == "viewer-123"


async def test_a_name_that_was_given_lately_is_taken(show: Show) -> None:
    ask = {"roomName": "new-show", "participantName": "john-doe", "role": "viewer"}
    tokens = [(await show.post("/join", ask)).body["token"] for _ in range(2)]
    assert [claims(token)["sub"] for token in tokens] == ["john-doe", "john-doe-2"]
    again = await show.post("/join", ask | {"participantToken": tokens[0]})
    assert claims(again.body["token"])["sub"] == "john-doe"


async def test_a_name_with_rights_by_the_configuration_is_not_for_who_types_it_in(tmp_path: Path) -> None:
    async with open_show(tmp_path, RoleSettings(hosts=frozenset({"boss"}), moderators=frozenset({"guard"}))) as show:
        given: list[str] = []
        for name, role in (("boss", "viewer"), ("guard", "viewer"), ("guard", "host"), ("boss", "viewer")):
            ask = {"roomName": show.room, "participantName": name, "role": role}
            given.append(claims((await show.post("/join", ask)).body["token"])["sub"])
        assert given == ["boss-2", "guard-2", "guard-3", "boss-3"]


@pytest.mark.parametrize("which", ["another name", "another room", "another key", "no token", 7])
async def test_what_proves_nothing_is_refused(show: Show, which: Any) -> None:
    name = "other" if which == "another name" else "viewer-123"
    room = "other" if which == "another room" else show.room
    livekit = msgspec.structs.replace(LIVEKIT, api_secret="x" * 40) if which == "another key" else LIVEKIT
    proof = join_token(livekit, room, name) if str(which).startswith("another") else which
    ask = {"roomName": show.room, "participantName": "viewer-123", "role": "viewer", "participantToken": proof}
    answer = await show.post("/join", ask)
    assert answer.status == 403
    assert set(answer.body) == {"error"}


# -- rooms --------------------------------------------------------------------------------------------


async def test_rooms_and_their_participants(show: Show, host: Guest, viewer: Guest) -> None:
    listed = {"name": show.room, "sid": "RM_kit", "numParticipants": 1, "creationTime": "1704067200"}
    assert (await show.call("GET", "")).body == {"rooms": [listed]}
    details = {"name": show.room, "sid": "RM_kit", "numParticipants": 2, "hasHost": True, "hasGuest": False}
    assert (await show.call("GET", f"/{show.room}")).body == {"room": details}
    people = (await show.call("GET", f"/{show.room}/participants")).body["participants"]
    assert people[0] == {
        "sid": "PA_host-456",
        "identity": "host-456",
        "name": "Host Jane",
        "metadata": HOST,
        "joinedAt": "1704067200",
    }
    for path in ("/nowhere", "/nowhere/participants"):
        answer = await show.call("GET", path)
        assert (answer.status, answer.body) == (404, {"error": "Room not found"})


async def test_delete_and_remove(show: Show, viewer: Guest) -> None:
    await viewer.ask("hand_raise", {"raised": True})
    answer = await show.call("DELETE", f"/{show.room}/participants/viewer-123")
    assert (answer.status, answer.body) == (200, {"success": True})
    assert (await show.kit.call("hands", "list_hands"))["queue"] == []  # no grace for one who was put out
    answer = await show.call("DELETE", f"/{show.room}/participants/viewer-123")
    assert (answer.status, answer.body) == (404, {"error": "Participant not found"})
    assert (await show.call("DELETE", f"/{show.room}")).body == {"success": True}
    assert (await show.call("GET", f"/{show.room}")).status == 404


# -- guests -------------------------------------------------------------------------------------------


async def test_invite_promotes_and_gives_a_fresh_token(show: Show, host: Guest, viewer: Guest) -> None:
    others = host.presence
    answer = await show.post(f"/{show.room}/invite", INVITE)
    assert answer.status == 200, answer.body
    told = claims(answer.body.pop("token"))
    assert answer.body == {
        "success": True,
        "wsUrl": "wss://show.example",
        "message": "viewer-123 has been promoted to guest",
    }
    assert (told["sub"], told["name"], told["video"]["canPublish"]) == ("viewer-123", "John Viewer", True)
    assert json.loads(told["metadata"]) == {"role": "guest", "displayName": "John Viewer", "team": "red"}
    assert viewer.presence.can_publish
    assert viewer.presence.metadata == '{"role":"viewer","team":"red"}'
    assert host.presence == others
    assert await show.stage() == ["viewer-123"]
    assert (await show.call("GET", f"/{show.room}")).body["room"]["hasGuest"] is True
    assert (await host.wait("guest_promoted"))["participant_id"] == "viewer-123"


async def test_only_the_host_invites_and_demotes(show: Show, host: Guest, viewer: Guest) -> None:
    await show.kit.join("mo", role="moderator")
    for pretender in ("viewer-123", "mo", "nobody"):
        answer = await show.post(
            f"/{show.room}/invite", {"viewerIdentity": "viewer-123", "hostIdentity": pretender},
            headers={"X-Forwarded-For": pretender},
        )  # fmt: skip
        assert (answer.status, answer.body) == (403, {"error": "Only the host can promote viewers to guest"})
        for path in ("demote", "remove-guest"):
            answer = await show.post(f"/{show.room}/{path}", GUEST | {"hostIdentity": pretender})
            assert answer.status == 403
    assert await show.stage() == []


async def test_a_room_has_one_guest(show: Show, host: Guest, viewer: Guest) -> None:
    await show.kit.join("viewer-2")
    await show.post(f"/{show.room}/invite", INVITE)
    second = INVITE | {"viewerIdentity": "viewer-2"}
    answer = await show.post(f"/{show.room}/invite", second)
    assert (answer.status, answer.body) == (403, {"error": "Room already has a guest"})
    assert (await show.post(f"/{show.room}/demote", GUEST)).status == 200
    assert (await show.post(f"/{show.room}/invite", second)).status == 200
    assert await show.stage() == ["viewer-2"]


async def test_demote_takes_the_right_and_gives_a_viewers_token(show: Show, host: Guest, viewer: Guest) -> None:
    await show.post(f"/{show.room}/invite", INVITE)
    answer = await show.post(f"/{show.room}/demote", GUEST)
    told = claims(answer.body.pop("token"))
    assert (answer.status, answer.body) == (
        200,
        {"success": True, "wsUrl": "wss://show.example", "message": "viewer-123 has been demoted to viewer"},
    )
    assert (told["video"]["canPublish"], json.loads(told["metadata"])["role"]) == (False, "viewer")
    assert not viewer.presence.can_publish
    again = await show.post(f"/{show.room}/demote", GUEST)
    assert (again.status, again.body) == (404, {"error": "viewer-123 is not a guest"})


async def test_remove_guest(show: Show, host: Guest, viewer: Guest) -> None:
    assert (await show.post(f"/{show.room}/remove-guest", GUEST)).status == 404
    await show.post(f"/{show.room}/invite", INVITE)
    answer = await show.post(f"/{show.room}/remove-guest", GUEST)
    assert (answer.status, answer.body) == (
        200,
        {"success": True, "message": "viewer-123 has been removed from the room"},
    )
    assert "viewer-123" not in show.kit.room.presences
    assert await show.stage() == []


async def test_what_is_missing_is_named_in_the_texts_words(show: Show, host: Guest) -> None:
    for path, body, words in (
        ("invite", {"viewerIdentity": "a"}, "viewerIdentity and hostIdentity are required"),
        ("invite", {"hostIdentity": "a"}, "viewerIdentity and hostIdentity are required"),
        ("demote", {"hostIdentity": "a"}, "guestIdentity and hostIdentity are required"),
        ("remove-guest", {"guestIdentity": "a"}, "guestIdentity and hostIdentity are required"),
        ("hand-raise", {"raised": True}, "participantIdentity and raised are required"),
        ("hand-raise", {"participantIdentity": "a"}, "participantIdentity and raised are required"),
    ):
        answer = await show.post(f"/{show.room}/{path}", body)
        assert (answer.status, answer.body) == (400, {"error": words})
    absent = await show.post(f"/{show.room}/invite", INVITE | {"viewerIdentity": "nobody"})
    assert (absent.status, absent.body) == (404, {"error": "Participant not found"})
    assert (await show.post("/nowhere/invite", INVITE)).status == 404


async def test_a_promotion_that_livekit_does_not_do_is_not_claimed(
    show: Show, host: Guest, viewer: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_bot.control.show_stage._WAIT_SECONDS", 0.3)
    perform = show.kit._services.rooms.perform  # pyright: ignore[reportPrivateUsage]

    async def fails(hall: str, effect: Any) -> str | None:
        raise RoomsError("LiveKit: 503")

    monkeypatch.setattr(show.kit._services.rooms, "perform", fails)  # pyright: ignore[reportPrivateUsage]
    answer = await show.post(f"/{show.room}/invite", INVITE)
    assert answer.status == 502
    assert set(answer.body) == {"error"}
    assert await show.stage() == []
    monkeypatch.setattr(show.kit._services.rooms, "perform", perform)  # pyright: ignore[reportPrivateUsage]
    await viewer.wait("guest_promoted")  # it stays owed, and is done when LiveKit is back


async def test_own_words_give_no_role_in_a_fresh_token(show: Show, host: Guest) -> None:
    await show.kit.join(
        "liar",
        metadata='{"role":"host"}',
        attributes={"relay.role": "host", "colour": "red"},
        can_update_metadata=True,
    )
    invite = {"viewerIdentity": "liar", "hostIdentity": "host-456"}
    told = claims((await show.post(f"/{show.room}/invite", invite)).body["token"])
    assert json.loads(told["metadata"])["role"] == "guest"
    assert told["attributes"] == {"colour": "red"}
    assert (await show.post(f"/{show.room}/demote", GUEST | {"hostIdentity": "liar"})).status == 403


async def test_a_muted_guest_gets_no_token_that_lets_them_write(show: Show, host: Guest) -> None:
    await show.kit.join("viewer-123", can_publish_data=False)
    told = claims((await show.post(f"/{show.room}/invite", INVITE)).body["token"])
    assert told["video"]["canPublishData"] is False


# -- hands --------------------------------------------------------------------------------------------


async def test_hand_raise_drives_the_same_queue(show: Show, host: Guest, viewer: Guest) -> None:
    path = f"/{show.room}/hand-raise"
    raise_hand = {"participantIdentity": "viewer-123", "raised": True}
    for _ in range(2):
        answer = await show.post(path, raise_hand)
        assert (answer.status, answer.body) == (200, {"success": True, "handRaised": True})
    queue = await host.wait("hand_queue", lambda said: bool(said["queue"]))
    assert [hand["participant_id"] for hand in queue["queue"]] == ["viewer-123"]
    for _ in range(2):
        answer = await show.post(path, raise_hand | {"raised": False})
        assert (answer.status, answer.body) == (200, {"success": True, "handRaised": False})
    assert (await show.kit.call("hands", "list_hands"))["queue"] == []
    absent = await show.post(path, raise_hand | {"participantIdentity": "nobody"})
    assert (absent.status, absent.body) == (404, {"error": "Participant not found"})
    await show.kit.call("hands", "close_hands")
    assert (await show.post(path, raise_hand)).status == 403
    assert (await show.post(path, raise_hand | {"raised": "yes"})).status == 400


async def test_a_room_that_the_show_steers_hears_the_show(show: Show) -> None:
    """No client has said a word yet, and none has the show's metadata."""
    host = await show.kit.join("host-456", role="host")
    await show.kit.join("viewer-123", name="John Viewer")
    for raised, kind in ((True, "hand_raise"), (False, "hand_lower")):
        asked = {"participantIdentity": "viewer-123", "raised": raised}
        assert (await show.post(f"/{show.room}/hand-raise", asked)).status == 200
        await show.kit.settle()
        said = [packet for packet in host.received if "senderId" in packet][-1]
        assert isinstance(said.pop("timestamp"), int)
        assert said == {"type": kind, "senderId": "viewer-123", "senderName": "John Viewer"}


# -- the form of errors, limits, and being sent again ----------------------------------------------------


async def test_every_error_has_the_texts_form(show: Show) -> None:
    unknown: list[Answer] = [
        await show.call("GET", "", token=None),
        await show.call("GET", "", token="wrong"),
        await show.call("PUT", "/join"),
        await show.call("GET", "/a/b/c"),
        await show.call("GET", "", headers={"Origin": "https://evil.example"}),
        await show.call("POST", "/join", data=b"{", headers={"Content-Type": "application/json"}),
        await show.call("POST", "/join", data=b"[]", headers={"Content-Type": "application/json"}),
        await show.call("POST", "/join", data=b"x" * 300_000, headers={"Content-Type": "application/json"}),
    ]
    assert [answer.status for answer in unknown] == [401, 401, 405, 404, 403, 400, 400, 413]
    for answer in unknown:
        assert set(answer.body) == {"error"}
        assert isinstance(answer.body["error"], str)


async def test_livekit_out_of_reach_is_502(show: Show) -> None:
    show.kit.room.failing = True
    answer = await show.post("/join", {"roomName": show.room, "participantName": "a", "role": "viewer"})
    assert answer.status == 502
    assert isinstance(answer.body["error"], str)


async def test_the_recommended_limits_with_retry_after(show: Show) -> None:
    join = {"roomName": "my-show", "participantName": "a", "role": "viewer"}
    for _ in range(10):
        assert (await show.post("/join", join)).status == 200
    answer = await show.post("/join", join)
    assert answer.status == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert set(answer.body) == {"error"}
    forwarded = await show.post("/join", join, headers={"X-Forwarded-For": "203.0.113.7"})
    assert forwarded.status == 200  # another user of the same backend
    statuses = [(await show.post(f"/{show.room}/invite", {})).status for _ in range(6)]
    assert statuses == [400] * 5 + [429]
    statuses = [(await show.post(f"/{show.room}/hand-raise", {})).status for _ in range(11)]
    assert statuses == [400] * 10 + [429]
    statuses = [(await show.call("GET", "")).status for _ in range(101)]
    assert statuses == [200] * 100 + [429]


async def test_a_backend_that_names_nobody_counts_for_each_room_or_who_acts_in_it(show: Show) -> None:
    for room in ("my-show", "another-show"):
        joins = [{"roomName": room, "participantName": f"viewer-{n}", "role": "viewer"} for n in range(11)]
        assert [(await show.post("/join", join)).status for join in joins] == [200] * 10 + [429]
    for number, join in enumerate(joins):  # one who tells for whom brings a whole audience
        named = {"X-Forwarded-For": f"10.0.0.{number}"}
        assert (await show.post("/join", join, headers=named)).status == 200
    for host in ("ann", "ben"):
        body = {"viewerIdentity": "viewer-1", "hostIdentity": host}
        statuses = [(await show.post(f"/{show.room}/invite", body)).status for _ in range(6)]
        assert statuses == [403] * 5 + [429]
    body = {"viewerIdentity": "viewer-1", "hostIdentity": "ann"}
    assert (await show.post("/another-room/invite", body)).status == 404  # another ann


def test_a_window_slides() -> None:
    limits = RateLimits()
    for at in range(5):
        limits.check("POST /invite", "", 5, now=float(at))
    with pytest.raises(Exception, match="Too many") as caught:
        limits.check("POST /invite", "", 5, now=10.0)
    assert getattr(caught.value, "retry_after_ms", 0) == 50_001
    limits.check("POST /invite", "", 5, now=60.5)
    with pytest.raises(Exception, match="Too many"):
        limits.check("POST /invite", "", 5, now=60.6)


async def test_the_same_key_gets_the_same_answer(show: Show, host: Guest, viewer: Guest) -> None:
    key = {"Idempotency-Key": "once"}
    first = await show.post(f"/{show.room}/invite", INVITE, headers=key)
    again = await show.post(f"/{show.room}/invite", INVITE, headers=key)
    assert (first.status, again.body) == (200, first.body)
    other = await show.post(f"/{show.room}/invite", INVITE | {"viewerIdentity": "x"}, headers=key)
    assert other.status == 400


async def test_openapi_shows_the_published_names(show: Show) -> None:
    told = describe(show.operations, "0.0.0")
    invite = told["paths"]["/api/rooms/{roomName}/invite"]["post"]
    body = invite["requestBody"]["content"]["application/json"]
    assert set(body["schema"]["properties"]) == {"viewerIdentity", "hostIdentity"}
    assert body["example"] == INVITE
    error = invite["responses"]["403"]["content"]["application/json"]["schema"]
    assert error == {"$ref": "#/components/schemas/ShowError"}
    assert msgspec.json.encode(told)
