"""Join tokens: the bot's own, and those that backends hand to participants."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final

from livekit.api import AccessToken, VideoGrants

from relay_bot.plugin import Role
from relay_bot.settings import BotSettings, LivekitSettings

BOT_TOKEN_LIFE: Final = datetime.timedelta(hours=6)
JOIN_TOKEN_LIFE: Final = datetime.timedelta(hours=1)


def bot_token(livekit: LivekitSettings, bot: BotSettings, hall: str) -> str:
    """Make the bot's token: hidden and data-only. As an agent it doesn't keep the room open."""
    grants = VideoGrants(
        room_join=True,
        room=hall,
        hidden=True,
        agent=True,
        can_publish=False,
        can_subscribe=False,
        can_publish_data=True,
    )
    token = AccessToken(livekit.api_key, livekit.api_secret).with_identity(bot.identity).with_name(bot.name)
    return token.with_kind("agent").with_grants(grants).with_ttl(BOT_TOKEN_LIFE).to_jwt()


def join_token(
    livekit: LivekitSettings,
    hall: str,
    identity: str,
    *,
    name: str = "",
    role: Role = Role.VIEWER,
    can_publish: bool = False,
    can_publish_data: bool = True,
    can_subscribe: bool = True,
    metadata: str = "",
    attributes: Mapping[str, str] | None = None,
    life: datetime.timedelta = JOIN_TOKEN_LIFE,
) -> str:
    """Make a participant's token. The role is signed in as an attribute that they can't change."""
    grants = VideoGrants(
        room_join=True,
        room=hall,
        can_publish=can_publish,
        can_subscribe=can_subscribe,
        can_publish_data=can_publish_data,
        can_update_own_metadata=False,
    )
    token = AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity).with_name(name or identity)
    carried = dict(attributes or {})
    if role is not Role.VIEWER:
        carried["relay.role"] = role.label
    if carried:
        token = token.with_attributes(carried)
    if metadata:
        token = token.with_metadata(metadata)
    return token.with_grants(grants).with_ttl(life).to_jwt()
