"""Judging: what others will see is judged before it is decided, by every door; what is held waits for a moderator."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from relay_bot.judging import Public, public, public_texts, texts_of
from relay_bot.plugin import Body
from relay_bot.testing import HallKit, Refused

JUDGE = """
from relay_bot.plugin import Content, Context, Plugin, State, Verdict, Event

class Seen(Event, frozen=True):
    what: str

class Judged(State):
    def on_seen(self, event: Seen) -> None: ...

class NAMEPlugin(Plugin[Judged]):
    def judge(self, content: Content, ctx: Context) -> Verdict:
        text = content.text
        if "records" in text:
            ctx.record(Seen(text))
        if "raises" in text:
            raise RuntimeError("what was said")
        if "nothing" in text:
            return None
        if "NAME refuse" in text:
            return Verdict.refuse("forbidden", f"{content.what} of {content.kind}")
        if "NAME hold" in text:
            return Verdict.hold("look at it")
        if "NAME replace" in text:
            return Verdict.replace(text.replace("NAME replace", "***"))
        return Verdict.allow()
"""


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text(JUDGE.replace("NAME", name))
    plugins: dict[str, Any] = {"path": [str(folder)], "one": {}, "two": {}}
    plugins |= {name: {} for name in ("chat", "polls", "hands", "announcements")}
    plugins["moderation"] = {"blocked_words": ["darn"], "hold_words": ["lawsuit"]}
    async with HallKit.open(tmp_path, plugins) as made:
        yield made
        live, replayed = await made.live_and_replayed()
        assert live == replayed


async def refusal(awaitable: Any) -> dict[str, Any]:
    with pytest.raises(Refused) as caught:
        await awaitable
    return caught.value.payload


def messages(kit: HallKit) -> list[str]:
    state = msgspec.json.decode(kit.fingerprints()["chat"])
    return [each["text"] for each in state["messages"].values()]


def held(kit: HallKit) -> list[Any]:
    assert kit.hall.session is not None
    return list(kit.hall.session.core.held.values())


# -- what is collected ---------------------------------------------------------------------------------


class Inner(msgspec.Struct, frozen=True):
    name: Public[str]
    secret: str = ""


class Nested(Body, type="nested"):
    text: Annotated[str, public("chat text")] | None = None
    rows: list[list[Annotated[str, msgspec.Meta(max_length=5), public("cell")]]] = []
    inner: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = {}
    plain: str = ""


def test_all_public_texts_are_found_with_their_paths() -> None:
    shape = public_texts(Nested)
    assert shape is not None
    body = Nested("a", [["b"], ["c", ""]], (Inner("d", "no"),), {"x": Inner("e")}, "no")
    assert [(steps, text, what) for steps, text, what in texts_of(body, shape)] == [
        (("text",), "a", "chat text"),
        (("rows", 0, 0), "b", "cell"),
        (("rows", 1, 0), "c", "cell"),
        (("inner", 0, "name"), "d", "text"),
        (("by_name", "x", "name"), "e", "text"),
    ]


# -- verdicts ------------------------------------------------------------------------------------------


async def test_the_strictest_verdict_counts(kit: HallKit) -> None:
    ann = await kit.join("ann")
    for text in ("one hold two refuse", "one refuse two hold", "one replace two refuse"):
        assert (await refusal(ann.say(text)))["code"] == "forbidden"
    assert (await refusal(ann.say("two refuse")))["message"] == "chat text of chat"
    assert await ann.say("one hold two replace") == {"held": True}
    await ann.say("one replace and two replace")
    assert messages(kit) == ["*** and ***"]
    assert len(held(kit)) == 1


async def test_a_judge_that_fails_lets_nothing_pass(kit: HallKit) -> None:
    ann = await kit.join("ann")
    for text in ("raises", "nothing", "records"):
        assert (await refusal(ann.say(text)))["code"] == "internal"
    await ann.say("hello")
    assert messages(kit) == ["hello"]


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        ("poll", {"question": "darn", "options": ["a", "b"]}, "payload.question"),
        ("poll", {"question": "?", "options": ["a", "b", "darn"]}, "payload.options[2]"),
        ("announcement", {"text": "darn"}, "payload.text"),
        ("chat", {"text": "darn"}, "payload.text"),
    ],
)
async def test_by_packet_by_rpc_and_relayed(kit: HallKit, kind: str, payload: dict[str, Any], field: str) -> None:
    host = await kit.join("host", role="host")
    assert (await refusal(host.ask(kind, payload)))["field"] == field
    host.send(kind, payload, "a-message-of-mine-1")
    assert (await host.wait("error"))["field"] == field
    assert (await refusal(kit.backend(kind, payload, sender_id="host")))["field"] == field


async def test_on_routes_and_in_commands(kit: HallKit) -> None:
    host = await kit.join("host", role="host")
    for options, field in ((["a", "darn"], "options[1]"), (["a", "b"], "question")):
        question = "?" if field != "question" else "darn"
        refused = await refusal(kit.call("polls", "create_poll", question=question, options=options))
        assert (refused["code"], refused["field"]) == ("blocked", field)
    assert (await refusal(kit.call("announcements", "post_announcement", text="darn")))["code"] == "blocked"
    for line in ('/poll "darn?" a | b', '/poll "?" a | darn', "/announce darn it"):
        assert (await refusal(host.say(line)))["code"] == "blocked", line


async def test_what_is_sent_on_is_what_was_put_in_its_place(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await kit.backend("chat", {"text": "one replace", "of_mine": 1}, sender_id="bob")
    assert (await ann.wait("chat"))["text"] == "***"
    assert messages(kit) == ["***"]
    host = await kit.join("host", role="host")
    await host.ask("poll", {"question": "one replace?", "options": ["a", "two replace"]})
    said = await ann.wait("poll")
    assert (said["question"], said["options"]) == ("***?", ["a", "***"])


# -- held ----------------------------------------------------------------------------------------------


async def test_a_held_message_survives_a_restart_and_is_said_once_when_released(kit: HallKit) -> None:
    mo, ann = await kit.join("mo", role="moderator"), await kit.join("ann", name="Ann")
    assert await ann.ask("chat", {"text": "a lawsuit!"}, "a-message-of-mine-1") == {"held": True}
    assert await ann.ask("chat", {"text": "a lawsuit!"}, "a-message-of-mine-1") == {"held": True}
    told = await mo.wait("message_held")
    assert (told["participant_id"], told["type"], told["payload"]) == ("ann", "chat", {"text": "a lawsuit!"})
    assert not ann.all("message_held")
    assert (messages(kit), len(held(kit))) == ([], 1)
    await kit.restart()
    assert (messages(kit), len(held(kit))) == ([], 1)
    order = {"held_id": told["held_id"], "approved": True}
    assert (await refusal(ann.ask("held_decide", order)))["code"] == "forbidden"
    assert (await mo.ask("held_decide", order))["approved"]
    said = await mo.wait("chat")
    assert (said["text"], said["display_name"]) == ("a lawsuit!", "Ann")
    assert (await ann.wait("held_decided"))["id"] == "a-message-of-mine-1"
    assert (await refusal(mo.ask("held_decide", order)))["code"] == "not_found"
    assert (messages(kit), held(kit), len(mo.all("chat"))) == (["a lawsuit!"], [], 1)
    await kit.restart()
    assert (messages(kit), held(kit)) == (["a lawsuit!"], [])


async def test_a_rejected_one_is_never_said_and_its_sender_hears_so(kit: HallKit) -> None:
    ann = await kit.join("ann")
    await ann.ask("chat", {"text": "a lawsuit"}, "a-message-of-mine-1")
    order = {"held_id": held(kit)[0].held_id, "approved": False}
    assert (await kit.backend("held_decide", order))["result"] == order
    assert (await ann.wait("held_decided"))["approved"] is False
    assert (messages(kit), held(kit)) == ([], [])
    assert not ann.all("held_decide")


async def test_who_is_muted_meanwhile_stays_held(kit: HallKit) -> None:
    mo, ann = await kit.join("mo", role="moderator"), await kit.join("ann")
    await ann.say("a lawsuit")
    await kit.call("moderation", "decide", action="mute", participant_id="ann")
    order = {"held_id": held(kit)[0].held_id, "approved": True}
    assert (await refusal(mo.ask("held_decide", order)))["code"] == "muted"
    assert len(held(kit)) == 1
    await kit.call("moderation", "decide", action="unmute", participant_id="ann")
    await mo.ask("held_decide", order)
    assert messages(kit) == ["a lawsuit"]


async def test_a_topic_and_a_command_are_held_whole(kit: HallKit) -> None:
    mo, ann = await kit.join("mo", role="moderator"), await kit.join("ann")
    assert await ann.ask("hand_raise", {"raised": True, "topic": "lawsuit"}) == {"held": True}
    assert msgspec.json.decode(kit.fingerprints()["hands"])["hands"] == {}
    await mo.ask("held_decide", {"held_id": held(kit)[0].held_id, "approved": True})
    assert list(msgspec.json.decode(kit.fingerprints()["hands"])["hands"]) == ["ann"]


async def test_moderators_and_hosts_need_nobodys_approval(kit: HallKit) -> None:
    await (await kit.join("mo", role="moderator")).say("a lawsuit")
    assert (messages(kit), held(kit)) == (["a lawsuit"], [])


async def test_what_is_held_is_bounded(kit: HallKit) -> None:
    ann = await kit.join("ann")
    for number in range(10):
        await ann.say(f"lawsuit {number}")
    assert (await refusal(ann.say("lawsuit 11")))["code"] == "busy"
    await (await kit.join("bob")).say("lawsuit of bob")
    assert len(held(kit)) == 11


async def test_what_nobody_decides_is_rejected_in_time(kit: HallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await kit.join("ann")
    await ann.say("a lawsuit")
    at = held(kit)[0].at
    monkeypatch.setattr("relay_bot.hall.deciding.now_ms", lambda: at + 3_600_001)
    await ann.ask("sync", {})
    assert (await ann.wait("held_decided"))["approved"] is False
    assert held(kit) == []


async def test_an_erased_senders_held_messages_go(kit: HallKit) -> None:
    ann, bob = await kit.join("ann"), await kit.join("bob")
    await ann.say("a lawsuit of ann")
    await bob.say("a lawsuit of bob")
    assert await kit.hall.erase("ann")
    await kit.settle()
    assert [each.identity for each in held(kit)] == ["bob"]
    assert kit.hall.session is not None
    rows = await kit.journal.read_events(kit.hall.session.info.id, 0, 1_000)
    assert not [row for row in rows if b"of ann" in row[4]]
