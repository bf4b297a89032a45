"""In-conference chat: `{id, type: "chat" | "reaction", …}` (reference: chat)."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from relay_bot.wire.dialects.packet import LoosePacket, Spoken


def read(packet: LoosePacket) -> Spoken | None:
    """Read a chat message or a reaction from a participant."""
    text = packet.text_or_none("text")
    if packet.type == "chat" and text is not None and packet.has("id", "senderId", "senderName"):
        payload: dict[str, Any] = {"text": text}
        if packet.text("senderName"):
            payload["display_name"] = packet.text("senderName")[:256]
        if packet.flag("isPrivate"):
            payload["private"] = True
        return Spoken("chat", "chat", payload, packet.id, packet.sender)
    if packet.type == "reaction" and packet.text("targetMessageId") and packet.text("emoji"):
        payload = {"emoji": packet.text("emoji"), "message_id": packet.text("targetMessageId")}
        return Spoken("chat", "reaction", payload, packet.id, packet.sender)
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
