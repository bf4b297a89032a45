"""How hands look on the wire and on the control endpoint."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from plugins.hands.state import Hand, Hands
from relay_bot.plugin import iso

PAGE_BYTES: Final = 13_500
"""What one `hand_queue` may have, so that its envelope stays under the wire's limit."""
_FEWEST_ON_A_PAGE: Final = 6
"""Even of the longest entries so many fit: identities have at most 256 characters, names 64, topics 100."""
_FIRST_BYTES: Final = 4_000
"""What `hall_state` carries of the queue: it has to share its envelope."""
_NAME_CHARS: Final = 64


class HandView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A raised hand; `position` 1 is the first in line. `away`: they dropped and keep their place for a while."""

    participant_id: str
    display_name: str
    position: int
    raised_at: str
    topic: str | None = None
    away: bool = False


class HandsView(msgspec.Struct, frozen=True):
    """The queue of raised hands, first in line first."""

    seq: int
    open: bool
    queue: list[HandView]


def shown(name: str) -> str:
    """Cut a display name to what a list can show."""
    return " ".join(name.split())[:_NAME_CHARS]


def hands_view(state: Hands, seq: int) -> HandsView:
    """Describe the whole queue."""
    return HandsView(seq, state.open, _queue(state))


def most_pages(count: int) -> int:
    """Give a number of pages that so many hands never need more than."""
    return -(-count // _FEWEST_ON_A_PAGE) or 1


def pages(state: Hands, seq: int) -> list[dict[str, Any]]:
    """Make the payloads of `hand_queue`: one, or as many as the size of a packet asks for."""
    stage = on_stage(state)
    parts = _split(_queue(state), PAGE_BYTES - len(msgspec.json.encode(stage)))
    head = {"seq": seq, "open": state.open, "total": sum(map(len, parts)), "pages": len(parts)}
    made = [head | {"page": number, "queue": part} for number, part in enumerate(parts)]
    made[0] |= stage
    return made


def first_page(state: Hands, seq: int) -> dict[str, Any]:
    """Make what a host's `hall_state` has of the queue: as much as fits, and how many there are."""
    queue = _queue(state)
    stage = on_stage(state)
    return {
        "seq": seq,
        "open": state.open,
        "total": len(queue),
        "queue": _split(queue, _FIRST_BYTES)[0],
    } | stage


def on_stage(state: Hands) -> dict[str, Any]:
    """Tell who is on the stage."""
    return {"on_stage": []}


def _queue(state: Hands) -> list[HandView]:
    return [_hand(state.hands[identity], identity, place) for place, identity in enumerate(state.waiting(), 1)]


def _hand(hand: Hand, identity: str, position: int) -> HandView:
    return HandView(identity, hand.name, position, iso(hand.raised_at), hand.topic or None, hand.away_at is not None)


def _split(queue: list[HandView], room: int) -> list[list[HandView]]:
    """Split entries into parts of at most `room` bytes of JSON; there is always one, be it empty."""
    parts: list[list[HandView]] = [[]]
    left = room
    for entry in queue:
        size = len(msgspec.json.encode(entry)) + 1
        if size > left and parts[-1]:
            parts.append([])
            left = room
        parts[-1].append(entry)
        left -= size
    return parts


def own_hand(state: Hands, identity: str, seq: int) -> dict[str, Any]:
    """Make the payload of `hand_position`: someone's own place, and how many wait."""
    hand = state.hands.get(identity)
    said: dict[str, Any] = {
        "seq": seq,
        "raised": hand is not None,
        "position": state.position(identity),
        "total": len(state.waiting()),
        "open": state.open,
    }
    if hand is not None and hand.topic:
        said["topic"] = hand.topic
    return said
