"""What the dialects have in common: one loose reading of a packet, and what it meant."""

from typing import Any

import msgspec


class LoosePacket(msgspec.Struct, frozen=True):
    """All the fields that any dialect has; each says for itself which it needs."""

    type: str = ""
    id: str = ""
    senderId: str = ""  # noqa: N815  (the published names)
    senderName: str = ""  # noqa: N815
    timestamp: float | str | None = None
    text: str | None = None
    message: str | None = None
    isPrivate: bool = False  # noqa: N815
    targetMessageId: str = ""  # noqa: N815
    emoji: str = ""
    targetParticipantId: str = ""  # noqa: N815
    accepted: bool | None = None


class Spoken(msgspec.Struct, frozen=True):
    """A dialect's packet, as the envelope's type and payload. `claimed` is who it says it is from."""

    dialect: str
    kind: str
    payload: dict[str, Any]
    id: str | None
    claimed: str | None
