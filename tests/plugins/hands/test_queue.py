"""The queue: raise, lower, order, grace, and what is told to whom."""

import asyncio
from pathlib import Path

import pytest

from relay_bot.plugin import Track
from relay_bot.testing import HallKit
from tests.plugins.hands.support import Clock, hall, queue, raised, refusal


async def test_hands_stand_in_the_order_of_their_raising(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host")
        await raised(kit, "ann", "bob", "cy")
        pushed = await host.wait("hand_queue", lambda said: len(said["queue"]) == 3)
        assert [hand["participant_id"] for hand in pushed["queue"]] == ["ann", "bob", "cy"]
        assert pushed["queue"][0] == {
            "participant_id": "ann",
            "display_name": "Ann",
            "position": 1,
            "raised_at": pushed["queue"][0]["raised_at"],
        }
        assert pushed["on_stage"] == []
        assert pushed["seq"] > 0


async def test_raising_again_keeps_the_place(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, _ = await raised(kit, "ann", "bob")
        before = await kit.call("hands", "list_hands")
        assert await ann.ask("hand_raise", {"raised": True}) == {"raised": True, "position": 1}
        assert await kit.call("hands", "list_hands") == before


async def test_each_raiser_hears_their_own_place_and_not_the_queue(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, bob = await raised(kit, "ann", "bob")
        await bob.wait("hand_position", lambda said: said["position"] == 2)
        await ann.ask("hand_raise", {"raised": False})
        moved = await bob.wait("hand_position", lambda said: said["position"] == 1)
        assert (moved["raised"], moved["total"]) == (True, 1)
        gone = await ann.wait("hand_position", lambda said: not said["raised"])
        assert (gone["position"], gone["reason"]) == (None, "own")
        assert not bob.all("hand_queue")


async def test_lowering_what_is_not_up_is_refused(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        assert (await refusal(ann.ask("hand_raise", {"raised": False}))).code == "not_raised"


async def test_only_hosts_and_moderators_lower_others(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await raised(kit, "ann", "bob", "cy")
        viewer = await kit.join("vic")
        moderator = await kit.join("mo", role="moderator")
        lower = {"raised": False, "participant_id": "ann"}
        assert (await refusal(viewer.ask("hand_raise", lower))).code == "forbidden"
        assert await queue(kit) == ["ann", "bob", "cy"]
        await moderator.ask("hand_raise", lower)
        assert await queue(kit) == ["bob", "cy"]
        await kit.backend("hand_raise", {"raised": False, "participant_id": "bob"})
        assert await queue(kit) == ["cy"]
        assert (await refusal(moderator.ask("hand_raise", {"raised": True, "participant_id": "vic"}))).code == (
            "forbidden"
        )


async def test_a_backend_raises_and_lowers_for_the_participant_it_names(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann", name="Ann")
        await kit.backend("hand_raise", {"raised": True}, sender_id="ann")
        assert await ann.wait("hand_raise") == {"raised": True}  # the published interaction still reaches everybody
        assert await queue(kit) == ["ann"]
        await kit.backend("hand_raise", {"raised": False}, sender_id="ann")
        assert await queue(kit) == []
        nobody = await refusal(kit.backend("hand_raise", {"raised": True}))
        assert (nobody.code, nobody.payload["field"]) == ("malformed", "payload.participant_id")


async def test_a_backends_raiser_who_never_comes_loses_the_place(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, grace_seconds=60) as kit:
        await kit.backend("hand_raise", {"raised": True}, sender_id="ghost")
        assert (await kit.call("hands", "list_hands"))["queue"][0]["away"] is True
        await clock.advance(kit, 61)
        assert await queue(kit) == []


async def test_one_who_raises_a_hand_before_they_are_known_of_keeps_it(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, grace_seconds=0) as kit:
        ann = await kit.join("ann", known=False)
        asking = asyncio.create_task(ann.ask("hand_raise", {"raised": True}))
        await asyncio.sleep(0.05)
        kit.announce("ann")
        await asking
        await clock.advance(kit, 30)
        assert [hand.get("away") for hand in (await kit.call("hands", "list_hands"))["queue"]] == [None]


async def test_an_inferred_sender_lowers_no_certain_hand(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await raised(kit, "ann")
        ann.leave()
        ann = await kit.join("ann", known=False)
        ann.send("hand_raise", {"raised": False}, "forged-or-not-0001", certain=False)
        kit.announce("ann")
        await ann.wait("error", lambda said: said["code"] == "sender_unknown")
        assert await queue(kit) == ["ann"]
        await ann.ask("hand_raise", {"raised": False})
        assert await queue(kit) == []


async def test_a_raiser_who_drops_keeps_the_place_for_the_grace(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, grace_seconds=60) as kit:
        ann, _ = await raised(kit, "ann", "bob")
        ann.leave()
        await kit.settle()
        await clock.advance(kit, 50)
        assert (await kit.call("hands", "list_hands"))["queue"][0]["away"] is True
        ann = await kit.join("ann")
        await clock.advance(kit, 50)
        assert await queue(kit) == ["ann", "bob"]
        assert ann.last("hall_state")["hand"]["position"] == 1
        ann.leave()
        await kit.settle()
        await clock.advance(kit, 61)
        assert await queue(kit) == ["bob"]


async def test_one_who_left_while_the_bot_was_away_is_found_gone(tmp_path: Path, clock: Clock) -> None:
    async with hall(tmp_path, grace_seconds=60) as kit:
        ann, _ = await raised(kit, "ann", "bob")
        kit.room.sinks.clear()  # the bot does not hear of it
        ann.leave()
        await kit.restart()
        await kit.settle()
        await clock.advance(kit, 50)
        assert await queue(kit) == ["ann", "bob"]
        await clock.advance(kit, 11)
        assert await queue(kit) == ["bob"]


async def test_the_queue_survives_a_restart(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host")
        await raised(kit, "ann", "bob", "cy")
        await host.ask("hand_move", {"participant_id": "cy", "position": 1})
        await host.ask("hands_open", {"open": False})
        before = kit.fingerprints()["hands"]
        await kit.restart()
        assert kit.fingerprints()["hands"] == before
        assert await queue(kit) == ["cy", "ann", "bob"]


async def test_hosts_put_hands_into_another_order(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await raised(kit, "ann", "bob", "cy")
        await kit.call("hands", "move_hand", participant_id="ann", position=3)
        assert await queue(kit) == ["bob", "cy", "ann"]
        await kit.call("hands", "move_hand", participant_id="ann", position=2)
        assert await queue(kit) == ["bob", "ann", "cy"]
        far = await refusal(kit.call("hands", "move_hand", participant_id="ann", position=4))
        assert (far.code, far.payload["field"]) == ("malformed", "position")
        nobody = await refusal(kit.call("hands", "move_hand", participant_id="zoe", position=1))
        assert (nobody.code, nobody.payload["field"]) == ("not_raised", "participant_id")
        assert await queue(kit) == ["bob", "ann", "cy"]


async def test_lower_one_or_all_over_http(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, _, cy = await raised(kit, "ann", "bob", "cy")
        left = await kit.call("hands", "lower_hand", participant_id="bob")
        assert [hand["participant_id"] for hand in left["queue"]] == ["ann", "cy"]
        assert (await refusal(kit.call("hands", "lower_hand"))).payload["field"] == "participant_id"
        assert (await refusal(kit.call("hands", "lower_hand", participant_id="ann", all=True))).code == "malformed"
        assert (await kit.call("hands", "lower_hand", all=True))["queue"] == []
        for guest in (ann, cy):
            await guest.wait("hand_position", lambda said: said.get("reason") == "lowered")


async def test_a_closed_queue_takes_no_hands_and_keeps_those_that_are_up(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann, _ = await raised(kit, "ann", "bob")
        assert (await kit.call("hands", "close_hands"))["open"] is False
        cy = await kit.join("cy")
        assert (await refusal(cy.ask("hand_raise", {"raised": True}))).code == "forbidden"
        await ann.ask("hand_raise", {"raised": True})
        assert await queue(kit) == ["ann", "bob"]
        await kit.call("hands", "open_hands")
        await cy.ask("hand_raise", {"raised": True})
        assert await queue(kit) == ["ann", "bob", "cy"]


async def test_a_full_queue_says_so(tmp_path: Path) -> None:
    async with hall(tmp_path, max_hands=2) as kit:
        await raised(kit, "ann", "bob")
        cy = await kit.join("cy")
        assert (await refusal(cy.ask("hand_raise", {"raised": True}))).code == "busy"
        assert await queue(kit) == ["ann", "bob"]


async def test_topics_are_checked_and_some_go_first(tmp_path: Path) -> None:
    async with hall(tmp_path, topics=["question", "reply"], first_topics=["reply"]) as kit:
        await raised(kit, "ann", "bob", topic="question")
        await raised(kit, "cy", "dee", topic="reply")
        assert await queue(kit) == ["cy", "dee", "ann", "bob"]
        eve = await kit.join("eve")
        bad = await refusal(eve.ask("hand_raise", {"raised": True, "topic": "rant"}))
        assert (bad.code, bad.payload["field"]) == ("malformed", "payload.topic")


async def test_late_hosts_get_the_queue_and_late_raisers_their_place(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await raised(kit, "ann", "bob")
        host = await kit.join("host", role="host")
        assert [hand["participant_id"] for hand in host.last("hall_state")["hand_queue"]["queue"]] == ["ann", "bob"]
        viewer = await kit.join("vic")
        assert viewer.last("hall_state")["hand"]["raised"] is False
        assert "hand_queue" not in viewer.last("hall_state")


async def test_the_shows_messages_drive_the_same_queue(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        ann = await kit.join("ann")
        say_as_show(kit, ann.identity, "hand_raise")
        await kit.settle()
        assert await queue(kit) == ["ann"]
        say_as_show(kit, ann.identity, "hand_lower")
        await kit.settle()
        assert await queue(kit) == []


def say_as_show(kit: HallKit, identity: str, kind: str, **fields: object) -> None:
    import time

    import msgspec

    from relay_bot.link import Frame

    packet = {"type": kind, "senderId": identity, "senderName": identity, "timestamp": 1704067200000} | fields
    kit.room.tell(Frame(msgspec.json.encode(packet), identity, time.monotonic()))


async def test_a_topic_of_which_nothing_can_be_seen_is_refused(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        (ann,) = await raised(kit, "ann")
        for topic in ("\u2800", "\u3164", "\U000e0067\U000e007f", "\u200b"):
            refused = await refusal(ann.ask("hand_raise", {"raised": True, "topic": topic}))
            assert (refused.code, refused.payload["field"]) == ("malformed", "payload.topic")


async def test_a_topic_of_the_settings_is_found_however_it_is_written(tmp_path: Path) -> None:
    async with hall(tmp_path, topics=["Café  talk"]) as kit:
        host = await kit.join("host", role="host")
        ann = await kit.join("ann")
        await ann.ask("hand_raise", {"raised": True, "topic": "cafe\u0301 TALK "})
        assert (await host.wait("hand_queue"))["queue"][0]["topic"] == "Café  talk"


@pytest.mark.parametrize("role", ["host", "moderator"])
@pytest.mark.parametrize("door", ["packet", "rpc"])
async def test_the_published_way_to_lower_a_hand(tmp_path: Path, role: str, door: str) -> None:
    """The host sends the same event as the raiser did, with `raised: false`: in the raiser's name, as it came."""
    async with hall(tmp_path) as kit:
        chief = await kit.join("chief", role=role)
        await raised(kit, "ann", "bob")
        if door == "rpc":
            await chief.ask("hand_raise", {"raised": False}, claims="ann")
        else:
            chief.send("hand_raise", {"raised": False}, claims="ann")
            await kit.settle()
        assert await queue(kit) == ["bob"]


@pytest.mark.parametrize("role", ["", "speaker"])
async def test_anybody_elses_claim_is_nothing(tmp_path: Path, role: str) -> None:
    async with hall(tmp_path) as kit:
        await raised(kit, "ann")
        mallory = await kit.join("mallory", role=role)
        await mallory.ask("hand_raise", {"raised": True})
        await mallory.ask("hand_raise", {"raised": False}, claims="ann")
        assert await queue(kit) == ["ann"]
        assert (await refusal(mallory.ask("hand_raise", {"raised": False}, claims="ann"))).code == "not_raised"


async def test_a_claim_of_a_host_raises_no_hand_and_goes_by_rank(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        mo, host = await kit.join("mo", role="moderator"), await kit.join("host", role="host")
        await kit.join("ann")
        await mo.ask("hand_raise", {"raised": True}, claims="ann")
        assert await queue(kit) == ["mo"]
        await host.ask("hand_raise", {"raised": True})
        assert (await refusal(mo.ask("hand_raise", {"raised": False}, claims="host"))).code == "forbidden"
        late = await kit.join("late", role="host", known=False)
        late.send("hand_raise", {"raised": False}, "m-1", certain=False)
        kit.announce("late")
        assert (await late.wait("error"))["code"] == "not_raised"
        assert await queue(kit) == ["mo", "host"]


async def test_only_a_microphone_lowers_a_hand(tmp_path: Path) -> None:
    async with hall(tmp_path, auto_lower_seconds=0.05) as kit:
        (ann,) = await raised(kit, "ann")
        shared = Track("TR_screen", "audio", "screen_share_audio", False)
        ann._change(tracks=(shared,))  # pyright: ignore[reportPrivateUsage]
        await kit.settle()
        assert kit.hall.session is not None
        assert not any("has_spoken" in name for name in kit.hall.session.core.timers)
        ann._change(tracks=(shared, Track("TR_mic", "audio", "microphone", False)))  # pyright: ignore[reportPrivateUsage]
        await kit.until(lambda: kit.hall.summary()["hands"]["raised"] == 0)


async def test_who_is_made_a_moderator_hears_the_queue_at_once(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        await raised(kit, "ann", "bob")
        vic = await kit.join("vic")
        assert not vic.all("hand_queue")
        vic._change(attributes={"relay.role": "moderator"})  # pyright: ignore[reportPrivateUsage]
        told = await vic.wait("hand_queue")
        assert [hand["participant_id"] for hand in told["queue"]] == ["ann", "bob"]
