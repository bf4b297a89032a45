"""Erasing changes the places where identities are declared, and nothing else: whatever the identity is."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay_bot.hall import core
from relay_bot.hall.plugins import load_plugins
from relay_bot.journal.erasing import ERASED_KIND, Rule, erased, of_effects, of_timer
from relay_bot.journal.identities import Named
from relay_bot.journal.writer import Journal
from relay_bot.testing import HallKit
from tests.support.scenario import OTHER, live_through

MARK = "mark-4711-of-the-one"
PLUGINS: dict[str, Any] = {**{name: {} for name in load_plugins({}, Path())}, "polls": {"votes_of_leavers": "drop"}}
HARD = [
    "text", "identity", "sender_id", "by", "to", "type", "open", "hall", "moderation", "data", "key",
    "anna", "anna@example.com ", "example.com", "a", "0", "1", "-", "null", "true", "erased-1", "the host ",
    "👍", '"', '\\', 'a"b\\c', "\u0007", "ä" * 256, "{identity}", "data anna", ".*", "\u2028",
]  # fmt: skip
identities = st.one_of(st.sampled_from(HARD), st.text(min_size=1, max_size=256)).filter(
    lambda identity: identity not in (OTHER, "the host", MARK) and not any("\ud800" <= c <= "\udfff" for c in identity)
)

Row = tuple[str, bytes]
_rows: list[Row] = []


@cache
def rules() -> dict[str, Rule]:
    loaded = load_plugins({}, Path())
    found = {name: rule for each in loaded.values() for name, rule in each.spec.rules().items()}
    return {**found, **core.TABLE.rules()}


def rows() -> list[Row]:
    """All events of a hall in which one with a name like no other text lived through everything."""
    if not _rows:
        _rows.extend(asyncio.run(_record()))
    return _rows


async def _record() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        async with HallKit.open(Path(folder), PLUGINS) as kit:
            await live_through(kit, MARK)
            assert kit.hall.session is not None
            return [(row[3], row[4]) for row in await kit.journal.read_events(kit.hall.session.info.id, 0, 100_000)]


def without(kind: str, body: bytes, identity: str) -> Row:
    return erased(kind, body, identity, "erased-999", rules()) or (kind, body)


@settings(deadline=None)
@given(identity=identities)
@example("text")
@example("anna")
def test_any_identity_is_erased_as_one_is_that_is_like_no_other_text(identity: str) -> None:
    mark, named = msgspec.json.encode(MARK)[1:-1], msgspec.json.encode(identity)[1:-1]
    for kind, body in rows():
        expected = without(kind, body, MARK)
        assert MARK.encode() not in expected[1]
        found = without(kind, body.replace(mark, named), identity)
        assert msgspec.json.decode(found[1]) == msgspec.json.decode(expected[1])


def test_the_hall_that_is_erased_from_knows_all_that_the_plugins_record() -> None:
    """Else the test above would not see an event whose identities are not declared."""
    every = {name for each in load_plugins({}, Path()).values() for name in each.spec.events.names()}
    named = {kind for kind, body in rows() if MARK.encode() in body}
    seen = {kind for kind, _ in rows()}
    declared = {name for name, rule in rules().items() if rule.places is not None and not name.startswith("shelf")}
    assert {kind for kind in every if kind.partition(".")[0] in ("moderation", "hands", "chat")} & declared <= seen | {
        "hands.hand_given_back", "moderation.rank_known", "hands.hand_spoke", "hands.hand_speaking",
        "hands.raiser_back", "hands.guest_back", "hands.raiser_away", "hands.guest_away", "hands.demoted",
            "hands.former_guest",
    }  # fmt: skip
    assert {kind for kind in named if not kind.startswith("hall.")} <= declared


async def test_a_timer_of_somebody_with_a_longer_name_stays_theirs(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"moderation": {}}) as kit:
        await kit.join("anna")
        await kit.join("anna@example.com")
        for identity in ("anna", "anna@example.com"):
            await kit.call("moderation", "decide", action="mute", participant_id=identity, duration_seconds=900)
        assert await kit.hall.erase("anna")
        await kit.settle()
        assert kit.hall.session is not None
        names = {name.split("\n")[2] for name in kit.hall.session.core.timers}
        assert names == {*kit.hall.erased_as("anna"), "anna@example.com"}


@pytest.mark.parametrize("identity", ["text", "anna", "0", "👍", 'a"b', "open", "ä" * 256])
async def test_the_others_and_the_hall_stay_as_they_are(tmp_path: Path, identity: str) -> None:
    async with HallKit.open(tmp_path, PLUGINS) as kit:
        await live_through(kit, identity)
        before = {name: msgspec.json.decode(state) for name, state in kit.fingerprints().items()}
        assert await kit.hall.erase(identity)
        await kit.settle()
        live, replayed = await kit.live_and_replayed()
        assert live == replayed
        after = {name: msgspec.json.decode(state) for name, state in live.items()}
        assert after["hands"]["hands"].get(OTHER) == before["hands"]["hands"].get(OTHER)
        assert after["moderation"]["bans"][OTHER] == before["moderation"]["bans"][OTHER]
        for poll_id, poll in before["polls"]["polls"].items():
            found = after["polls"]["polls"][poll_id]
            assert found["tally"]["counts"] == poll["tally"]["counts"]
            assert found["ballots"].get(OTHER) == poll["ballots"].get(OTHER)
        texts = [message["text"] for message in after["chat"]["messages"].values() if message["sender_id"] == OTHER]
        assert texts == ["for one", "for all"]
        await kit.restart()
        assert kit.hall.session is not None


# -- keys ---------------------------------------------------------------------------------------------


def renamed_key(key: str, templates: tuple[str, ...], identity: str) -> str:
    kept = {"timer": Rule(keys=templates)}
    body = msgspec.json.encode({"plugin": "p", "method": "m", "key": key, "at": 1})
    found = erased("hall.timer_set", body, identity, "X", {**core.TABLE.rules(), of_timer("p", "m"): kept["timer"]})
    return key if found is None else msgspec.json.decode(found[1])["key"]


@pytest.mark.parametrize(
    ("key", "template", "identity", "expected"),
    [
        ("anna", "{identity}", "anna", "X"),
        ("anna@example.com", "{identity}", "anna", "anna@example.com"),
        ("data data", "data {identity}", "data", "data X"),
        ("p1 anna", "{poll_id} {identity}", "anna", "p1 X"),
        ("anna anna", "{poll_id} {identity}", "anna", "anna X"),
        ("anna bob", "{poll_id} {identity}", "anna", "anna bob"),
        ("a b c/1", "{identity}/{number}", "a b c", "X/1"),
        ("a.c", "{identity}", "abc", "a.c"),
    ],
)
def test_a_composite_key_is_renamed_as_it_is_declared(key: str, template: str, identity: str, expected: str) -> None:
    assert renamed_key(key, (template,), identity) == expected


def test_a_key_that_is_no_identity_stays(tmp_path: Path) -> None:
    known = {**core.TABLE.rules(), "p.said": Rule(Named())}
    body = msgspec.json.encode({"plugin": "p", "method": "m", "key": "anna", "at": 1})
    assert erased("hall.timer_set", body, "anna", "X", known) is None
    assert erased("hall.timer_set", body, "anna", "X", core.TABLE.rules()) is not None, "its plugin is not known"


def test_the_keys_of_effects_are_renamed_alike_when_owed_and_when_settled() -> None:
    known = {**core.TABLE.rules(), of_effects("p"): Rule(keys=("data {identity}",))}
    effect = {"type": "set_permissions", "identity": "data", "can_publish": True}
    owed = msgspec.json.encode({"plugin": "p", "key": "data data", "effect": effect, "seq": 3})
    settled = msgspec.json.encode({"plugin": "p", "key": "data data", "seq": 3, "error": None})
    one, two = (
        erased(kind, body, "data", "X", known)
        for kind, body in (("hall.effect_owed", owed), ("hall.effect_settled", settled))
    )
    assert one is not None
    assert two is not None
    event = msgspec.json.decode(one[1])
    assert event["key"] == msgspec.json.decode(two[1])["key"] == "data X"
    assert event["effect"] == {**effect, "identity": "X"}


# -- what is searched -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "body"),
    [
        ("ä/b", b'{"identity":"\\u00e4\\/b"}'),
        ("👍", b'{"identity":"\\ud83d\\udc4d"}'),
        ('"', b'{"identity":"\\u0022"}'),
        ("anna", b'{"identity":"\\u0061nna"}'),
        ("anna", b'{"identity":"anna"}'),
    ],
)
async def test_an_identity_is_found_however_it_is_escaped(tmp_path: Path, identity: str, body: bytes) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'relay.db'}")
    await journal.start()
    try:
        with sqlite3.connect(tmp_path / "relay.db") as other:
            other.execute("INSERT INTO events VALUES (1, 1, 0, 'say.said', ?)", (body,))
            other.execute("INSERT INTO events VALUES (1, 2, 0, 'say.said', ?)", (b'{"identity":"annabel"}',))
            other.execute("INSERT INTO events VALUES (1, 3, 0, 'say.said', ?)", (b"not JSON: anna",))
        other.close()
        said = {"say.said": load_rule()}
        assert await journal.names(1, identity, said)
        assert await journal.erase(identity, said) == 1
        kept = [row[4] for row in await journal.read_events(1, 0, 10)]
        assert re.fullmatch(rb'{"identity":"erased-\w{24}"}', kept.pop(0))
        assert kept == [b'{"identity":"annabel"}', b"not JSON: anna"]
    finally:
        await journal.stop()


def load_rule() -> Rule:
    from relay_bot.journal.identities import Fields

    return Rule(Fields({"identity": Named()}))


async def test_what_was_declared_once_holds_for_a_plugin_that_is_gone(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'relay.db'}")
    await journal.start()
    try:
        await journal.declare({"say.said": load_rule()})
        with sqlite3.connect(tmp_path / "relay.db") as other:
            for seq, (kind, body) in enumerate(
                (("say.said", b'{"identity":"text","text":"text"}'), ("never.known", b'{"text":"mine","who":"text"}'))
            ):
                other.execute("INSERT INTO events VALUES (1, ?, 0, ?, ?)", (seq + 1, kind, body))
        other.close()
        assert await journal.erase("text", {}) == 2
        kept = [(row[3], row[4]) for row in await journal.read_events(1, 0, 10)]
        assert re.fullmatch(rb'{"identity":"erased-\w{24}","text":"text"}', kept[0][1])
        assert kept[1] == (ERASED_KIND, b"{}")
    finally:
        await journal.stop()
