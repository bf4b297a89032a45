"""Who sent this? Nobody speaks for another: not early, not late, not as host, by no door.

For up to 3 s after a join the SFU's stamp gets lost on its way through the Python SDK, so a packet can come without
any sender. The tests that need such a packet send it right after joining, and again as somebody new if the stamp was
there. The native link reads the stamp from the packet itself: there is nothing to hold, and nobody to infer.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from livekit.protocol.models import ParticipantPermission
from livekit.protocol.room import UpdateParticipantRequest

from tests.server.polls import a_vote, my_vote, open_poll, poll_of, synced, votes_are
from tests.support.bot import Bot, eventually
from tests.support.clients import Join, Participant, RefusedError, new_id
from tests.support.links import on_both_links, on_the_native_link, on_the_sdk_link
from tests.support.livekit_server import LiveKit

pytestmark = pytest.mark.server

FRESH_SECONDS = 0.6  # somebody known for half a second can't be the sender of a nameless packet any more
QUESTION: dict[str, object] = {"question": "Mine?", "options": ["x", "y"]}


async def _heard(person: Participant, message_id: str, code: str) -> bool:
    """Whether this participant is told so of the message that somebody sent in their name."""
    try:
        await person.wait_for("error", lambda item: item.payload["id"] == message_id, timeout=6)
    except TimeoutError:
        return False
    [error] = [item.payload for item in person.all_of("error") if item.payload["id"] == message_id]
    assert error["code"] == code, error
    return True


async def _until_nameless(attempt: Callable[[int], Awaitable[bool]]) -> int:
    """Attack as somebody new each time until a packet came without a sender; gives how many came with one."""
    for number in range(6):
        if await attempt(number):
            return number
    raise AssertionError("each of six packets sent right after joining came with its sender")


@on_both_links
async def test_the_first_words_of_those_who_join_are_taken_and_acked(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    poll_id = await open_poll(bot, hall)

    async def join_and_vote(number: int) -> str:
        person = await join(hall, f"quick-{number}")
        message_id = new_id()
        answer = await person.request("poll_response", a_vote(poll_id, number % 2), message_id)
        assert message_id in answer["ids"]
        return person.identity

    identities = await asyncio.gather(*(join_and_vote(number) for number in range(6)))
    assert len(set(identities)) == 6
    assert votes_are(await poll_of(bot, hall, poll_id), [3, 3], voters=6)


@on_the_native_link
async def test_where_the_link_names_every_sender_nothing_is_held(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    poll_id = await open_poll(bot, hall)
    for number in range(10):
        person = await join(hall, f"quick-{number}")
        await person.request("poll_response", a_vote(poll_id, 0))
    assert votes_are(await poll_of(bot, hall, poll_id), [10, 0], voters=10)
    assert await bot.metric("relay_inferred_total") == 0
    assert await bot.metric("relay_refused_total", code="sender_unknown") == 0


@on_the_sdk_link
async def test_a_nameless_claim_of_someone_known_is_refused(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    victim = await join(hall, "victim")
    await bot.live(hall, present=1)
    await asyncio.sleep(FRESH_SECONDS)
    poll_id = await open_poll(bot, hall)

    async def attack(number: int) -> bool:
        mallory = await join(hall, f"mallory-{number}")
        message_id = new_id()
        await mallory.send("poll_response", a_vote(poll_id, 0), message_id, sender_id="victim")
        return await _heard(victim, message_id, "sender_unknown")

    as_themselves = await _until_nameless(attack)
    assert my_vote(await synced(victim), poll_id) is None
    assert votes_are(await poll_of(bot, hall, poll_id), [as_themselves, 0], voters=as_themselves)


@on_both_links
async def test_a_late_claim_is_ignored_for_the_sender_that_the_server_names(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    victim, mallory = await asyncio.gather(join(hall, "victim"), join(hall, "mallory"))
    await bot.live(hall, present=2)
    poll_id = await open_poll(bot, hall)
    for claim in ("victim", "nobody", bot.identity, None):
        message_id = new_id()
        await mallory.send("poll_response", a_vote(poll_id, 1), message_id, sender_id=claim)
        assert message_id in (await mallory.answer_to(message_id))["ids"]
    await mallory.rpc("poll_response", a_vote(poll_id, 0), sender_id="victim")
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 0], voters=1)
    assert my_vote(await synced(mallory), poll_id) == [0]
    assert my_vote(await synced(victim), poll_id) is None


@on_the_sdk_link
async def test_nobody_becomes_host_by_naming_one_who_is_here(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host = await join(hall, "host", role="host")
    await bot.live(hall, present=1)
    await asyncio.sleep(FRESH_SECONDS)

    async def attack(number: int) -> bool:
        mallory = await join(hall, f"mallory-{number}")
        message_id = new_id()
        await mallory.send("poll", QUESTION, message_id, sender_id="host")
        return await _heard(host, message_id, "sender_unknown")

    await _until_nameless(attack)
    assert (await bot.found(f"/v1/halls/{hall}/polls"))["polls"] == []


@on_the_sdk_link
async def test_nobody_becomes_host_by_naming_one_who_is_about_to_join(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()

    async def attack(number: int) -> bool:
        mallory = await join(hall, f"mallory-{number}")
        message_id = new_id()
        await mallory.send("poll", QUESTION, message_id, sender_id=f"host-{number}")
        host = await join(hall, f"host-{number}", role="host")
        return await _heard(host, message_id, "forbidden")  # taken as the host's, but inferred: no host rights

    await _until_nameless(attack)
    assert (await bot.found(f"/v1/halls/{hall}/polls"))["polls"] == []


@on_both_links
async def test_nobody_becomes_host_by_claiming_so_later(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    _host, mallory = await asyncio.gather(join(hall, "host", role="host"), join(hall, "mallory"))
    await bot.live(hall, present=2)
    message_id = new_id()
    await mallory.send("poll", QUESTION, message_id, sender_id="host")
    with pytest.raises(RefusedError, match="forbidden"):
        await mallory.answer_to(message_id)
    with pytest.raises(RefusedError, match="forbidden"):
        await mallory.rpc("poll", QUESTION, sender_id="host")
    assert (await bot.found(f"/v1/halls/{hall}/polls"))["polls"] == []


@on_the_sdk_link
async def test_a_claim_of_somebody_who_never_joins_counts_nothing(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    poll_id = await open_poll(bot, hall)

    async def attack(number: int) -> bool:
        mallory = await join(hall, f"mallory-{number}")
        await mallory.send("poll_response", a_vote(poll_id, 0), new_id(), sender_id="nobody")

        async def held_or_counted() -> str | None:
            if await bot.metric("relay_held"):
                return "held"
            return "counted" if (await poll_of(bot, hall, poll_id))["total_voters"] > number else None

        return await eventually(held_or_counted, "the packet at the bot") == "held"

    as_themselves = await _until_nameless(attack)

    async def given_up() -> bool:
        return await bot.metric("relay_held") == 0

    await eventually(given_up, "the held message given up")
    assert await bot.metric("relay_refused_total", code="sender_unknown") == 1
    assert votes_are(await poll_of(bot, hall, poll_id), [as_themselves, 0], voters=as_themselves)


@on_the_sdk_link
async def test_a_certain_vote_overrides_an_inferred_one_and_is_not_overridden_by_one(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    poll_id = await open_poll(bot, hall)
    victims: list[Participant] = []

    async def attack(number: int) -> bool:
        mallory = await join(hall, f"mallory-{number}")
        await mallory.send("poll_response", a_vote(poll_id, 0), new_id(), sender_id=f"victim-{number}")
        victims.append(await join(hall, f"victim-{number}"))
        await bot.live(hall, present=2 * (number + 1))
        return my_vote(await synced(victims[-1]), poll_id) is not None

    as_themselves = await _until_nameless(attack)
    victim = victims[-1]
    assert await bot.metric("relay_inferred_total") == 1
    assert votes_are(await poll_of(bot, hall, poll_id), [as_themselves + 1, 0], voters=as_themselves + 1)
    await victim.request("poll_response", a_vote(poll_id, 1))
    assert votes_are(await poll_of(bot, hall, poll_id), [as_themselves, 1], voters=as_themselves + 1)

    await victim.leave()
    present = 2 * len(victims) - 1

    async def has_left() -> bool:
        found = await bot.hall(hall)
        return found is not None and found["participants"] == present

    await eventually(has_left, "the bot knows that the victim left")

    async def attack_again(number: int) -> bool:
        mallory = await join(hall, f"mallory-again-{number}")
        message_id = new_id()
        await mallory.send("poll_response", a_vote(poll_id, 0), message_id, sender_id=victim.identity)
        back = await join(hall, victim.identity)
        refused = await _heard(back, message_id, "already_voted")
        assert my_vote(await synced(back), poll_id) == [1]
        return refused

    again = await _until_nameless(attack_again)
    counted = as_themselves + again
    assert votes_are(await poll_of(bot, hall, poll_id), [counted, 1], voters=counted + 1)


@on_both_links
async def test_by_rpc_the_first_words_have_their_certain_sender(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    poll_id = await open_poll(bot, hall)

    async def join_and_vote(number: int) -> None:
        person = await join(hall, f"quick-{number}")
        await person.rpc("poll_response", a_vote(poll_id, 1), sender_id="somebody-else")
        assert my_vote(await synced(person), poll_id) == [1]

    await asyncio.gather(*(join_and_vote(number) for number in range(5)))
    assert votes_are(await poll_of(bot, hall, poll_id), [0, 5], voters=5)
    assert await bot.metric("relay_inferred_total") == 0


@on_both_links
async def test_a_host_has_host_rights_with_the_first_rpc(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    host = await join(hall, "host", role="host")
    opened = await host.rpc("poll", QUESTION)
    assert (await poll_of(bot, hall, opened["result"]["poll_id"]))["status"] == "open"
    show_host = await join(hall, "show-host", role="host", role_in="metadata")
    await show_host.rpc("poll", QUESTION)
    viewer = await join(hall, "viewer", role="viewer")
    with pytest.raises(RefusedError, match="forbidden"):
        await viewer.rpc("poll", QUESTION)


@on_both_links
async def test_a_host_has_host_rights_with_the_first_chat_stream(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    poll_id = await open_poll(bot, hall)
    viewer = await join(hall, "viewer")
    await viewer.chat_stream(f"/close {poll_id}", [bot.identity])
    await viewer.wait_for("notice")
    assert (await poll_of(bot, hall, poll_id))["status"] == "open"
    host = await join(hall, "host", role="host")
    await host.chat_stream(f"/close {poll_id}", [bot.identity])
    await host.wait_for("notice")
    assert (await poll_of(bot, hall, poll_id))["status"] == "closed"


@on_both_links
async def test_who_may_write_their_own_metadata_gets_no_role_from_it(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    own = {"can_update_own_metadata": True}
    mallory = await join(hall, "mallory", grants=own)
    signed = await join(hall, "signed", grants=own, role="host")  # they could have written that themselves
    await mallory.room.local_participant.set_metadata(json.dumps({"role": "host"}))
    await mallory.room.local_participant.set_attributes({"relay.role": "host"})
    with pytest.raises(RefusedError, match="forbidden"):
        await mallory.rpc("poll", QUESTION)  # asked for at the server API: the link may not know of it yet

    async def bot_knows() -> bool:
        there = signed.room.remote_participants.get("mallory")
        return there is not None and there.attributes.get("relay.role") == "host"

    await eventually(bot_knows, "the change told to everybody")
    await bot.live(hall, present=2)
    for person in (mallory, signed):
        for ask in (person.rpc, person.request):
            with pytest.raises(RefusedError, match="forbidden"):
                await ask("poll", QUESTION)
        assert (await synced(person))["role"] == "viewer"
    assert (await bot.found(f"/v1/halls/{hall}/polls"))["polls"] == []


@on_both_links
@pytest.mark.parametrize("then", ["the bot is restarted", "they connect anew"])
async def test_a_right_that_is_revoked_gives_no_role_and_no_name(
    bot: Bot, join: Join, livekit: LiveKit, then: str
) -> None:
    hall = await bot.open_hall()
    mallory = await join(hall, "mallory", name="Mallory", grants={"can_update_own_metadata": True})
    watcher = await join(hall, "watcher", role="host")
    await bot.live(hall, present=2)
    local = mallory.room.local_participant
    await local.set_metadata(json.dumps({"role": "host"}))
    await local.set_attributes({"relay.role": "host"})
    await local.set_name("The Host")

    async def told() -> bool:
        there = watcher.room.remote_participants.get("mallory")
        return there is not None and (there.name, there.attributes.get("relay.role")) == ("The Host", "host")

    await eventually(told, "the change told to everybody")
    permission = ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)
    async with livekit.api() as api:
        await api.room.update_participant(
            UpdateParticipantRequest(room=hall, identity="mallory", permission=permission)
        )
    if then == "the bot is restarted":
        await bot.restart()
    else:  # LiveKit signs what they wrote into the token that it gives them for that
        await mallory.leave()
        signed = {"attributes": {"relay.role": "host"}, "metadata": json.dumps({"role": "host"})}
        mallory = await join(hall, "mallory", name="The Host", **signed)
    await bot.live(hall, present=2)
    assert (await synced(mallory))["role"] == "viewer"
    with pytest.raises(RefusedError, match="forbidden"):
        await mallory.rpc("poll", QUESTION)
    await mallory.rpc("chat", {"text": "hello"})
    assert (await synced(watcher))["messages"][-1]["display_name"] == "Mallory"


@on_both_links
async def test_without_that_right_nobody_can_write_themselves_a_role(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    mallory = await join(hall, "mallory")
    await bot.live(hall, present=1)
    local = mallory.room.local_participant
    with suppress(Exception):  # whether the SDK tells that it was refused is not what this is about
        await local.set_metadata(json.dumps({"role": "host"}))
    with suppress(Exception):
        await local.set_attributes({"relay.role": "host"})
    with pytest.raises(RefusedError, match="forbidden"):
        await mallory.rpc("poll", QUESTION)
    assert (await synced(mallory))["role"] == "viewer"
