"""`hall_state`: all that somebody who has just come needs to know, in one envelope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog

from relay_bot.hall.calling import Part, PluginCalls, parts, together
from relay_bot.hall.session import Session
from relay_bot.observe import metrics
from relay_bot.plugin import HallView, Participant
from relay_bot.wire.envelope import MAX_ENVELOPE_BYTES

log = structlog.get_logger("hall")

_ROOM: Final = MAX_ENVELOPE_BYTES - 500
_ASKED_FOR_AGAIN: Final = frozenset({"messages"})
"""Lists whose older entries a client can ask for (`chat_history`)."""
_FAIR: Final = _ROOM // 5
"""Bytes that such a list keeps beside long ones of other plugins."""
_SHARE: Final = _ROOM // 2
"""What one plugin may need beside lists that can be cut, where not all has room: else it would crowd out the others."""


def hall_state(session: Session, hall: HallView, participant: Participant, call: PluginCalls) -> dict[str, Any]:
    """Put the plugins' parts together for one participant.

    Where they are too much for an envelope, a part that is too large by itself is left out, then the oldest entries of
    lists; `truncated` names what was cut. What can be asked for again (`messages`) gives way first, until it has
    its fair share; then the longest list.
    """
    state: dict[str, Any] = {
        "hall_id": hall.name,
        "seq": session.seq,
        "bot_identity": hall.bot_identity,
        "role": participant.role.label,
    }
    if hall.encrypted:
        state["encrypted"] = True
    own: Part = {key: (value, len(msgspec.json.encode(value))) for key, value in state.items()}
    found = {"": own} | parts(session.plugins, lambda plugin: plugin.hall_state(participant), call)
    gone = _without_largest(found, call)
    return _fitted(together(found), gone)


def _without_largest(found: dict[str, Part], call: PluginCalls) -> list[str]:
    """Leave out parts that no cutting of lists makes small enough, and count that as their plugins' failure."""
    gone: list[str] = []
    while _bytes(found) > _ROOM:
        fixed = {name: _fixed(part) for name, part in found.items() if name}
        largest = max(fixed, key=lambda name: fixed[name], default="")
        if not largest or (fixed[largest] <= _SHARE and sum(fixed.values()) + _fixed(found[""]) <= _ROOM):
            break
        gone += found.pop(largest)
        metrics.DROPPED.labels("hall_state").inc()
        log.error("plugin.part_too_large", plugin=largest, bytes=fixed[largest])
        call.quarantine.failed(largest, f"its part of hall_state needs {fixed[largest]} bytes")
    return gone


def _bytes(found: dict[str, Part]) -> int:
    return sum(size + len(key) + 4 for part in found.values() for key, (_, size) in part.items())


def _fixed(part: Part) -> int:
    return sum(len(key) + 4 + (2 if isinstance(value, list) else size) for key, (value, size) in part.items())


def _fitted(state: dict[str, Any], gone: Sequence[str] = ()) -> dict[str, Any]:
    sizes = {key: len(msgspec.json.encode(value)) for key, value in state.items()}
    excess = sum(sizes.values()) + sum(map(len, sizes)) + 4 * len(sizes) - _ROOM
    lists = {key: [sizes[key], 0] for key, value in state.items() if isinstance(value, list)}
    while excess > 0:
        left = [key for key in lists if lists[key][1] < len(state[key])]
        if not left:
            break
        spare = [key for key in left if key in _ASKED_FOR_AGAIN and lists[key][0] > _FAIR]
        others = [key for key in left if key not in _ASKED_FOR_AGAIN] or left
        longest = spare[0] if spare else max(others, key=lambda key: lists[key][0])
        cut = len(msgspec.json.encode(state[longest][lists[longest][1]])) + 1
        lists[longest][0] -= cut
        lists[longest][1] += 1
        excess -= cut
    for key, (_, dropped) in lists.items():
        state[key] = state[key][dropped:]
    truncated = [*gone, *(key for key, (_, dropped) in lists.items() if dropped)]
    return state | {"truncated": truncated} if truncated else state
