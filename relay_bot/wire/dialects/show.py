"""The Interactive Show's messages: `{type, senderId, senderName, timestamp}` (reference: interactive-show)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from relay_bot.wire.dialects.packet import LoosePacket, Spoken


class _Metadata(msgspec.Struct, frozen=True):
    role: str
    displayName: str  # noqa: N815  (the published name)


_metadata = msgspec.json.Decoder(_Metadata)


def is_spoken_by(metadata: str) -> bool:
    """Tell whether a participant's metadata is the show's: `{"role":"host","displayName":"John Doe"}`."""
    if not metadata.startswith("{"):
        return False
    try:
        _metadata.decode(metadata)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def read(packet: LoosePacket) -> Spoken | None:
    """Read one of the show's messages from a participant."""
    if not packet.has("senderId") or not packet.has("timestamp"):
        return None
    target, accepted = packet.text("targetParticipantId"), packet.flag("accepted")
    said = packet.text("message") or packet.text("text")
    match packet.type:
        case "hand_raise" | "hand_lower":
            payload: dict[str, Any] = {"raised": packet.type == "hand_raise"}
            if packet.type == "hand_lower" and target and target != packet.sender:
                payload["participant_id"] = target
            kind = "hand_raise"
        case "guest_invite" if target:
            kind, payload = "guest_invite", {"participant_id": target}
        case "guest_invite_response" if accepted is not None:
            kind, payload = "guest_invite_response", {"accepted": accepted}
        case "chat_message" if packet.has("message", "text"):
            kind, payload = "chat", {"text": said}
            if packet.text("senderName"):
                payload["display_name"] = packet.text("senderName")[:256]
        case _:
            return None
    return Spoken("show", kind, payload, packet.id, packet.sender)


def say(kind: str, payload: Mapping[str, Any], *, sender: tuple[str, str], at_ms: int) -> bytes | None:
    """Say a type of the envelope's as the show's message, where the show has one."""
    said: dict[str, Any] = {"senderId": sender[0], "senderName": sender[1], "timestamp": at_ms}
    match kind:
        case "chat" | "announcement":
            said |= {"type": "chat_message", "message": payload.get("text", "")}
        case "guest_invite" | "guest_promoted" | "guest_demoted":
            said |= {
                "type": kind,
                "targetParticipantId": payload.get("participant_id", ""),
                "targetParticipantName": payload.get("display_name", ""),
            }
        case "guest_invite_response":
            said |= {"type": kind, "accepted": payload.get("accepted") is True}
        case "hand_raise":
            said["type"] = "hand_raise" if payload.get("raised") is True else "hand_lower"
            if payload.get("participant_id"):
                said["targetParticipantId"] = payload["participant_id"]
        case _:
            return None
    return msgspec.json.encode(said)
