"""Acks in groups: one packet answers many, and none can be taken for an answer that it is not."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Set
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_bot.hall.outbox import AckGroups, Packet
from relay_bot.testing import HallKit
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES
from tests.support.halls import acks, open_hall

LONG = "0123456789abcdef"


def ids_of(packet: Packet) -> list[str]:
    return msgspec.json.decode(packet.data)["payload"]["ids"]


def grouped(*messages: tuple[str, str], waiting: Set[str] = frozenset()) -> list[Packet]:
    groups = AckGroups()
    groups.expect(waiting)
    for identity, message_id in messages:
        groups.ack(identity, message_id, None)
    groups.flush()
    return groups.packets


def test_one_packet_answers_all_senders_of_a_commit() -> None:
    (packet,) = grouped(("ann", LONG + "1"), ("bob", LONG + "2"), ("ann", LONG + "3"))
    assert ids_of(packet) == [LONG + "1", LONG + "2", LONG + "3"]
    assert packet.to == ("ann", "bob")


def test_equal_ids_of_two_senders_go_to_each_alone() -> None:
    packets = grouped(("ann", LONG), ("bob", LONG))
    for identity in ("ann", "bob"):
        assert [packet.to for packet in packets if identity in packet.to] == [(identity,)]


def test_a_sender_who_is_refused_is_not_among_the_receivers_of_an_ack_with_their_id() -> None:
    for refused_first in (True, False):
        groups = AckGroups()
        if refused_first:
            groups.error("bob", {"id": LONG, "code": "forbidden", "message": "no"})
        groups.ack("ann", LONG, None)
        groups.ack("bob", LONG + "2", None)
        if not refused_first:
            groups.error("bob", {"id": LONG, "code": "forbidden", "message": "no"})
        groups.flush()
        assert [
            packet.to for packet in groups.packets if LONG.encode() + b'"' in packet.data and "ann" in packet.to
        ] == [("ann",)]


def test_short_ids_which_may_be_counters_go_alone() -> None:
    assert [packet.to for packet in grouped(("ann", "1"), ("bob", "2"))] == [("ann",), ("bob",)]


def test_an_id_that_somebody_still_waits_for_goes_alone() -> None:
    """They would take the ack for theirs, though their own message may yet be refused."""
    packets = grouped(("ann", LONG), ("bob", LONG + "2"), waiting={LONG})
    assert [(packet.to, ids_of(packet)) for packet in packets] == [(("ann",), [LONG]), (("bob",), [LONG + "2"])]


def test_a_result_comes_with_exactly_one_id() -> None:
    groups = AckGroups()
    groups.ack("ann", LONG, {"poll_id": "p"})
    (packet,) = groups.packets
    assert msgspec.json.decode(packet.data)["payload"] == {"ids": [LONG], "result": {"poll_id": "p"}}


def test_a_result_too_large_for_a_packet_is_left_out() -> None:
    groups = AckGroups()
    groups.ack("ann", LONG, {"text": "x" * MAX_ENVELOPE_BYTES})
    (packet,) = groups.packets
    assert msgspec.json.decode(packet.data)["payload"] == {"ids": [LONG]}


def test_a_refusal_too_large_for_a_packet_keeps_its_code() -> None:
    groups = AckGroups()
    groups.error("ann", {"id": LONG, "code": "malformed", "message": "x" * MAX_ENVELOPE_BYTES})
    (packet,) = groups.packets
    payload = msgspec.json.decode(packet.data)["payload"]
    assert (payload["id"], payload["code"]) == (LONG, "malformed")
    assert len(packet.data) <= MAX_ENVELOPE_BYTES


_people = st.sampled_from(["ann", "bob", "carol", "dave"])
_ids = st.one_of(
    st.sampled_from(["1", "2", LONG, LONG + "1"]),
    st.text(min_size=1, max_size=64),
    st.text(st.sampled_from('"\\\x00\x1f\u2028é👍'), min_size=40, max_size=64),
)
_many = st.sampled_from([0, 1, 300]).map(lambda count: [("erin", f"{number:064}") for number in range(count)])


@settings(max_examples=40, deadline=None)
@given(
    some=st.lists(st.tuples(_people, _ids), max_size=40, unique=True),
    many=_many,
    waiting=st.frozensets(_ids, max_size=4),
)
def test_each_is_acked_once_and_nobody_is_misled(
    some: list[tuple[str, str]], many: list[tuple[str, str]], waiting: frozenset[str]
) -> None:
    messages = some + many
    packets = grouped(*messages, waiting=waiting)
    owners: dict[str, set[str]] = {}
    for identity, message_id in messages:
        owners.setdefault(message_id, set()).add(identity)
    heard: Counter[tuple[str, str]] = Counter()
    for packet in packets:
        assert len(packet.data) <= MAX_ENVELOPE_BYTES
        assert packet.to, "an ack is never for everybody"
        for message_id in ids_of(packet):
            assert len(set(packet.to) & owners[message_id]) == 1, "it reaches one who waits for it, and no other"
            if message_id in waiting:
                assert len(packet.to) == 1, "somebody in the hall waits for the same id"
            heard.update((identity, message_id) for identity in packet.to if identity in owners[message_id])
    assert heard == Counter(messages)


@pytest.mark.parametrize("letter", ["a", '"', "\x00", "\x7f", "é", "👍"])
def test_no_packet_is_too_large_however_the_ids_are_escaped(letter: str) -> None:
    packets = grouped(*(("ann", letter * 60 + f"{number:04}") for number in range(400)))
    assert max(len(packet.data) for packet in packets) <= MAX_ENVELOPE_BYTES
    assert sum(len(ids_of(packet)) for packet in packets) == 400


def test_a_full_commit_needs_few_packets() -> None:
    packets = grouped(*((f"p{number}", f"{number:036}") for number in range(4_000)))
    assert len(packets) <= 25


async def test_the_hall_acks_equal_ids_to_each_sender_once(kit: HallKit) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    for guest in (ann, bob):
        guest.send("vote", {}, LONG)
    await kit.settle()
    assert (acks(ann, LONG), acks(bob, LONG)) == (1, 1)


@pytest.mark.parametrize("message_id", [LONG, "1"])
async def test_a_refused_sender_hears_no_ack_for_their_id(kit: HallKit, message_id: str) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    ann.send("vote", {}, message_id)
    bob.send("vote", {"option": 7}, message_id)
    ann.send("vote", {}, LONG + "another")
    await kit.settle()
    assert (acks(ann, message_id), acks(bob, message_id)) == (1, 0)


async def test_nor_while_theirs_is_decided_in_a_turn_that_ends_in_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_hall(tmp_path, "tally", "trouble") as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        store: Any = kit.journal._store
        commit = store.commit

        def slowly(group: list[Any]) -> Any:
            time.sleep(0.05)
            return commit(group)

        monkeypatch.setattr(store, "commit", slowly)
        ann.send("vote", {}, LONG)
        bob.send("vote", {}, LONG + "another")
        await asyncio.sleep(0.01)  # their commit is under way
        bob.send("fail", {"how": "raise", "record_first": True}, LONG)
        await bob.wait("error")
        await kit.settle()
        assert (acks(ann, LONG), acks(bob, LONG), acks(bob, LONG + "another")) == (1, 0, 1)


async def test_one_commit_of_a_crowd_is_one_ack_packet(kit: HallKit) -> None:
    guests = [await kit.join(f"p{number}") for number in range(20)]
    for guest in guests:
        guest.send("vote", {}, f"{LONG}-{guest.identity}")
    await kit.settle()
    packets: list[Any] = [guest.all("ack") for guest in guests]
    assert all(acks(guest, f"{LONG}-{guest.identity}") == 1 for guest in guests)
    assert max(map(len, packets)) <= 2
