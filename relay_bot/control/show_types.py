"""What the Interactive Show's API takes and gives, with the published names."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from relay_bot.wire.body import Request

# What a body must have is checked by the operations, which say what is missing in the text's own words.
Name = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "string", "minLength": 1, "maxLength": 256})]
JoinRole = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "string", "enum": ["host", "viewer"]})]
Proof = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "string"})]
Switch = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "boolean"})]


class ShowError(msgspec.Struct, frozen=True):
    """Every error has this form."""

    error: str


class ShowJoin(Request, frozen=True, rename="camel", forbid_unknown_fields=False):
    """Who joins which room. `role`: host or viewer; guests are made by an invitation."""

    needed: ClassVar = ("roomName", "participantName", "role")
    room_name: Name = None
    participant_name: Name = None
    role: JoinRole = None
    participant_token: Proof = None
    """Ours: a token that this participant was given before, for the same room and name. With it they come back as
    themselves; without it a name that is taken is given with a number behind it."""


class ShowRoom(Request, frozen=True, rename="camel"):
    """A room, by the path."""

    room_name: str


class ShowParticipant(Request, frozen=True, rename="camel"):
    """Someone in a room, by the path."""

    room_name: str
    identity: str


class ShowInvite(Request, frozen=True, rename="camel", forbid_unknown_fields=False):
    """The host and the viewer who is to be a guest."""

    needed: ClassVar = ("viewerIdentity", "hostIdentity")
    room_name: str
    viewer_identity: Name = None
    host_identity: Name = None


class ShowGuest(Request, frozen=True, rename="camel", forbid_unknown_fields=False):
    """The host, and the guest whom it concerns."""

    needed: ClassVar = ("guestIdentity", "hostIdentity")
    room_name: str
    guest_identity: Name = None
    host_identity: Name = None


class ShowHand(Request, frozen=True, rename="camel", forbid_unknown_fields=False):
    """Whose hand it is, and whether it is up."""

    needed: ClassVar = ("participantIdentity", "raised")
    room_name: str
    participant_identity: Name = None
    raised: Switch = None


class ShowJoined(msgspec.Struct, frozen=True, rename="camel"):
    """The token to join with, and where."""

    token: str
    ws_url: str
    room_name: str
    role: str


class ShowListed(msgspec.Struct, frozen=True, rename="camel"):
    """An active room; the time is in seconds since 1970."""

    name: str
    sid: str
    num_participants: int
    creation_time: str


class ShowRooms(msgspec.Struct, frozen=True, rename="camel"):
    """The active rooms."""

    rooms: list[ShowListed]


class ShowDetails(msgspec.Struct, frozen=True, rename="camel"):
    """A room, and whether it has a host and a guest."""

    name: str
    sid: str
    num_participants: int
    has_host: bool
    has_guest: bool


class ShowInfo(msgspec.Struct, frozen=True, rename="camel"):
    """One room."""

    room: ShowDetails


class ShowPerson(msgspec.Struct, frozen=True, rename="camel"):
    """Someone in a room; the time is in seconds since 1970."""

    sid: str
    identity: str
    name: str
    metadata: str
    joined_at: str


class ShowPeople(msgspec.Struct, frozen=True, rename="camel"):
    """Who is in a room."""

    participants: list[ShowPerson]


class ShowDone(msgspec.Struct, frozen=True, rename="camel"):
    """It is done."""

    success: bool


class ShowChanged(msgspec.Struct, frozen=True, rename="camel"):
    """It is done, and the participant may join again with this token."""

    success: bool
    token: str
    ws_url: str
    message: str


class ShowRemoved(msgspec.Struct, frozen=True, rename="camel"):
    """It is done."""

    success: bool
    message: str


class ShowHandRaised(msgspec.Struct, frozen=True, rename="camel"):
    """Whether the hand is up now."""

    success: bool
    hand_raised: bool
