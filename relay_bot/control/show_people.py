"""Who is who in a show: roles by the rules of the roster, and the fresh token of one whose role has changed."""

from __future__ import annotations

import json
from typing import Any, cast

from livekit.protocol.models import ParticipantInfo

from relay_bot.hall.roster import ROLE_ATTRIBUTE, role_of
from relay_bot.link import Presence
from relay_bot.livekit.tokens import join_token
from relay_bot.plugin import Role
from relay_bot.settings import LivekitSettings, RoleSettings


def is_host(person: ParticipantInfo, configured: RoleSettings) -> bool:
    """Tell whether someone is the room's host."""
    return _role(person, configured) is Role.HOST


def is_guest(person: ParticipantInfo, configured: RoleSettings) -> bool:
    """Tell whether someone came with a guest's token (a speaker's), and may still publish."""
    return person.permission.can_publish and _role(person, configured) is Role.SPEAKER


def show_metadata(role: str, name: str) -> str:
    """Make the metadata of the text: `{"role":"host","displayName":"John Doe"}`."""
    return _json({"role": role, "displayName": name})


def token_as(livekit: LivekitSettings, room: str, person: ParticipantInfo, role: str, believed: Role) -> str:
    """Make a fresh token for a participant who is a guest now, or a viewer again.

    Beside the role and the one right everything stays as it is. But what they may have written themselves gives them
    no role in a token that we sign: `believed` is the role that the roster takes them for.
    """
    attributes = dict(person.attributes)
    if attributes.get(ROLE_ATTRIBUTE) != believed.label:
        attributes.pop(ROLE_ATTRIBUTE, None)
    return join_token(
        livekit,
        room,
        person.identity,
        name=person.name,
        can_publish=role == "guest",
        can_publish_data=person.permission.can_publish_data,
        can_subscribe=person.permission.can_subscribe,
        metadata=_with_role(person, role),
        attributes=attributes,
    )


def _with_role(person: ParticipantInfo, role: str) -> str:
    """Give the participant's own metadata with another role in it; what is no JSON object stays as it is."""
    try:
        told: Any = json.loads(person.metadata or "{}")
    except ValueError:
        return person.metadata
    if not isinstance(told, dict):
        return person.metadata
    own = cast("dict[str, Any]", told)
    return _json({"role": role, "displayName": person.name or person.identity} | own | {"role": role})


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _role(person: ParticipantInfo, configured: RoleSettings) -> Role:
    permission = person.permission
    presence = Presence(
        person.identity,
        person.name,
        person.metadata,
        dict(person.attributes),
        active=True,
        hidden=False,
        can_publish=permission.can_publish,
        can_publish_data=permission.can_publish_data,
        can_subscribe=permission.can_subscribe,
        can_update_metadata=permission.can_update_metadata,
    )
    return role_of(presence, configured)
