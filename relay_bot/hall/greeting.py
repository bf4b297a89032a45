"""`hall_state`: all that somebody who has just come needs to know, in one envelope."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from relay_bot.hall.calling import PluginCalls, parts
from relay_bot.hall.session import Session
from relay_bot.plugin import HallView, Participant
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES

_ROOM: Final = MAX_ENVELOPE_BYTES - 500
_ASKED_FOR_AGAIN: Final = frozenset({"messages"})
"""Lists whose older entries a client can ask for (`chat_history`)."""
_FAIR: Final = _ROOM // 5
"""Bytes that such a list keeps beside long ones of other plugins."""


def hall_state(session: Session, hall: HallView, participant: Participant, call: PluginCalls) -> dict[str, Any]:
    """Put the plugins' parts together for one participant.

    Where they are too much for an envelope, the oldest entries of lists are left out, and `truncated` names these. What
    can be asked for again (`messages`) gives way first, until it has its fair share; then the longest list.
    """
    state: dict[str, Any] = {
        "hall_id": hall.name,
        "seq": session.seq,
        "bot_identity": hall.bot_identity,
        "role": participant.role.label,
    }
    return _fitted(
        state | parts(session.plugins, lambda plugin: msgspec.to_builtins(plugin.hall_state(participant)), call)
    )


def _fitted(state: dict[str, Any]) -> dict[str, Any]:
    sizes = {key: len(msgspec.json.encode(value)) for key, value in state.items()}
    excess = sum(sizes.values()) + sum(map(len, sizes)) + 4 * len(sizes) - _ROOM
    cut: list[str] = []
    while excess > 0:
        lists = {key: sizes[key] for key, value in state.items() if isinstance(value, list) and value}
        if not lists:
            break
        spare = [key for key in lists if key in _ASKED_FOR_AGAIN and lists[key] > _FAIR]
        others = [key for key in lists if key not in _ASKED_FOR_AGAIN] or list(lists)
        longest = spare[0] if spare else max(others, key=lambda key: lists[key])
        first, *rest = state[longest]
        gone = len(msgspec.json.encode(first)) + 1
        state[longest] = rest
        sizes[longest] -= gone
        excess -= gone
        if longest not in cut:
            cut.append(longest)
    if cut:
        state["truncated"] = cut
    return state
