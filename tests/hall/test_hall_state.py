"""`hall_state`: what somebody who has just come needs to know, in one packet."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_bot.hall.greeting import _fitted
from relay_bot.hall.outbox import Packet
from relay_bot.link import Changed, Encrypted, Joined
from relay_bot.testing import HallKit
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES, encode_envelope
from tests.support.halls import open_hall


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, "tally", "desk") as made:
        yield made


async def test_who_joins_is_told_how_things_stand(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await ann.ask("vote", {"option": "tea"})
    await ann.ask("chat", {"text": "hello"})
    bob = await kit.join("bob", role="host")
    assert bob.all("hall_state") == [
        {
            "hall_id": kit.hall.name,
            "seq": kit.hall.seq,
            "bot_identity": "relay-bot",
            "role": "host",
            "voters": 1,
            "my_vote": None,
            "lines": ["hello"],
        }
    ]
    assert len(ann.all("hall_state")) == 1


async def test_sync_by_packet_is_answered_by_an_envelope_and_an_ack(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await ann.ask("vote", {"option": "tea"})
    ann.send("sync", {}, "m1")
    await kit.settle()
    assert ann.last("hall_state")["my_vote"] == "tea"
    assert ann.last("ack") == {"ids": ["m1"]}


async def test_sync_by_rpc_is_its_result(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await ann.ask("vote", {"option": "tea"})
    told = len(ann.all("hall_state"))
    assert (await ann.ask("sync", {}))["my_vote"] == "tea"
    assert len(ann.all("hall_state")) == told


async def test_everybody_hears_only_of_their_own(kit: HallKit) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    await ann.ask("vote", {"option": "tea"})
    assert (await bob.ask("sync", {}))["my_vote"] is None


async def test_who_is_not_active_yet_is_told_when_they_are(kit: HallKit) -> None:
    """Data pushed to them before can be lost."""
    ann = await kit.join("ann", active=False)
    assert ann.all("hall_state") == []
    kit.room.tell(Changed(msgspec.structs.replace(ann.presence, active=True)))
    await kit.settle()
    assert len(ann.all("hall_state")) == 1
    kit.room.tell(Changed(msgspec.structs.replace(ann.presence, active=True, name="Ann")))
    await kit.settle()
    assert len(ann.all("hall_state")) == 1


async def test_who_comes_back_is_told_again(kit: HallKit) -> None:
    (await kit.join("ann")).leave()
    assert len((await kit.join("ann")).all("hall_state")) == 1


async def test_a_crowd_with_the_same_state_costs_one_packet(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Packet] = []
    put = kit.hall._outbox.put

    def watched(packets: Sequence[Packet]) -> None:
        sent.extend(packets)
        put(packets)

    monkeypatch.setattr(kit.hall._outbox, "put", watched)
    for number in range(30):
        await kit.join(f"p{number}", known=False)
    kit.room.tell(*(Joined(presence, 0.0) for presence in kit.room.presences.values()))
    await kit.settle()
    assert [len(packet.to) for packet in sent if b'"hall_state"' in packet.data] == [30]


async def test_a_long_history_is_cut_to_what_a_packet_holds(kit: HallKit) -> None:
    ann = await kit.join("ann")
    lines = [f"{number:03} " + "é" * 100 for number in range(120)]
    for line in lines:
        await ann.ask("chat", {"text": line})
    bob = await kit.join("bob")
    state = bob.last("hall_state")
    assert state["truncated"] == ["lines"]
    assert state["lines"] == lines[-len(state["lines"]) :], "the newest are left"
    assert 50 < len(state["lines"]) < 120
    assert len(encode_envelope("hall_state", state, at_ms=0)) <= MAX_ENVELOPE_BYTES
    assert (await bob.ask("sync", {})) == state


_parts = st.dictionaries(
    st.sampled_from(["hall_id", "polls", "lines", "queue", "emoji"]),
    st.lists(st.text(max_size=6).map(lambda text: text * 300), max_size=40) | st.text(max_size=20) | st.none(),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(_parts)
def test_a_state_always_fits(state: dict[str, Any]) -> None:
    before = dict(state)
    fitted = _fitted(dict(state))
    assert len(encode_envelope("hall_state", fitted, at_ms=0)) <= MAX_ENVELOPE_BYTES
    for key, value in before.items():
        if key in fitted.get("truncated", []):
            assert fitted[key] == value[len(value) - len(fitted[key]) :]
            assert len(fitted[key]) < len(value)
        else:
            assert fitted[key] == value


def test_what_fits_is_left_as_it_is() -> None:
    assert _fitted({"lines": ["a"] * 100}) == {"lines": ["a"] * 100}


async def test_a_room_that_is_end_to_end_encrypted_is_told(kit: HallKit, capsys: pytest.CaptureFixture[str]) -> None:
    ann = await kit.join("ann")
    assert "encrypted" not in await ann.ask("sync", {})
    kit.room.tell(Encrypted(), Encrypted())
    await kit.settle()
    assert (await ann.ask("sync", {}))["encrypted"] is True
    assert (await kit.join("bob")).last("hall_state")["encrypted"] is True
    assert [each.part for each in kit.hall.troubles()] == ["encrypted"]
    assert kit.hall.summary()["encrypted"] is True
    assert capsys.readouterr().out.count("hall.encrypted") == 1
