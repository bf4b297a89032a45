"""The tests' own participant, on the real server."""

import asyncio
import json

import pytest
from livekit import rtc

from tests.support.clients import Join, RefusedError
from tests.support.livekit_server import LiveKit

pytestmark = pytest.mark.server


async def test_packets_arrive_parsed_and_with_their_true_sender(livekit: LiveKit, join: Join) -> None:
    hall = livekit.new_hall()
    ann, bob = await asyncio.gather(join(hall, "ann"), join(hall, "bob"))
    await bob.sees("ann")

    await ann.send("wave", {"n": 1}, "id-1", to=["bob"], sender_id="somebody", topic="t")

    got = await bob.wait_for("wave", lambda item: item.payload == {"n": 1})
    assert (got.sfu_identity, got.sender_id, got.topic) == ("ann", "somebody", "t")
    assert got.envelope["id"] == "id-1"
    assert got.envelope["relay_version"] == "1"
    await bob.expect_none("wave", 0.2)


async def test_a_request_is_sent_again_until_it_is_answered(livekit: LiveKit, join: Join) -> None:
    hall = livekit.new_hall()
    ann, bot = await asyncio.gather(join(hall, "ann", bot="answerer"), join(hall, "answerer"))
    await bot.sees("ann")

    asking = asyncio.create_task(ann.request("wave", {}, "again"))
    await bot.wait_for("wave")
    mark = bot.mark()
    await bot.wait_for("wave", lambda item: item.envelope["id"] == "again", since=mark)
    await bot.send("ack", {"ids": ["other", "again"]}, to=["ann"])

    assert await asking == {"ids": ["other", "again"]}


async def test_an_error_answer_is_raised(livekit: LiveKit, join: Join) -> None:
    hall = livekit.new_hall()
    ann, bot = await asyncio.gather(join(hall, "ann", bot="answerer"), join(hall, "answerer"))
    await ann.sees("answerer")

    await bot.send("error", {"id": "x", "code": "muted", "message": "you are"}, to=["ann"])

    with pytest.raises(RefusedError, match="muted: you are"):
        await ann.answer_to("x")


async def test_rpc_results_and_errors_are_parsed(livekit: LiveKit, join: Join) -> None:
    hall = livekit.new_hall()
    ann, bot = await asyncio.gather(join(hall, "ann", bot="answerer"), join(hall, "answerer"))

    async def answer(call: rtc.RpcInvocationData) -> str:
        asked = json.loads(call.payload)
        if asked["type"] == "bad":
            raise rtc.RpcError(1, "no", json.dumps({"code": "forbidden", "message": "no"}))
        return json.dumps({"ids": [asked["id"]], "result": call.caller_identity})

    bot.room.local_participant.register_rpc_method("relay", answer)
    await ann.sees("answerer")

    assert await ann.rpc("good", {}, "id-7") == {"ids": ["id-7"], "result": "ann"}
    with pytest.raises(RefusedError) as caught:
        await ann.rpc("bad", {})
    assert (caught.value.code, caught.value.rpc_code) == ("forbidden", 1)


async def test_chat_streams_arrive_whole(livekit: LiveKit, join: Join) -> None:
    hall = livekit.new_hall()
    ann, bob = await asyncio.gather(join(hall, "ann"), join(hall, "bob"))
    await bob.sees("ann")

    await ann.chat_stream("hello " * 5000, ["bob"])

    for _ in range(100):
        if bob.streams:
            break
        await asyncio.sleep(0.05)
    assert bob.streams == [("ann", "hello " * 5000)]


async def test_roles_and_grants_are_in_the_token(livekit: LiveKit, join: Join) -> None:
    hall = livekit.new_hall()
    host = await join(hall, "host", name="The Host", role="host")
    quiet = await join(
        hall,
        "quiet",
        role="guest",
        role_in="metadata",
        grants={"can_publish_data": False, "can_publish": False},
    )

    assert host.room.local_participant.attributes == {"relay.role": "host"}
    assert host.room.local_participant.name == "The Host"
    assert json.loads(quiet.room.local_participant.metadata) == {"role": "guest"}
    assert not quiet.room.local_participant.permissions.can_publish_data


async def test_waiting_in_vain_tells_what_came_instead(livekit: LiveKit, join: Join) -> None:
    hall = livekit.new_hall()
    ann, bob = await asyncio.gather(join(hall, "ann"), join(hall, "bob"))
    await ann.sees("bob")
    await ann.send("other", {}, to=["bob"])
    await bob.wait_for("other")

    with pytest.raises(TimeoutError, match=r"bob waited 0.1 s for 'wave'.*\['other'\]"):
        await bob.wait_for("wave", timeout=0.1)
