"""Whose words about themselves are believed, and how those who are here are called."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from relay_bot.settings import RoleSettings, Settings
from relay_bot.testing import Guest, HallKit, Refused

POLL = {"question": "?", "options": ["a", "b"]}
OWN: dict[str, Any] = {"can_update_metadata": True}


async def role_of(guest: Guest) -> str:
    return (await guest.ask("sync", {}))["role"]


async def name_of(kit: HallKit, guest: Guest) -> str:
    """The name that a message of theirs shows."""
    await guest.ask("chat", {"text": "hello"})
    return (await kit.call("chat", "list_messages"))["messages"][-1]["display_name"]


@pytest.mark.parametrize("words", [{"attributes": {"relay.role": "host"}}, {"metadata": '{"role": "host"}'}])
@pytest.mark.parametrize("then", ["revoked", "reconnected", "restarted", "restarted first"])
async def test_who_could_write_a_role_once_has_none_from_it(tmp_path: Path, words: dict[str, Any], then: str) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        mallory = await kit.join("mallory", **OWN)
        if then == "restarted first":
            await kit.restart()
        mallory._change(**words)
        mallory._change(can_update_metadata=False)
        await kit.settle()
        if then == "reconnected":
            mallory.leave()
            await kit.settle()
            mallory = await kit.join("mallory", **words)
        elif then == "restarted":
            await kit.restart()
        assert await role_of(mallory) == "viewer"
        with pytest.raises(Refused, match="forbidden"):
            await mallory.ask("poll", POLL)
        assert kit.fingerprints() == await kit.replayed()


async def test_the_configuration_is_believed_all_the_same(tmp_path: Path) -> None:
    settings = Settings(roles=RoleSettings(hosts=frozenset({"boss"})))
    async with HallKit.open(tmp_path, {"polls": {}}, settings=settings) as kit:
        assert await role_of(await kit.join("boss", **OWN)) == "host"


async def test_a_name_is_the_last_that_was_not_their_own_word(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        mallory, bob = await kit.join("mallory", name="Mallory", **OWN), await kit.join("bob", name="Bob")
        bob._change(name="Robert")  # the backend's word
        bob._change(**OWN)
        for guest in (mallory, bob):
            guest._change(name="The Host")
        await kit.settle()
        assert (await name_of(kit, mallory), await name_of(kit, bob)) == ("Mallory", "Robert")
        mallory.leave()
        await kit.settle()
        mallory = await kit.join("mallory", name="The Host")
        assert await name_of(kit, mallory) == "Mallory"
        await kit.restart()
        assert (await name_of(kit, mallory), await name_of(kit, bob)) == ("Mallory", "Robert")


async def test_who_never_had_a_name_gets_none(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        mallory = await kit.join("mallory", **OWN)
        mallory._change(name="The Host")
        await kit.settle()
        assert await name_of(kit, mallory) == "mallory"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Al\x00ice", "Alice"),
        ("Alice\nHost", "Alice Host"),
        ("\u202eecilA", "ecilA"),
        ("\u2066Alice\u2069 ", "Alice"),
        ("A  lice\u200b", "A lice"),
        ("\u3164", "u1"),
        ("\u200b", "u1"),
        ("Jose\u0301", "Jos\u00e9"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("x" * 300, "x" * 256),
    ],
)
async def test_names_are_cleaned_like_texts(tmp_path: Path, given: str, shown: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}, "hands": {}}) as kit:
        host, guest = await kit.join("host", role="host"), await kit.join("u1", name=given)
        assert await name_of(kit, guest) == shown
        await guest.ask("hand_raise", {"raised": True})
        assert (await host.say("/hands"))["notice"].startswith(f"1. {shown[:64]}")
        csv = await kit.call("chat", "export_messages", format="csv")
        assert f",u1,{shown}," in base64.b64decode(csv["content"]).decode()


@pytest.mark.parametrize(
    "alike",
    ["Ana Lopez", "ana lopez", "Ana  Lopez", "Ana\u200b Lopez", "Ana L\u043epez", "\u0410na Lopez",
        "Ａna Lopez", "u-ana", "Relay", "relay-b\u043et", "RELAY-BOT"],
)  # fmt: skip
async def test_who_looks_like_another_is_shown_with_their_identity(tmp_path: Path, alike: str) -> None:
    async with HallKit.open(tmp_path, {"chat": {}, "hands": {}}) as kit:
        ana = await kit.join("u-ana", name="Ana Lopez")
        host, troll = await kit.join("host", role="host"), await kit.join("u99", name=alike)
        shown = await name_of(kit, troll)
        assert shown.endswith(" (u99)")
        await troll.ask("hand_raise", {"raised": True})
        await host.say("/hands")
        assert shown in host.last("notice")["text"]
        troll.leave()
        await kit.settle()
        assert await name_of(kit, ana) == "Ana Lopez"
        nameless = await kit.join("u98")
        await nameless.ask("chat", {"text": "x", "display_name": alike})
        said = (await kit.call("chat", "list_messages"))["messages"][-1]
        assert said["display_name"] == "u98"


async def test_both_of_one_name_are_told_apart_while_both_are_here(tmp_path: Path) -> None:
    async with HallKit.open(tmp_path, {"chat": {}}) as kit:
        first, second = await kit.join("u1", name="Bob"), await kit.join("u2", name="Bob")
        third = await kit.join("u3", name="Bo\u200bb")
        assert [await name_of(kit, guest) for guest in (first, second, third)] == ["Bob (u1)", "Bob (u2)", "Bob (u3)"]
        for guest in (second, third):
            guest.leave()
        await kit.settle()
        assert await name_of(kit, first) == "Bob"


async def test_of_whom_words_are_distrusted_has_a_bound_and_then_nobody_new_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_bot.hall.roster.MAX_DISTRUSTED", 3)
    settings = Settings(roles=RoleSettings(hosts=frozenset({"boss"})))
    async with HallKit.open(tmp_path, {"polls": {}, "chat": {}}, settings=settings) as kit:
        early = await kit.join("early", role="host")
        for number in range(5):
            guest = await kit.join(f"g{number}", name=f"Guest {number}", **OWN)
            guest._change(name="Somebody else")
            await kit.settle()
            assert await name_of(kit, guest) == f"Guest {number}"
        late = await kit.join("late", role="host")
        late._change(name="Late")
        await kit.settle()
        assert [await role_of(each) for each in (early, late, await kit.join("boss"))] == ["host", "viewer", "host"]
        early._change(**OWN)
        early._change(attributes={"relay.role": "host"}, can_update_metadata=False)
        await kit.settle()
        assert await role_of(early) == "viewer", "it may be what they wrote"
        session = kit.hall.session
        assert session is not None
        assert len(session.core.distrusted) == 3
        assert kit.fingerprints() == await kit.replayed()
        await kit.restart()
        assert await role_of(late) == "viewer"
