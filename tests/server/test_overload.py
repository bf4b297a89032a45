"""What one participant, one handler or one hall does wrong costs nobody else."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from relay_bot.hall.limits import REFUSALS
from tests.server.polls import a_vote, open_poll, poll_of, votes_are
from tests.server.user_plugins import LEDGER, TROUBLE, write_plugins
from tests.support.bot import Bot, StartBot, eventually
from tests.support.clients import Join, Participant, RefusedError, new_id

pytestmark = pytest.mark.server

HUNG_SECONDS = 2.0  # what the watchdog lets a handler take


async def test_who_floods_is_told_to_wait_and_nobody_else_notices(start_bot: StartBot, join: Join) -> None:
    bot = await start_bot(settings={"gate": {"rates": {"default": {"per_second": 5, "burst": 20}}}})
    hall = await bot.open_hall()
    flooder, ann = await asyncio.gather(join(hall, "flooder"), join(hall, "ann"))
    await bot.live(hall, present=2)
    poll_id = await open_poll(bot, hall)
    ids = [new_id() for _ in range(1000)]
    began = time.monotonic()

    async def flood() -> None:
        for number, message_id in enumerate(ids):
            await flooder.send("poll_response", a_vote(poll_id, number % 2), message_id)

    async def vote() -> list[float]:
        took: list[float] = []
        for number in range(10):
            started = time.monotonic()
            await ann.request("poll_response", a_vote(poll_id, number % 2))
            took.append(time.monotonic() - started)
        return took

    _, took = await asyncio.gather(flood(), vote())
    assert max(took) < 2, f"ann's votes took {took}"

    async def all_came() -> bool:
        return await bot.metric("relay_messages_total", door="packet") >= len(ids) + 10

    await eventually(all_came, "the whole flood at the bot")
    limited = await bot.metric("relay_refused_total", code="rate_limited")
    assert limited >= 800
    refusals = [item.payload for item in flooder.all_of("error")]
    assert refusals
    for refusal in refusals:
        assert (refusal["code"], refusal["id"] in ids) == ("rate_limited", True)
        assert refusal["retry_after_ms"] > 0
    most = REFUSALS.burst + REFUSALS.per_second * (time.monotonic() - began)
    assert len(refusals) <= most < 800, "the refusals themselves are limited, too"
    answered = {message_id for item in flooder.all_of("ack") for message_id in item.payload["ids"]}
    assert 20 <= len(answered) < 100
    assert not ann.all_of("error")

    again = refusals[-1]["id"]  # it was not taken, so the same id can still be
    await asyncio.sleep(refusals[-1]["retry_after_ms"] / 1000 + 0.5)
    assert again in (await flooder.request("poll_response", a_vote(poll_id, 0), again))["ids"]

    async def flood_by_rpc() -> None:
        for _ in range(40):
            await flooder.rpc("poll_response", a_vote(poll_id, 0))

    with pytest.raises(RefusedError) as by_rpc:
        await flood_by_rpc()
    assert by_rpc.value.code == "rate_limited"
    assert by_rpc.value.data["retry_after_ms"] > 0
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 1], voters=2)


async def test_garbage_is_refused_and_the_hall_goes_on(bot: Bot, join: Join) -> None:
    hall = await bot.open_hall()
    mallory, ann = await asyncio.gather(join(hall, "mallory"), join(hall, "ann"))
    await bot.live(hall, present=2)
    poll_id = await open_poll(bot, hall)
    deep = b'{"relay_version":"1","type":"poll_response","payload":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}"
    big = b'{"relay_version":"1","type":"x","id":"big","payload":{"a":"' + b"x" * 20_000 + b'"}}'
    for garbage in (b"", b"\xff\xfe\x00", b"null", b"[]", b"{}", b"[" * 14_000, deep, big, b'{"type":"poll_response"'):
        await mallory.send_raw(garbage, [bot.identity])
        await mallory.send_raw(garbage, [bot.identity], reliable=False)
    too_large = await mallory.wait_for("error", lambda item: item.payload["id"] == "big")
    assert too_large.payload["code"] == "too_large"
    await mallory.wait_for("error", lambda item: item.payload["code"] == "malformed")
    with pytest.raises(RefusedError) as malformed:
        await mallory.rpc_raw("[[[")
    assert malformed.value.code == "malformed"
    for payload in ({"poll_id": [poll_id], "option": 0}, {"poll_id": poll_id, "option": 1e300}, {}):
        with pytest.raises(RefusedError):
            await mallory.request("poll_response", payload)
    await ann.request("poll_response", a_vote(poll_id, 1))
    assert votes_are(await poll_of(bot, hall, poll_id), [0, 1], voters=1)


async def _trouble(person: Participant, way: str, *, rpc: bool = False) -> dict[str, Any]:
    ask = person.rpc if rpc else person.request
    return await ask("trouble", {"way": way})


async def _internal(person: Participant, way: str, *, rpc: bool = False) -> None:
    with pytest.raises(RefusedError) as refused:
        await _trouble(person, way, rpc=rpc)
    assert refused.value.code == "internal"


async def test_a_handler_that_raises_costs_its_own_message(start_bot: StartBot, join: Join, tmp_path: Path) -> None:
    plugins = write_plugins(tmp_path / "mine", trouble=TROUBLE, ledger=LEDGER)
    bot = await start_bot(settings={"plugins": plugins})
    bot.expect_errors("plugin.failed")
    hall, quiet = await asyncio.gather(bot.open_hall(), bot.open_hall())
    ann, bob, cid = await asyncio.gather(join(hall, "ann"), join(hall, "bob"), join(quiet, "cid"))
    await asyncio.gather(bot.live(hall, present=2), bot.live(quiet, present=1))
    poll_id = await open_poll(bot, hall)

    async def bobs_votes() -> None:
        for number in range(21):
            await bob.request("poll_response", a_vote(poll_id, number % 2))

    async def cids_entries() -> None:
        for number in range(20):
            await cid.request("entry", {"n": number})

    async def anns_trouble() -> None:
        for rpc in (False, True):
            for way in ("raises", "raises_after_recording", "raises"):
                await _internal(ann, way, rpc=rpc)

    await asyncio.gather(bobs_votes(), cids_entries(), anns_trouble())
    assert (await _trouble(ann, "none"))["result"] == {"happened": 1}, "nothing of what failed was kept"
    assert votes_are(await poll_of(bot, hall, poll_id), [1, 0], voters=1)
    assert len((await bot.found(f"/v1/halls/{quiet}/ledger"))["entries"]) == 20
    assert await bot.metric("relay_handler_failures_total", plugin="trouble") == 6
    restarted = {line["hall"] for line in bot.events("hall.restarts")}
    assert restarted == {hall}
    await bot.restart()
    await bot.live(hall, present=2)
    assert (await _trouble(ann, "none"))["result"] == {"happened": 2}


async def test_a_hall_that_fails_again_and_again_is_busy_for_a_while_alone(
    start_bot: StartBot, join: Join, tmp_path: Path
) -> None:
    """Each such failure has the hall read its journal again, which costs all halls."""
    bot = await start_bot(settings={"plugins": write_plugins(tmp_path / "mine", trouble=TROUBLE, ledger=LEDGER)})
    bot.expect_errors("plugin.failed", "hall.degraded")
    hall, quiet = await asyncio.gather(bot.open_hall(), bot.open_hall())
    ann, cid = await asyncio.gather(join(hall, "ann"), join(quiet, "cid"))
    await asyncio.gather(bot.live(hall, present=1), bot.live(quiet, present=1))
    codes: list[str] = []

    async def until_busy() -> bool:
        try:
            await _trouble(ann, "raises_after_recording", rpc=True)
        except RefusedError as refused:
            codes.append(refused.code)
        return "busy" in codes

    await eventually(until_busy, "the hall busy")
    assert set(codes) == {"internal", "busy"}
    for number in range(20):
        await cid.request("entry", {"n": number}, tries=1)

    async def kept() -> dict[str, Any] | None:
        try:
            return await _trouble(ann, "none")
        except RefusedError as refused:
            if refused.code != "busy":
                raise
            return None

    assert (await eventually(kept, "the hall takes messages again", limit=20))["result"] == {"happened": 1}


@pytest.mark.parametrize("way", ["sleeps", "swallows", "spins"])
async def test_a_handler_that_hangs_is_interrupted(start_bot: StartBot, join: Join, tmp_path: Path, way: str) -> None:
    """`swallows` would catch any `Exception` that it is interrupted with."""
    plugins = write_plugins(tmp_path / "mine", trouble=TROUBLE, ledger=LEDGER)
    bot = await start_bot(settings={"plugins": plugins})
    bot.expect_errors("plugin.failed")
    hall, quiet = await asyncio.gather(bot.open_hall(), bot.open_hall())
    ann, cid = await asyncio.gather(join(hall, "ann"), join(quiet, "cid"))
    await asyncio.gather(bot.live(hall, present=1), bot.live(quiet, present=1))

    started = time.monotonic()
    hanging = asyncio.create_task(_internal(ann, way, rpc=True))
    entry = asyncio.create_task(cid.request("entry", {"n": 1}, tries=8))
    await asyncio.gather(hanging, entry)
    assert time.monotonic() - started < HUNG_SECONDS * 3
    for number in range(2, 5):
        await cid.request("entry", {"n": number}, tries=1)
    assert len((await bot.found(f"/v1/halls/{quiet}/ledger"))["entries"]) == 4
    assert (await _trouble(ann, "none"))["result"] == {"happened": 1}


async def test_a_handler_that_would_end_the_process_does_not(start_bot: StartBot, join: Join, tmp_path: Path) -> None:
    bot = await start_bot(settings={"plugins": write_plugins(tmp_path / "mine", trouble=TROUBLE, ledger=LEDGER)})
    bot.expect_errors("plugin.failed", "hall.failed")
    hall, quiet = await asyncio.gather(bot.open_hall(), bot.open_hall())
    ann, cid = await asyncio.gather(join(hall, "ann"), join(quiet, "cid"))
    await asyncio.gather(bot.live(hall, present=1), bot.live(quiet, present=1))
    await _internal(ann, "exits", rpc=True)
    await cid.request("entry", {"n": 1})
    assert bot.running
    assert (await _trouble(ann, "none"))["result"] == {"happened": 1}


async def test_a_plugin_that_does_not_load_stops_only_itself(start_bot: StartBot, join: Join, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    plugins = write_plugins(folder, ledger=LEDGER)
    (folder / "broken.py").write_text("import nothing_of_this_name\n", "utf-8")
    bot = await start_bot(settings={"plugins": plugins})
    bot.expect_errors("plugin.not_loaded")
    [line] = bot.events("plugin.not_loaded")
    assert (line["plugin"], "nothing_of_this_name" in line["error"]) == ("broken", True)
    hall = await bot.open_hall()
    ann = await join(hall, "ann")
    await ann.rpc("entry", {"n": 1})

    async def kept() -> bool:
        return (await bot.found(f"/v1/halls/{hall}/ledger"))["entries"] == [["ann", 1]]

    await eventually(kept, "ann's entry")
