"""In-conference chat: `{id, type: "chat" | "reaction", …}` (reference: chat)."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from relay_bot.wire.dialects.packet import LoosePacket, Spoken


def read(packet: LoosePacket) -> Spoken | None:
    """Read a chat message or a reaction from a participant."""
    if packet.type == "chat" and packet.text is not None and packet.senderId:
        payload: dict[str, Any] = {"text": packet.text}
        if packet.senderName:
            payload["display_name"] = packet.senderName
        if packet.isPrivate:
            payload["private"] = True
        return Spoken("chat", "chat", payload, packet.id or None, packet.senderId)
    if packet.type == "reaction" and packet.targetMessageId and packet.emoji:
        payload = {"emoji": packet.emoji, "message_id": packet.targetMessageId}
        return Spoken("chat", "reaction", payload, packet.id or None, packet.senderId or None)
    return None


def say(kind: str, payload: Mapping[str, Any], *, sender: tuple[str, str], at_ms: int) -> bytes | None:
    """Say a chat message, an announcement or a reaction to a message; there is no word for anything else."""
    if kind == "reaction" and payload.get("message_id"):
        return msgspec.json.encode(
            {
                "type": "reaction",
                "targetMessageId": payload["message_id"],
                "emoji": payload.get("emoji", ""),
                "senderName": sender[1],
            }
        )
    if kind not in ("chat", "announcement"):
        return None
    return msgspec.json.encode(
        {
            "id": payload.get("message_id") or str(uuid.uuid4()),
            "type": "chat",
            "text": payload.get("text", ""),
            "senderName": sender[1],
            "senderId": sender[0],
            "timestamp": at_ms,
            "isPrivate": bool(payload.get("to")),
        }
    )
