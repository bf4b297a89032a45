"""One participant does, and suffers, all that the built-in plugins know: what is kept then names them everywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable
from typing import Any

from relay_bot.testing import HallKit, Refused

OTHER = "anna@example.com"
"""Somebody else, of whose identity many others are a part."""
WORDS = "marmalade"
"""In all that the participant says, and in their name."""


async def _try(*steps: Awaitable[Any]) -> None:
    for step in steps:
        with contextlib.suppress(Refused):
            await step


async def live_through(kit: HallKit, who: str) -> None:
    """Have `who` and another be in a hall with all plugins; at the end `who` is gone, the other is still there."""
    host = await kit.join("the host", role="host")
    other = await kit.join(OTHER, name="Anna", role="moderator")
    person = await kit.join(who, name=f"Zoe {WORDS}", role="moderator")
    await _chat(kit, who)
    await _hands(kit, who)
    await _polls(kit, who)
    for action in ("mute", "unmute", "mute", "kick"):
        await _try(kit.call("moderation", "decide", action=action, participant_id=who, reason=WORDS))
        await _try(kit.call("moderation", "decide", action=action, participant_id=OTHER, duration_seconds=600))
        if action == "unmute":
            await kit.until(lambda: not kit.hall.owed_effects())
    kit.room.failing = True
    person = await kit.join(who, name=f"Zoe {WORDS}") if who not in kit.room.guests else person
    other = await kit.join(OTHER, name="Anna") if OTHER not in kit.room.guests else other
    for identity in (who, OTHER):
        await _try(
            kit.call("moderation", "decide", action="mute", participant_id=identity, duration_seconds=900),
            host.ask("guest_invite", {"participant_id": identity}),
            host.ask("guest_promote", {"participant_id": identity}),
        )
    await _try(host.say(f"/unmute {OTHER}"), host.say(f"/ban {who} 2h {WORDS}"))
    for identity in (who, OTHER):
        await kit.call("moderation", "decide", action="ban", participant_id=identity, duration_seconds=7200)
    await kit.settle()


async def _chat(kit: HallKit, who: str) -> None:
    guests = kit.room.guests
    person, other = guests[who], guests[OTHER]
    await _try(
        person.ask("chat", {"text": f"{WORDS} for all"}, "a-message-of-theirs-1"),
        person.ask("chat", {"text": f"{WORDS} for one", "to": [OTHER]}, "a-message-of-theirs-2"),
        other.ask("chat", {"text": "for one", "to": [who]}, "a-message-of-others-1"),
        other.ask("chat", {"text": "for all"}, "a-message-of-others-2"),
        person.ask("reaction", {"emoji": "👍", "message_id": "a-message-of-others-2"}),
        other.ask("reaction", {"emoji": "👍", "message_id": "a-message-of-others-2"}),
        other.ask("reaction", {"emoji": "👍", "message_id": "a-message-of-theirs-1"}),
        person.ask("chat", {"text": f"{WORDS} for none"}, "a-message-of-theirs-3"),
        person.ask("chat_delete", {"message_id": "a-message-of-theirs-3"}),
        kit.backend("chat", {"text": f"{WORDS} relayed"}, sender_id=who),
        kit.backend("chat", {"text": "for one"}, to=[who]),
        guests["the host"].ask("announcement", {"text": "for two", "to": [who, OTHER]}),
        guests["the host"].ask("chat_mode", {"mode": "hosts"}),
        guests["the host"].ask("chat_mode", {"mode": "open"}),
        kit.backend("announcement", {"text": WORDS, "duration_seconds": 600}, sender_id=who),
    )


async def _hands(kit: HallKit, who: str) -> None:
    host, guests = kit.room.guests["the host"], kit.room.guests
    for identity in (who, OTHER):
        said = WORDS if identity == who else "a topic"
        await _try(
            guests[identity].ask("hand_raise", {"raised": True, "topic": said}),
            guests[identity].ask("hand_raise", {"raised": True, "topic": f"{said} again"}),
            host.ask("hand_move", {"participant_id": identity, "position": 1}),
            guests[identity].ask("speaking", {"speaking": True}),
            guests[identity].ask("speaking", {"speaking": False}),
            host.ask("guest_invite", {"participant_id": identity, "duration_seconds": 600}),
            guests[identity].ask("guest_invite_response", {"accepted": True}),
            host.ask("guest_demote", {"participant_id": identity}),
            guests[identity].ask("hand_raise", {"raised": True, "topic": said}),
            guests[identity].ask("hand_raise", {"raised": False}),
            guests[identity].ask("hand_raise", {"raised": True, "topic": said}),
            host.ask("guest_promote", {"participant_id": identity, "duration_seconds": 600}),
        )
        await kit.settle()
        name = guests[identity].presence.name
        guests[identity].leave()
        await kit.settle()
        await kit.join(identity, name=name, role="moderator")
        await _try(guests[identity].ask("hand_raise", {"raised": True, "topic": said}))


async def _polls(kit: HallKit, who: str) -> None:
    host, guests = kit.room.guests["the host"], kit.room.guests
    asked: list[dict[str, Any]] = [
        {"poll_id": "open"},
        {"poll_id": "text", "kind": "text", "options": []},
        {"poll_id": "weighed", "weights": {"identities": {who: 2, OTHER: 3}, "roles": {"host": 2}}},
        {"poll_id": "for some", "eligible": {"identities": [who, OTHER], "roles": ["moderator"]}},
        {"poll_id": "quiz", "kind": "quiz", "correct": [0]},
        {"poll_id": "suggest", "user_options": "approval"},
        {"poll_id": "sealed", "anonymous": True},
        {"poll_id": "sealed too", "anonymous": True, "user_options": "free"},
    ]
    for fields in asked:
        poll_id = fields["poll_id"]
        await _try(host.ask("poll", {"question": "Which?", "options": ["a", "b"], **fields}))
        for identity in (who, OTHER):
            answer = {"text": WORDS if identity == who else "tea"} if poll_id == "text" else {"option": 1}
            await _try(
                guests[identity].ask("poll_response", {"poll_id": poll_id, **answer}),
                guests[identity].ask("poll_option", {"poll_id": poll_id, "text": f"one of {identity == who}"}),
            )
        if poll_id in ("quiz", "sealed"):
            await _try(host.ask("poll_close", {"poll_id": poll_id}))
    named = {"question": "Two of us?", "options": ["a", "b"], "eligible": {"identities": [who, OTHER]}}
    await _try(
        kit.backend("poll", {**named, "poll_id": "sent to two"}, to=[who, OTHER]),
        host.ask("poll", {**named, "poll_id": "later", "state": "draft"}),
        host.ask("poll_save", {"template": "of two", "poll_id": "for some"}),
        guests[who].ask("poll_response", {"poll_id": "weighed", "option": 0}),
    )
