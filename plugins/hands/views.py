"""How hands look on the wire and on the control endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from plugins.hands.state import Hand, Hands
from relay_bot.plugin import iso, iso_or_none

PAGE_BYTES: Final = 13_500
"""What one `hand_queue` may have, so that its envelope stays under the wire's limit."""
_FEWEST_ON_A_PAGE: Final = 3
"""Even of the longest entries so many fit: identities have at most 256 characters, names 64, topics 100."""
_FIRST_BYTES: Final = 4_000
"""What `hall_state` carries of the queue: it has to share its envelope."""
_STAGE_BYTES: Final = 3_000
"""What a packet carries of those on the stage, and of those invited."""
_NAME_CHARS: Final = 64

E = TypeVar("E")


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


class GuestView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Someone on the stage: LiveKit has confirmed that they may publish. `away`: they dropped."""

    participant_id: str
    display_name: str
    since: str | None = None
    ends_at: str | None = None
    away: bool = False


class InviteView(msgspec.Struct, frozen=True):
    """An open invitation."""

    participant_id: str
    display_name: str
    expires_at: str


class PendingView(msgspec.Struct, frozen=True):
    """A change that LiveKit has not confirmed yet; `status` is `promoting` or `demoting`."""

    participant_id: str
    display_name: str
    status: str


class StageView(msgspec.Struct, frozen=True):
    """The stage, the open invitations, and the changes that are under way."""

    seq: int
    limit: int
    on_stage: list[GuestView]
    invited: list[InviteView]
    pending: list[PendingView]


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


def stage_view(state: Hands, seq: int, limit: int) -> StageView:
    """Describe the stage."""
    return StageView(seq, limit, _on_stage(state), _invited(state), _pending(state))


def on_stage(state: Hands) -> dict[str, Any]:
    """Tell hosts who is on the stage and who is invited, as much as a packet can carry."""
    return {"on_stage": _fitted(_on_stage(state)), "invited": _fitted(_invited(state))}


def stage_state(state: Hands, identity: str, limit: int) -> dict[str, Any]:
    """Make what everybody's `hall_state` has of the stage, and of an invitation of their own."""
    own = state.invited.get(identity)
    return {
        "on_stage": _fitted(_on_stage(state)),
        "limit": limit,
        "invited_until": None if own is None else iso(own.expires_at),
    }


def guest_said(state: Hands, identity: str, seq: int) -> dict[str, Any]:
    """Make the payload of `guest_promoted` and `guest_demoted`."""
    guest = state.stage[identity]
    said: dict[str, Any] = {"participant_id": identity, "display_name": guest.name, "seq": seq}
    if guest.ends_at is not None and guest.status == "on":
        said["ends_at"] = iso(guest.ends_at)
    if guest.status == "demoting":
        said["reason"] = guest.reason
    return said


def _on_stage(state: Hands) -> list[GuestView]:
    return [
        GuestView(identity, guest.name, iso_or_none(guest.since), iso_or_none(guest.ends_at), guest.away_at is not None)
        for identity, guest in state.stage.items()
        if guest.status == "on"
    ]


def _invited(state: Hands) -> list[InviteView]:
    return [InviteView(identity, each.name, iso(each.expires_at)) for identity, each in state.invited.items()]


def _pending(state: Hands) -> list[PendingView]:
    return [
        PendingView(identity, guest.name, guest.status)
        for identity, guest in state.stage.items()
        if guest.status != "on"
    ]


def _fitted(entries: Sequence[Any]) -> list[Any]:
    return _split(entries, _STAGE_BYTES)[0]


def _queue(state: Hands) -> list[HandView]:
    return [_hand(state.hands[identity], identity, place) for place, identity in enumerate(state.waiting(), 1)]


def _hand(hand: Hand, identity: str, position: int) -> HandView:
    return HandView(identity, hand.name, position, iso(hand.raised_at), hand.topic or None, hand.away_at is not None)


def _split(entries: Sequence[E], room: int) -> list[list[E]]:
    """Split entries into parts of at most `room` bytes of JSON; there is always one, be it empty."""
    parts: list[list[E]] = [[]]
    left = room
    for entry in entries:
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
    up = state.is_up(identity)
    said: dict[str, Any] = {
        "seq": seq,
        "raised": up,
        "position": state.position(identity),
        "total": len(state.waiting()),
        "open": state.open,
    }
    if hand is not None and up and hand.topic:
        said["topic"] = hand.topic
    return said
