"""What is kept of answers: nothing of reads, nothing that anybody could read, and never more than the bound."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidTag

from relay_bot.control.idempotency import IdempotencyLog
from relay_bot.hall.answers import ANSWER_GONE, BYTES_AN_ANSWER, GONE, AnswerMemory, seal, unseal
from relay_bot.hall.halls import Halls
from relay_bot.hall.message import ACKED, ROW_BYTES, Answered, BackendMessage, FutureWaiter, RouteCall, answer_key
from relay_bot.hall.plugins import load_plugins
from relay_bot.observe import metrics
from relay_bot.settings import Settings, StorageSettings
from relay_bot.testing import HallKit, Refused
from tests.journal.test_privacy import everything
from tests.support.scenario import OTHER, WORDS, live_through

ALL: dict[str, Any] = {name: {} for name in load_plugins({}, Path())}


def rows(folder: Path, query: str) -> list[Any]:
    other = sqlite3.connect(folder / "relay.db")
    try:
        return other.execute(query).fetchall()
    finally:
        other.close()


def kept_answers(folder: Path) -> int:
    return rows(folder, "SELECT count(*) FROM answers")[0][0]


READS: list[tuple[str, dict[str, Any]]] = [
    ("sync", {}),
    ("chat_history", {}),
    ("hands", {}),
    ("poll_templates", {}),
    ("chat", {"text": "/results"}),
    ("chat", {"text": "/help"}),
    ("chat", {"text": "/stage"}),
]


@pytest.mark.parametrize(("kind", "payload"), READS, ids=str)
async def test_what_is_only_read_is_not_kept_and_is_read_anew(
    tmp_path: Path, kind: str, payload: dict[str, Any]
) -> None:
    async with HallKit.open(tmp_path, ALL) as kit:
        host = await kit.join("host", role="host")
        await host.ask("poll", {"poll_id": "p", "question": "Tea?", "options": ["yes", "no"]})
        before = kept_answers(tmp_path)
        first = await host.ask(kind, payload, "an-id-of-my-own-1")
        await host.ask("poll_response", {"poll_id": "p", "option": 0})
        again = await host.ask(kind, payload, "an-id-of-my-own-1")
        assert kept_answers(tmp_path) == before + 1, "that of the vote"
        if kind == "sync" or "results" in payload.get("text", ""):
            assert first != again, "it is the state as it is now"
        host.send(kind, payload, "an-id-of-my-own-2")
        await kit.settle()
        assert kept_answers(tmp_path) == before + 1


async def keyed(kit: HallKit, key: str, item: str, *what: Any) -> Any:
    """Send a request as the control endpoint does, with a key."""
    waiter, name = FutureWaiter(), answer_key("\0backend", key)
    request: BackendMessage | RouteCall
    if item == "interaction":
        kind, payload, to, sender = what
        raw = msgspec.Raw(msgspec.json.encode(payload))
        request = BackendMessage(kind, raw, sender, to, waiter, name, "digest", time.monotonic())
    else:
        plugin, method, parameters = what
        route = next(r for r in kit.loaded[plugin].spec.routes if r.method == method)
        made = msgspec.convert(parameters, route.request_type)
        request = RouteCall(plugin, route, made, waiter, name, "digest", time.monotonic())
    return await kit.hall.request(request)


async def test_no_table_log_or_backup_has_the_vote_or_the_erased(tmp_path: Path) -> None:
    """Everything is said and asked through every door; then an anonymous poll ends, and somebody is erased."""
    who = "zoe-4711"
    async with HallKit.open(tmp_path, ALL) as kit:
        await live_through(kit, who)
        host = kit.room.guests["the host"]
        anonymous: dict[str, Any] = {
            "poll_id": "secret",
            "kind": "text",
            "question": "Whom?",
            "options": [],
            "anonymous": True,
        }
        await host.ask("poll", anonymous)
        for identity in (who, OTHER):
            if identity not in kit.room.guests:
                await kit.join(identity, name=f"Zoe {WORDS}" if identity == who else "Anna")
        voter = await kit.join("voter-0815")
        await voter.ask("poll_response", {"poll_id": "secret", "text": "rhubarb-vote-3"}, "a-vote-of-mine-1")
        for guest in kit.room.guests.values():
            for number, (kind, payload) in enumerate(READS):
                with contextlib.suppress(Refused):  # not everybody may
                    await guest.ask(kind, payload, f"a-read-of-mine-{number}")
        requests: list[tuple[Any, ...]] = [
            ("interaction", "chat", {"text": f"{WORDS} by the backend"}, None, who),
            ("interaction", "chat", {"text": "to one"}, (who,), None),
            ("interaction", "hands", {}, None, None),
            ("route", "moderation", "decide", {"action": "mute", "participant_id": who, "reason": WORDS}),
            ("route", "polls", "close_poll", {"poll_id": "text"}),
            ("route", "hands", "promote", {"participant_id": who}),
        ]
        for number, request in enumerate(requests):
            if request[0] == "route" and not any(r.method == request[2] for r in kit.loaded[request[1]].spec.routes):
                continue
            await keyed(kit, f"key-{number}", *request)
        await host.ask("poll_close", {"poll_id": "secret"})
        await kit.settle()
        closed = everything(tmp_path)
        assert b'"my_vote"' not in closed
        for row in rows(tmp_path, "SELECT answer FROM answers"):
            assert row[0] == b"" or row[0][:1] in (b"\1", b"\2"), "an answer in the clear"
        halls = Halls(kit._services)
        halls._halls[kit.hall.name] = kit.hall
        assert await halls.erase(who)
        await kit.settle()
        for row in rows(tmp_path, "SELECT answer FROM answers"):
            assert row[0] in (b"", GONE), "it may quote the one who was erased"
        with sqlite3.connect(tmp_path / "relay.db") as source, sqlite3.connect(tmp_path / "copy.db") as copy:
            source.backup(copy)
        copy.close()
        source.close()
        left = everything(tmp_path) + (tmp_path / "copy.db").read_bytes()
        rows(tmp_path, f"VACUUM INTO '{tmp_path / 'vacuumed.db'}'")
        left += (tmp_path / "vacuumed.db").read_bytes()
        for what in (who, f"Zoe {WORDS}", f"{WORDS} by the backend", f"{WORDS} for all", "my_vote"):
            assert what.encode() not in left, what


async def test_a_repeated_request_whose_answer_was_erased_is_refused_and_not_done_again(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, ALL) as kit:
        await kit.join("zoe-4711")
        request = ("interaction", "chat", {"text": "once"}, ("zoe-4711",), None)
        first = await keyed(kit, "a-key", *request)
        assert (await keyed(kit, "a-key", *request)).result == first.result
        assert await kit.hall.erase("zoe-4711")
        await kit.settle()
        again = await keyed(kit, "a-key", *request)
        assert again.error is not None
        assert again.error["code"] == "not_found"
        assert len((await kit.call("chat", "list_messages"))["messages"]) == 1


# -- sealing --------------------------------------------------------------------------------------------


def test_only_the_same_message_opens_its_answer() -> None:
    key, other = answer_key("anna", "an-id"), answer_key("anna", "another-id")
    answer = Answered(result={"text": "a quote of bob"}, digest="d")
    sealed = seal(answer, key)
    assert b"bob" not in sealed
    assert sealed != seal(answer, key), "each time with a nonce of its own"
    assert unseal(sealed, key) == answer
    with pytest.raises(InvalidTag):
        unseal(sealed, other)
    assert key[ROW_BYTES:] not in key[:ROW_BYTES] + sealed
    assert (seal(ACKED, key), unseal(b"", key)) == (b"", ACKED)
    assert unseal(GONE, key) is ANSWER_GONE


# -- the bound ------------------------------------------------------------------------------------------


def evictions() -> float:
    return metrics.REGISTRY.get_sample_value("relay_answers_evicted_total") or 0.0


def test_answers_are_bounded_in_bytes_and_evictions_are_counted() -> None:
    memory, before = AnswerMemory(100_000), evictions()
    for number in range(1_000):
        memory.put(number.to_bytes(16), b"x" * 1_000)
    assert len(memory) * (1_000 + BYTES_AN_ANSWER) <= 100_000
    evicted = memory.take_evicted()
    assert evicted == [number.to_bytes(16) for number in range(1_000 - len(memory))], "the oldest"
    assert evictions() - before == len(evicted)
    assert memory.take_evicted() == []


async def test_the_table_is_bounded_as_the_memory_is_also_after_a_restart(tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(answers_bytes=10_000))
    async with HallKit.open(tmp_path, ALL, settings=settings) as kit:
        for number in range(300):
            await keyed(kit, f"key-{number}", "interaction", "chat", {"text": f"hello {number}"}, None, None)
        await keyed(kit, "the-last", "interaction", "chat", {"text": "bye"}, None, None)
        query = f"SELECT sum(length(answer) + {BYTES_AN_ANSWER}), count(*) FROM answers"
        total, count = rows(tmp_path, query)[0]
        assert total <= 10_000
        assert count > 10
        await kit.restart()
        before = kit.hall.seq
        await keyed(kit, "the-last", "interaction", "chat", {"text": "bye"}, None, None)
        assert kit.hall.seq == before, "the newest are known"


async def test_answers_that_belong_to_no_hall_are_sealed_too(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {}) as kit:
        once = IdempotencyLog(kit.journal, "control")
        await once.start()

        async def run() -> dict[str, str]:
            return {"token": "of-zoe-4711"}

        assert await once.once("key", "digest", run) == {"token": "of-zoe-4711"}
        assert b"of-zoe-4711" not in everything(tmp_path)
        again = IdempotencyLog(kit.journal, "control")
        await again.start()
        assert await again.once("key", "digest", run) == {"token": "of-zoe-4711"}
