"""The chat: who said it, who may see it, what is kept, counted, deleted and exported."""

import base64
import csv
import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.link import Frame
from relay_bot.testing import Guest, HallKit, Refused


@asynccontextmanager
async def hall(folder: Path, **settings: Any) -> AsyncGenerator[HallKit]:
    """A hall that must, in the end, be what its journal says."""
    async with HallKit.open(folder, {"chat": settings}) as kit:
        yield kit
        await kit.settle()
        assert kit.fingerprints() == await kit.replayed()


async def refusal(awaitable: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await awaitable
    return caught.value


async def history(guest: Guest) -> list[dict[str, Any]]:
    return (await guest.ask("sync", {}))["messages"]


async def texts(guest: Guest) -> list[str]:
    return [message["text"] for message in await history(guest)]


# -- saying ---------------------------------------------------------------------------------------------


async def test_a_message_by_rpc_goes_to_everybody_with_its_true_sender(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann", name="Ann"), await kit.join("bob")
        await ann.ask("chat", {"text": " hello ", "display_name": "Bob"}, "m-1")
        packet = next(packet for packet in bob.received if packet["type"] == "chat")
        assert packet["sender_id"] == "ann"
        assert packet["payload"] == {"message_id": "m-1", "text": "hello", "display_name": "Ann"}
        assert (await history(bob))[0]["sender_id"] == "ann"


async def test_a_data_packet_is_kept_and_not_sent_again(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        ann.send("chat", {"text": "hello"}, "m-1")
        await kit.settle()
        assert not bob.all("chat")
        (kept,) = await history(bob)
        assert (kept["message_id"], kept["sender_id"], kept["text"]) == ("m-1", "ann", "hello")


async def test_livekits_own_chat_is_one_message_though_it_comes_twice(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        stream = Frame(b"hello", "ann", 0.0, "chat", "lk.chat", True, "stream-1")
        packet = Frame(
            msgspec.json.encode({"id": "stream-1", "timestamp": 1, "message": "hello"}), "ann", 0.0,
            topic="lk-chat-topic",
        )  # fmt: skip
        kit.room.tell(stream, packet)
        await kit.settle()
        (kept,) = await history(ann)
        assert (kept["message_id"], kept["sender_id"], kept["text"]) == ("stream-1", "ann", "hello")


async def test_the_plugin_counts_a_message_once_even_where_the_gate_does_not_know_it(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await ann.ask("chat", {"text": "hello"}, "m-1")
        session = kit.hall.session
        assert session is not None
        session.answers._answers.clear()  # pyright: ignore[reportPrivateUsage]  # as when it is full
        seq = kit.hall.seq
        await ann.ask("chat", {"text": "hello"}, "m-1")
        assert kit.hall.seq == seq
        assert len(ann.all("chat")) == 1


async def test_nobody_overwrites_anothers_message_by_its_id(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("chat", {"text": "mine"}, "m-1")
        result = await bob.ask("chat", {"text": "stolen"}, "m-1")
        assert result["message_id"] != "m-1"
        assert [(each["message_id"], each["text"]) for each in await history(ann)] == [
            ("m-1", "mine"),
            (result["message_id"], "stolen"),
        ]


async def test_a_message_without_an_id_is_given_one(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await kit.backend("chat", {"text": "welcome"})
        await kit.settle()
        assert ann.last("chat")["message_id"] == (await history(ann))[0]["message_id"]
        assert (await history(ann))[0]["sender_id"] is None
        assert ann.last("chat")["text"] == "welcome"


@pytest.mark.parametrize("text", ["", " \n ", "\x00\x1b", "x" * 4001])
async def test_a_text_has_1_to_4000_characters(tmp_path: Path, text: str) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        refused = await refusal(ann.ask("chat", {"text": text}))
        assert (refused.code, refused.payload["field"]) == ("malformed", "payload.text")
        await ann.ask("chat", {"text": "x" * 4000})
        assert len(await history(ann)) == 1


async def test_control_characters_are_taken_out(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await ann.ask("chat", {"text": "a\x1b[31m\x00b\r\n\tc\x9f"})
        assert await texts(ann) == ["a[31mb\n\tc"]


async def test_what_could_not_be_told_again_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        refused = await refusal(ann.ask("chat", {"text": "😀" * 3500}))
        assert refused.code == "too_large"
        await ann.ask("chat", {"text": "漢" * 4000})
        await kit.settle()
        assert len(ann.all("chat")) == 1


async def test_a_claimed_name_counts_only_where_there_is_no_other(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await kit.join("host-1", name="Hanna", role="host")
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("chat", {"text": "1", "display_name": "Annie"})
        await bob.ask("chat", {"text": "2", "display_name": "HANNA"})
        assert [each["display_name"] for each in await history(ann)] == ["Annie", "bob"]


async def test_a_certain_message_takes_the_place_of_an_inferred_one(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann", known=False)
        ann.send("chat", {"text": "forged"}, "m-1", certain=False)
        kit.announce("ann")
        await kit.settle()
        assert [(each["text"], each.get("inferred", False)) for each in await history(ann)] == [("forged", True)]
        ann.send("chat", {"text": "true"}, "m-1")
        await kit.settle()
        assert [(each["text"], each.get("inferred", False)) for each in await history(ann)] == [("true", False)]


async def test_an_inferred_message_never_takes_the_place_of_a_certain_one(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await ann.ask("chat", {"text": "true"}, "m-1")
        ann.leave()
        again = await kit.join("ann", known=False)
        again.send("chat", {"text": "forged"}, "m-1", certain=False)
        again.send("chat_delete", {"message_id": "m-1"}, certain=False)
        kit.announce("ann")
        await kit.settle()
        assert await texts(again) == ["true"]


async def test_those_who_speak_a_dialect_hear_the_senders_name(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann", name="Ann"), await kit.join("bob")
        said = {"id": "m-1", "type": "chat", "text": "hi", "senderId": "bob", "timestamp": 1}
        kit.room.tell(Frame(msgspec.json.encode(said), "bob", 0.0))
        await ann.ask("chat", {"text": "hello"}, "m-2")
        await kit.settle()
        (heard,) = [packet for packet in bob.received if packet.get("senderId")]
        assert (heard["id"], heard["senderId"], heard["senderName"], heard["text"]) == ("m-2", "ann", "Ann", "hello")
        await kit.backend("chat", {"text": "welcome"})
        await kit.settle()
        assert bob.received[-1]["senderName"] == "Relay"


@pytest.mark.parametrize(
    ("metadata", "speaks"),
    [
        ('{"role":"viewer","displayName":"Ann"}', True),
        ('{"role":"viewer"}', False),
        ('{"displayName":"Ann"}', False),
        ('{"role":7,"displayName":"Ann"}', False),
        ("{", False),
    ],
)
async def test_who_has_the_shows_metadata_hears_the_show(tmp_path: Path, metadata: str, speaks: bool) -> None:
    """Before anybody has said a word in it."""
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann", metadata=metadata)
        await kit.backend("chat", {"text": "welcome"})
        await kit.settle()
        heard = [packet["message"] for packet in ann.received if packet["type"] == "chat_message"]
        assert heard == (["welcome"] if speaks else [])


@pytest.mark.parametrize("text", ["\u2800", "\u3164", "\U000e0067\U000e007f", "\u200b\n", "\u034f \ufe0f"])
async def test_a_text_of_which_nothing_can_be_seen_is_empty(tmp_path: Path, text: str) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann", name="")
        assert (await refusal(ann.ask("chat", {"text": text}))).payload["field"] == "payload.text"
        await ann.ask("chat", {"text": "hello", "display_name": text})
        assert (await history(ann))[0]["display_name"] == "ann"


# -- private messages -------------------------------------------------------------------------------------


async def test_a_private_message_is_between_sender_and_addressees(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob, eve = [await kit.join(identity) for identity in ("ann", "bob", "eve")]
        host = await kit.join("host", role="host")
        await ann.ask("chat", {"text": "secret", "to": ["bob"]}, "m-1")
        await ann.ask("reaction", {"emoji": "🤫", "message_id": "m-1"})
        await bob.wait("reaction_counts")
        assert ann.last("chat")["to"] == bob.last("chat")["to"] == ["bob"]
        for other in (eve, host):
            assert not other.all("chat")
            assert not other.all("reaction_counts")
            assert await texts(other) == []
            assert (await other.ask("chat_history", {})) == {"messages": []}
            assert (await refusal(other.ask("reaction", {"emoji": "x", "message_id": "m-1"}))).code == "not_found"
            assert (await refusal(other.ask("chat_history", {"before": "m-1"}))).code == "not_found"
        assert (await refusal(eve.ask("chat_delete", {"message_id": "m-1"}))).code == "not_found"
        assert await texts(ann) == await texts(bob) == ["secret"]
        await kit.restart()
        assert await texts(bob) == ["secret"]
        assert await texts(eve) == []
        late = await kit.join("late")
        assert (await late.wait("hall_state"))["messages"] == []
        await ann.ask("chat_delete", {"message_id": "m-1"})
        assert bob.all("chat_deleted")
        assert not eve.all("chat_deleted")


async def test_a_packet_that_names_its_addressees_reaches_them(tmp_path: Path) -> None:
    """Its sender may have sent it to the bot alone: with `to`, it is known for whom it is."""
    async with hall(tmp_path) as kit:
        ann, bob, eve = [await kit.join(identity) for identity in ("ann", "bob", "eve")]
        ann.send("chat", {"text": "secret", "to": ["bob"]}, "m-1")
        await kit.settle()
        expected = {"message_id": "m-1", "text": "secret", "display_name": "ann", "to": ["bob"], "private": True}
        assert [(p["sender_id"], p["payload"]) for p in bob.received if p["type"] == "chat"] == [("ann", expected)]
        assert not eve.all("chat")
        ann.send("chat", {"text": "secret", "to": ["bob"]}, "m-1")
        await kit.settle()
        assert len(bob.all("chat")) == 1


async def test_nobody_is_quoted_on_a_claim(tmp_path: Path) -> None:
    """A message by an inferred sender is kept as such; it is not said in their name."""
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann", known=False), await kit.join("bob")
        ann.send("chat", {"text": "forged", "to": ["bob"]}, "m-1", certain=False)
        kit.announce("ann")
        await kit.settle()
        assert await texts(bob) == ["forged"]
        assert not bob.all("chat")
        ann.send("chat", {"text": "true", "to": ["bob"]}, "m-1")
        await kit.settle()
        assert [said["text"] for said in bob.all("chat")] == ["true"]


async def test_the_dialects_private_packet_is_nobody_elses(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        said = {"id": "m-1", "type": "chat", "text": "hm", "senderId": "ann", "timestamp": 1, "isPrivate": True}
        kit.room.tell(Frame(msgspec.json.encode(said), "ann", 0.0))
        await kit.settle()
        assert await texts(ann) == ["hm"]
        assert await texts(bob) == []


async def test_a_backends_reaction_to_a_private_message_stays_there(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob, eve = [await kit.join(identity) for identity in ("ann", "bob", "eve")]
        await kit.backend("chat", {"text": "psst"}, sender_id="ann", to=["bob"])
        await kit.settle()
        message_id = bob.last("chat")["message_id"]
        for _ in range(2):
            await kit.backend("reaction", {"emoji": "👍", "message_id": message_id}, sender_id="bob")
        await ann.wait("reaction")
        await kit.settle()
        assert not eve.all("chat")
        assert not eve.all("reaction")


async def test_no_addressees_is_a_mistake_and_not_everybody(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        assert (await refusal(ann.ask("chat", {"text": "secret", "to": []}))).code == "malformed"
        await kit.backend("chat", {"text": "to nobody"}, to=[])
        await kit.settle()
        assert await texts(bob) == []
        assert not bob.all("chat")


# -- reactions ----------------------------------------------------------------------------------------------


async def test_a_participant_counts_once_for_each_emoji(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("chat", {"text": "hello"}, "m-1")
        for guest, emoji in ((ann, "👍"), (ann, "👍"), (bob, "👍"), (bob, "🎉")):
            await guest.ask("reaction", {"emoji": emoji, "message_id": "m-1"})
        told = await bob.wait("reaction_counts", lambda said: said["counts"] == {"👍": 2, "🎉": 1})
        assert told["message_id"] == "m-1"
        seq = kit.hall.seq
        await bob.ask("reaction", {"emoji": "🎉", "message_id": "m-1"})
        assert kit.hall.seq == seq
        await kit.restart()
        assert (await history(ann))[0]["reactions"] == {"👍": 2, "🎉": 1}
        assert (await refusal(ann.ask("reaction", {"emoji": "x", "message_id": "m-2"}))).code == "not_found"


async def test_a_floating_reaction_passes_by_and_is_not_kept(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        events = kit.fingerprints()["chat"]
        ann.send("reaction", {"emoji": "🔥", "x": 0.4, "y": 0.7})
        await kit.settle()
        assert not bob.all("reaction")
        await ann.ask("reaction", {"emoji": "🔥", "x": 0.4, "y": 0.7})
        assert bob.all("reaction") == [{"emoji": "🔥", "x": 0.4, "y": 0.7}]
        assert bob.received[-1]["sender_id"] == "ann"
        await kit.backend("reaction", {"emoji": "👏", "size": 3})
        await kit.settle()
        assert bob.last("reaction") == {"emoji": "👏", "size": 3}
        assert kit.fingerprints()["chat"] == events


@pytest.mark.parametrize(
    ("one", "other"), [("👍", "👍\ufe0f"), ("❤", "❤️"), ("1\ufe0f\u20e3", "1\u20e3"), ("\U0001faea", " \U0001faea")]
)
async def test_an_emoji_is_one_reaction_however_it_is_sent(tmp_path: Path, one: str, other: str) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("chat", {"text": "hello"}, "m-1")
        for guest, emoji in ((ann, one), (ann, other), (bob, other)):
            await guest.ask("reaction", {"emoji": emoji, "message_id": "m-1"})
        await kit.settle()
        assert list((await history(bob))[0]["reactions"].values()) == [2]


@pytest.mark.parametrize("text", ["\u200b", "\u2800", "well done everybody", "a", "1", "👍👍", "\ufe0f", "👍 yes"])
async def test_what_is_no_emoji_is_no_reaction(tmp_path: Path, text: str) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await ann.ask("chat", {"text": "hello"}, "m-1")
        for more in ({}, {"message_id": "m-1"}):
            assert (await refusal(ann.ask("reaction", {"emoji": text, **more}))).code == "malformed"
        assert "reactions" not in (await history(ann))[0]


async def test_reactions_are_bounded(tmp_path: Path) -> None:
    async with hall(tmp_path, max_emojis=2, max_reactions=3) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("chat", {"text": "hello"}, "m-1")
        for emoji in ("👍", "🎉"):
            await ann.ask("reaction", {"emoji": emoji, "message_id": "m-1"})
        assert (await refusal(ann.ask("reaction", {"emoji": "🔥", "message_id": "m-1"}))).code == "busy"
        await bob.ask("reaction", {"emoji": "👍", "message_id": "m-1"})
        assert (await refusal(bob.ask("reaction", {"emoji": "🎉", "message_id": "m-1"}))).code == "busy"
        assert (await refusal(bob.ask("reaction", {"emoji": "x" * 33, "message_id": "m-1"}))).code == "malformed"
        await ann.ask("chat_delete", {"message_id": "m-1"})
        await ann.ask("chat", {"text": "again"}, "m-2")
        await bob.ask("reaction", {"emoji": "🎉", "message_id": "m-2"})


# -- deleting -------------------------------------------------------------------------------------------------


async def test_authors_and_moderators_delete_and_nobody_else(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        moderator = await kit.join("mo", role="moderator")
        for message_id in ("m-1", "m-2", "m-3"):
            await ann.ask("chat", {"text": "delete me"}, message_id)
        assert (await refusal(bob.ask("chat_delete", {"message_id": "m-1"}))).code == "forbidden"
        await ann.ask("chat_delete", {"message_id": "m-1"})
        await moderator.ask("chat_delete", {"message_id": "m-2"})
        assert await kit.call("chat", "delete_message", message_id="m-3") == {"message_id": "m-3"}
        await kit.settle()
        assert bob.all("chat_deleted") == [{"message_id": each} for each in ("m-1", "m-2", "m-3")]
        assert b"delete me" not in kit.fingerprints()["chat"]
        assert await texts(bob) == []
        await kit.restart()
        assert await texts(bob) == []
        assert (await refusal(kit.call("chat", "delete_message", message_id="m-4"))).code == "not_found"


async def test_nobody_deletes_what_somebody_of_their_rank_or_above_has_said(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        mo, other = await kit.join("mo", role="moderator"), await kit.join("mo2", role="moderator")
        host, ann = await kit.join("host", role="host"), await kit.join("ann")
        for guest in (mo, other, host, ann):
            await guest.ask("chat", {"text": "hello"}, f"by {guest.identity}")
        await kit.backend("chat", {"text": "hello"})
        backend = (await kit.call("chat", "list_messages"))["messages"][-1]["message_id"]
        host.leave()
        await kit.settle()
        for message_id in ("by mo2", "by host", backend):
            assert (await refusal(mo.ask("chat_delete", {"message_id": message_id}))).code == "forbidden"
        for message_id in ("by mo", "by ann"):
            await mo.ask("chat_delete", {"message_id": message_id})
        host = await kit.join("host", role="host")
        for message_id in ("by mo2", "by host", backend):
            await host.ask("chat_delete", {"message_id": message_id})


async def test_a_deleted_message_does_not_come_to_life_again(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        await ann.ask("chat", {"text": "hello"}, "m-1")
        await ann.ask("chat_delete", {"message_id": "m-1"})
        session = kit.hall.session
        assert session is not None
        session.answers._answers.clear()  # pyright: ignore[reportPrivateUsage]
        await ann.ask("chat", {"text": "hello"}, "m-1")
        assert await texts(ann) == []
        assert (await refusal(ann.ask("reaction", {"emoji": "x", "message_id": "m-1"}))).code == "not_found"


# -- who may write --------------------------------------------------------------------------------------------


async def test_a_host_closes_the_chat_to_viewers(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, host = await kit.join("ann"), await kit.join("host", role="host")
        moderator = await kit.join("mo", role="moderator")
        assert (await refusal(ann.ask("chat_mode", {"mode": "hosts"}))).code == "forbidden"
        assert (await refusal(moderator.say("/chat hosts"))).code == "forbidden"
        await host.say("/chat hosts")
        assert ann.last("chat_mode") == {"mode": "hosts"}
        assert (await refusal(ann.say("hello"))).code == "forbidden"
        await moderator.say("still here")
        await kit.restart()
        assert (await ann.ask("sync", {}))["chat"] == {"mode": "hosts"}
        assert (await refusal(ann.say("hello"))).code == "forbidden"
        assert (await refusal(kit.backend("chat", {"text": "for her"}, sender_id="ann"))).code == "forbidden"
        await kit.backend("chat", {"text": "by the backend"})
        await host.ask("chat_mode", {"mode": "open"})
        await ann.say("at last")
        assert (await refusal(host.say("/chat nobody"))).code == "malformed"
        assert await texts(ann) == ["still here", "by the backend", "at last"]


# -- reading ----------------------------------------------------------------------------------------------------


async def test_late_joiners_get_the_last_messages_oldest_first(tmp_path: Path) -> None:
    async with hall(tmp_path, history=3) as kit:
        ann = await kit.join("ann")
        for number in range(5):
            await ann.say(str(number))
        late = await kit.join("late")
        state = await late.wait("hall_state")
        assert [message["text"] for message in state["messages"]] == ["2", "3", "4"]
        assert state["chat"] == {"mode": "open"}


async def test_the_oldest_messages_leave_the_state(tmp_path: Path) -> None:
    async with hall(tmp_path, max_messages=3) as kit:
        ann = await kit.join("ann")
        for number in range(5):
            await ann.ask("chat", {"text": f"text {number}"}, f"m-{number}")
        assert await texts(ann) == ["text 2", "text 3", "text 4"]
        assert b"text 1" not in kit.fingerprints()["chat"]
        await kit.restart()
        assert await texts(ann) == ["text 2", "text 3", "text 4"]


async def test_pages_go_back_to_the_beginning(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        for number in range(5):
            await ann.ask("chat", {"text": str(number)} | ({"to": ["bob"]} if number == 1 else {}), f"m-{number}")
        await ann.ask("chat_delete", {"message_id": "m-3"})
        page = await kit.call("chat", "list_messages", limit=2)
        assert [message["text"] for message in page["messages"]] == ["2", "4"]
        page = await kit.call("chat", "list_messages", limit=2, before=page["next_before"])
        assert [message["text"] for message in page["messages"]] == ["0", "1"]
        assert page["messages"][1]["private"] is True
        assert "next_before" not in page
        assert (await refusal(kit.call("chat", "list_messages", before="m-9"))).code == "not_found"
        with pytest.raises(msgspec.ValidationError):
            await kit.call("chat", "list_messages", limit=201)
        told = await bob.ask("chat_history", {"before": "m-2", "limit": 1})
        assert [message["text"] for message in told["messages"]] == ["1"]
        assert told["next_before"] == "m-1"


async def test_history_fits_into_an_envelope(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        for number in range(6):
            await ann.ask("chat", {"text": f"{number}" + "x" * 3999}, f"m-{number}")
        ann.send("chat_history", {})
        found = await ann.wait("chat_history")
        assert [message["message_id"] for message in found["messages"]] == ["m-3", "m-4", "m-5"]
        assert found["next_before"] == "m-3"


async def test_history_tells_the_largest_message(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        guests = [await kit.join(f"guest-{number}") for number in range(30)]
        await guests[0].ask("chat", {"text": "漢" * 4000}, "m-1")
        for guest in guests:
            await guest.ask("reaction", {"emoji": chr(0x1F600 + int(guest.identity[6:])), "message_id": "m-1"})
        guests[0].send("chat_history", {})
        found = await guests[0].wait("chat_history")
        assert len(found["messages"][0]["text"]) == 4000


# -- export -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", '=HYPERLINK("http://x","y")', "＝1"])
async def test_no_cell_of_the_table_is_a_formula(tmp_path: Path, text: str) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("=ann", name="@ann")
        await ann.ask("chat", {"text": text, "reply_to": "-1"}, "+m")
        await ann.ask("reaction", {"emoji": "#️⃣", "message_id": "+m"})
        download = await kit.call("chat", "export_messages", format="csv")
        rows = list(csv.reader(io.StringIO(_content(download).decode())))
        assert len(rows) == 2
        for cell in rows[1]:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
        assert f"'{text}" in rows[1]


async def test_the_table_keeps_lines_and_quotes(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann", name="Ann")
        await ann.ask("chat", {"text": 'one, "two"\nthree'}, "m-1")
        await ann.ask("chat", {"text": "deleted"}, "m-2")
        await ann.ask("chat_delete", {"message_id": "m-2"})
        download = await kit.call("chat", "export_messages", format="csv")
        assert download["content_type"] == "text/csv"  # the server adds the charset, and refuses another one
        table = _content(download)
        (row,) = csv.DictReader(io.StringIO(table.decode(), newline=""))
        assert (row["message_id"], row["sender_id"], row["display_name"]) == ("m-1", "ann", "Ann")
        assert row["text"] == 'one, "two"\nthree'
        lines = _content(await kit.call("chat", "export_messages", format="jsonl")).splitlines()
        assert [msgspec.json.decode(line)["text"] for line in lines] == ['one, "two"\nthree']


def _content(download: Any) -> bytes:
    """What the kit gives of a `Download`: JSON has no bytes."""
    return base64.b64decode(download["content"])


# -- after a restart ----------------------------------------------------------------------------------------------


async def test_all_is_there_after_a_restart_and_nothing_twice(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await kit.join("ann"), await kit.join("bob")
        await ann.ask("chat", {"text": "one"}, "m-1")
        await bob.ask("chat", {"text": "two", "reply_to": "m-1"}, "m-2")
        before = await history(ann)
        await kit.restart()
        await ann.ask("chat", {"text": "one"}, "m-1")
        assert await history(ann) == before
        assert before[1]["reply_to"] == "m-1"
