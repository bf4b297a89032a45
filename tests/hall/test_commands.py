"""Chat commands: who may use which, and what the issuer alone is told."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_bot.hall.commands import said_command
from relay_bot.plugin import Arguments, Refuse, parse_duration
from relay_bot.settings import CommandSettings, Settings
from relay_bot.testing import Guest, HallKit, Refused
from tests.support.halls import open_hall


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, "desk") as made:
        yield made


def lines(kit: HallKit) -> list[str]:
    return msgspec.json.decode(kit.fingerprints()["desk"])["lines"]


async def says(guest: Guest, text: str) -> str:
    return (await guest.say(text))["notice"]


async def test_a_command_is_answered_to_its_issuer_alone_and_is_no_chat(kit: HallKit) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    assert await says(ann, "/hello  there ") == "hello there"
    assert ann.all("notice") == [{"text": "hello there"}]
    assert (bob.all("notice"), bob.all("chat"), lines(kit)) == ([], [], [])


@pytest.mark.parametrize(
    ("role", "listed"),
    [("", ["/hello"]), ("moderator", ["/hello", "/poke NAME"]), ("host", ["/hello", "/poke NAME", "/quiet"])],
)
async def test_help_lists_what_the_role_may_use(kit: HallKit, role: str, listed: list[str]) -> None:
    told = (await says(await kit.join("ann", role=role), "/help")).split("\n")
    assert [line.partition(":")[0] for line in told] == [*listed, "/help"]
    assert told[0] == "/hello: Say hello."


async def test_a_command_above_ones_role_is_refused_in_words(kit: HallKit) -> None:
    ann = await kit.join("ann")
    with pytest.raises(Refused, match="only a moderator may use /poke") as refusal:
        await ann.say("/poke ann")
    assert refusal.value.code == "forbidden"
    await kit.settle()
    assert ann.last("notice")["text"] == "only a moderator may use /poke"


async def test_an_unknown_command_is_told_and_never_shown_to_others(kit: HallKit) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    with pytest.raises(Refused, match=r"there is no command /tee; /help lists them"):
        await ann.say("/tee my secret")
    await kit.settle()
    assert (ann.last("notice")["text"], bob.all("chat"), lines(kit)) == (
        "there is no command /tee; /help lists them",
        [],
        [],
    )


@pytest.mark.parametrize("text", ["//hello", "/", "/  ", "hello /help", "", " //hello", "1/2"])
async def test_what_is_chat(kit: HallKit, text: str) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    await ann.say(text)
    assert (lines(kit), bob.all("chat")) == ([text], [{"text": text}])


async def test_a_missing_word_is_answered_with_the_usage(kit: HallKit) -> None:
    ann = await kit.join("ann", role="host")
    with pytest.raises(Refused, match="NAME is missing; usage: /poke NAME"):
        await ann.say("/poke")


async def test_a_name_of_two_is_asked_back(kit: HallKit) -> None:
    ann = await kit.join("ann", role="host")
    for identity in ("p1", "p2"):
        await kit.join(identity, name="Bob")
    with pytest.raises(Refused, match=r"2 people here are called 'bob'; say which by identity: p1, p2"):
        await ann.say("/poke bob")
    assert await says(ann, "/poke p2") == "poked p2"
    assert await says(ann, '/poke "@p1"') == "poked p1"


async def test_a_command_in_a_packet_is_one_too(kit: HallKit) -> None:
    ann = await kit.join("ann")
    ann.send("chat", {"text": "/hello"}, "m1")
    await kit.settle()
    assert ann.last("notice")["text"] == "hello ann"
    assert ann.last("ack")["ids"] == ["m1"]


async def test_an_inferred_host_commands_nothing(kit: HallKit) -> None:
    ann = await kit.join("ann", role="host", known=False)
    ann.send("chat", {"text": "/poke ann"}, "m1", certain=False)
    kit.announce("ann")
    assert (await ann.wait("error"))["code"] == "forbidden"


async def test_another_prefix(tmp_path: Path) -> None:
    async with open_hall(tmp_path, "desk", settings=Settings(commands=CommandSettings("!"))) as kit:
        ann = await kit.join("ann")
        assert (await says(ann, "!help")).split("\n")[0] == "!hello: Say hello."
        await ann.say("/hello")
        assert lines(kit) == ["/hello"]


async def test_a_repeated_command_runs_once(kit: HallKit) -> None:
    ann = await kit.join("ann")
    for _ in range(2):
        await ann.ask("chat", {"text": "/hello"}, "m1")
    assert len(ann.all("notice")) == 1


@given(st.binary(max_size=30) | st.text(max_size=20).map(lambda text: json.dumps({"text": text}).encode()))
def test_any_payload_is_a_command_or_not(payload: bytes) -> None:
    line = said_command(msgspec.Raw(payload), "/")
    assert line is None or line.strip() == line != ""


# -- arguments ----------------------------------------------------------------------------------------


def test_words_are_taken_one_after_the_other() -> None:
    arguments = Arguments(' one "two words"  three and the rest ', "/x")
    assert [arguments.word("A"), arguments.word("B"), arguments.word("C")] == ["one", "two words", "three"]
    assert (arguments.rest(), arguments.rest()) == ("and the rest", "")
    with pytest.raises(Refuse):
        arguments.word("D")


def test_a_duration_is_taken_if_it_is_one() -> None:
    arguments = Arguments("10m because", "/x")
    assert (arguments.duration(), arguments.duration(), arguments.rest()) == (600, None, "because")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("0s", 0), ("", None), ("10", None), ("10m5", None), ("m", None)],
)
def test_durations(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds
