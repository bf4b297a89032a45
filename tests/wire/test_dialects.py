"""The other published dialects: every example of theirs is understood, and what they have words for is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_bot.wire.dialects import DIALECTS, Spoken, recognise, say
from relay_bot.wire.dialects.livekit_chat import TOPIC, read_stream

ALL = frozenset(DIALECTS)
SHOW = {"senderId": "viewer-123", "senderName": "John Viewer", "timestamp": 1704067200000}
CHAT = {"senderId": "john-doe", "senderName": "John Doe", "timestamp": 1704067200000}


def heard(packet: dict[str, Any], topic: str = "", enabled: frozenset[str] = ALL) -> Spoken | None:
    return recognise(json.dumps(packet).encode(), topic, enabled)


# The packets of the published texts, and what each means in the envelope's words.
SHOW_EXAMPLES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"type": "hand_raise"}, "hand_raise", {"raised": True}),
    ({"type": "hand_lower"}, "hand_raise", {"raised": False}),
    (
        {"type": "guest_invite", "targetParticipantId": "viewer-7", "targetParticipantName": "Ann"},
        "guest_invite",
        {"participant_id": "viewer-7"},
    ),
    ({"type": "guest_invite_response", "accepted": True}, "guest_invite_response", {"accepted": True}),
    ({"type": "guest_invite_response", "accepted": False}, "guest_invite_response", {"accepted": False}),
    ({"type": "chat_message", "message": "hello"}, "chat", {"text": "hello", "display_name": "John Viewer"}),
    ({"type": "chat_message", "text": "hello"}, "chat", {"text": "hello", "display_name": "John Viewer"}),
    ({"type": "hand_lower", "targetParticipantId": "ann"}, "hand_raise", {"raised": False, "participant_id": "ann"}),
    ({"type": "hand_lower", "targetParticipantId": "viewer-123"}, "hand_raise", {"raised": False}),
]


@pytest.mark.parametrize(("packet", "kind", "payload"), SHOW_EXAMPLES)
def test_the_show_is_understood(packet: dict[str, Any], kind: str, payload: dict[str, Any]) -> None:
    assert heard(SHOW | packet) == Spoken("show", kind, payload, None, "viewer-123")


@pytest.mark.parametrize("missing", ["senderId", "timestamp"])
def test_a_packet_without_what_the_show_always_sends_is_not_the_show(missing: str) -> None:
    packet = SHOW | {"type": "hand_raise"}
    del packet[missing]
    assert heard(packet) is None


@pytest.mark.parametrize("kind", ["guest_promoted", "guest_demoted", "guest_invite", "guest_invite_response", "dance"])
def test_what_only_the_bot_says_or_is_incomplete_is_not_taken_from_a_participant(kind: str) -> None:
    assert heard(SHOW | {"type": kind}) is None


def test_a_chat_message_is_understood() -> None:
    packet = CHAT | {"id": "5a0e", "type": "chat", "text": "hi", "isPrivate": False}
    assert heard(packet) == Spoken("chat", "chat", {"text": "hi", "display_name": "John Doe"}, "5a0e", "john-doe")


def test_a_private_chat_message_is_marked() -> None:
    spoken = heard(CHAT | {"id": "5a0e", "type": "chat", "text": "hi", "isPrivate": True})
    assert spoken is not None
    assert spoken.payload["private"] is True


def test_a_reaction_is_understood_and_claims_nobody() -> None:
    packet = {"type": "reaction", "targetMessageId": "5a0e", "emoji": "👍", "senderName": "John Doe"}
    assert heard(packet) == Spoken("chat", "reaction", {"emoji": "👍", "message_id": "5a0e"}, None, None)


def test_livekits_own_chat_packet_is_understood_whatever_is_enabled() -> None:
    packet = {"id": "5a0e", "timestamp": 1704067200000, "message": "hi", "ignoreLegacy": True}
    assert heard(packet, TOPIC, frozenset()) == Spoken("livekit_chat", "chat", {"text": "hi"}, "5a0e", None)
    assert heard(packet) is None


def test_livekits_text_stream_and_packet_are_one_message() -> None:
    packet = heard({"id": "5a0e", "timestamp": 1704067200000, "message": "hi"}, TOPIC)
    assert read_stream("hi", "5a0e") == packet


@pytest.mark.parametrize("name", ["show", "chat"])
def test_a_dialect_that_is_not_enabled_is_not_understood(name: str) -> None:
    packet = SHOW | {"type": "hand_raise"} if name == "show" else CHAT | {"id": "1", "type": "chat", "text": "hi"}
    assert heard(packet) is not None
    assert heard(packet, enabled=ALL - {name}) is None


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("chat", {"text": "hi"}, {"type": "chat_message", "message": "hi"}),
        ("announcement", {"text": "hi"}, {"type": "chat_message", "message": "hi"}),
        (
            "guest_promoted",
            {"participant_id": "ann", "display_name": "Ann"},
            {"type": "guest_promoted", "targetParticipantId": "ann", "targetParticipantName": "Ann"},
        ),
        (
            "guest_demoted",
            {"participant_id": "ann"},
            {"type": "guest_demoted", "targetParticipantId": "ann", "targetParticipantName": ""},
        ),
        (
            "guest_invite",
            {"participant_id": "ann"},
            {"type": "guest_invite", "targetParticipantId": "ann", "targetParticipantName": ""},
        ),
        ("hand_raise", {"raised": True}, {"type": "hand_raise"}),
        ("hand_raise", {"raised": False}, {"type": "hand_lower"}),
        (
            "hand_raise",
            {"raised": False, "participant_id": "ann"},
            {"type": "hand_lower", "targetParticipantId": "ann"},
        ),
        (
            "guest_invite_response",
            {"participant_id": "ann", "display_name": "Ann", "accepted": False},
            {"type": "guest_invite_response", "accepted": False},
        ),
    ],
)
def test_the_show_is_spoken(kind: str, payload: dict[str, Any], said: dict[str, Any]) -> None:
    data = say("show", kind, payload, sender=("relay-bot", "Relay"), at_ms=1704067200000)
    assert data is not None
    assert json.loads(data) == {"senderId": "relay-bot", "senderName": "Relay", "timestamp": 1704067200000} | said


def test_chat_is_spoken() -> None:
    data = say("chat", "chat", {"text": "hi", "message_id": "m1"}, sender=("ann", "Ann"), at_ms=5)
    assert data is not None
    assert json.loads(data) == {
        "id": "m1",
        "type": "chat",
        "text": "hi",
        "senderName": "Ann",
        "senderId": "ann",
        "timestamp": 5,
        "isPrivate": False,
    }


def test_chat_of_the_bot_itself_has_an_id_and_may_be_private() -> None:
    data = say("chat", "announcement", {"text": "hi", "to": ["ann"]}, sender=("relay-bot", "Relay"), at_ms=5)
    assert data is not None
    said = json.loads(data)
    assert said["id"]
    assert said["isPrivate"] is True


def test_a_reaction_to_a_message_is_spoken_in_chat() -> None:
    data = say("chat", "reaction", {"emoji": "👍", "message_id": "5a0e"}, sender=("john-doe", "John Doe"), at_ms=5)
    assert data is not None
    assert json.loads(data) == {
        "type": "reaction", "targetMessageId": "5a0e", "emoji": "👍", "senderName": "John Doe",
    }  # fmt: skip
    assert say("chat", "reaction", {"emoji": "👍"}, sender=("john-doe", "John Doe"), at_ms=5) is None


@pytest.mark.parametrize("name", ["show", "chat"])
def test_a_dialect_has_no_word_for_a_poll(name: str) -> None:
    assert say(name, "poll", {"question": "Tea?"}, sender=("relay-bot", "Relay"), at_ms=5) is None


def test_what_is_spoken_is_understood_again() -> None:
    for name in DIALECTS:
        data = say(name, "chat", {"text": "hi"}, sender=("ann", "Ann"), at_ms=5)
        assert data is not None
        spoken = recognise(data, "", ALL)
        assert spoken is not None
        assert (spoken.dialect, spoken.kind, spoken.payload["text"], spoken.claimed) == (name, "chat", "hi", "ann")


_values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["chat", "hand_raise"])
_fields = ["type", "id", "senderId", "timestamp", "text", "message", "targetMessageId", "emoji", "accepted"]


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=100) | st.dictionaries(st.sampled_from(_fields), _values).map(lambda p: json.dumps(p).encode()),
    st.sampled_from(["", TOPIC]),
)
def test_whatever_comes_is_understood_or_not_ours(data: bytes, topic: str) -> None:
    spoken = recognise(data, topic, ALL)
    assert spoken is None or spoken.kind in ("chat", "reaction", "hand_raise", "guest_invite", "guest_invite_response")
