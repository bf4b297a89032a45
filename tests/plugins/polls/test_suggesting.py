"""Options of the voters."""

from __future__ import annotations

from typing import Any

import pytest

from relay_bot.testing import Guest, HallKit, Refused
from tests.plugins.polls.test_visibility import told

POLL: dict[str, Any] = {"poll_id": "p", "question": "Which?", "options": ["left", "right"], "max_choices": 2}


async def _suggest(guest: Guest, text: str) -> str:
    try:
        await guest.ask("poll_option", {"poll_id": "p", "text": text})
    except Refused as refused:
        return refused.code
    return ""


async def _shown(kit: HallKit) -> dict[str, Any]:
    return await kit.call("polls", "get_poll", poll_id="p")


@pytest.mark.parametrize("anonymous", [False, True])
async def test_free_options_are_added_at_once(
    kit: HallKit, host: Guest, ann: Guest, ben: Guest, anonymous: bool
) -> None:
    await host.ask("poll", POLL | {"user_options": "free", "anonymous": anonymous})
    await ann.ask("poll_response", {"poll_id": "p", "options": [0, 1]})
    assert await _suggest(ann, "up\u202e") == ""
    assert ben.last("poll")["options"] == ["left", "right", "up"]
    await ann.ask("poll_response", {"poll_id": "p", "options": [2]})
    await ben.ask("poll_response", {"poll_id": "p", "options": [1, 2]})
    await kit.restart()
    assert (await _shown(kit))["counts"] == [0, 1, 2]
    assert [await _suggest(ann, text) for text in ("down", "UP", "\u200b")] == ["forbidden", "malformed", "malformed"]
    await host.ask("poll_close", {"poll_id": "p"})
    assert (await _shown(kit))["counts"] == [0, 1, 2]
    assert await _suggest(ben, "late") == "poll_closed"


async def test_nobody_sees_an_option_before_it_is_approved(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await host.ask("poll", POLL | {"user_options": "approval"})
    assert [await _suggest(ann, "good idea"), await _suggest(ben, "bad idea")] == ["", ""]
    assert host.last("poll_options")["suggested"] == [
        {"text": "good idea", "participant_id": "ann"}, {"text": "bad idea", "participant_id": "ben"},
    ]  # fmt: skip
    await kit.restart()
    assert len((await host.ask("sync", {}))["polls"][0]["suggested"]) == 2
    assert "idea" not in told(ben)
    with pytest.raises(Refused, match="forbidden"):
        await ann.ask("poll_option_decide", {"poll_id": "p", "text": "good idea", "approved": True})
    await host.ask("poll_option_decide", {"poll_id": "p", "text": "bad idea", "approved": False})
    await kit.call("polls", "decide_option", poll_id="p", text="good idea", approved=True)
    await kit.settle()
    assert ben.last("poll")["options"] == ["left", "right", "good idea"]
    assert "bad idea" not in told(ben)
    assert host.last("poll_options")["suggested"] == []
    with pytest.raises(Refused, match="not_found"):
        await host.ask("poll_option_decide", {"poll_id": "p", "text": "bad idea", "approved": True})


async def test_a_poll_takes_options_only_if_it_says_so(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL)
    assert await _suggest(ann, "up") == "forbidden"
    with pytest.raises(Refused, match="malformed"):
        await host.ask("poll", POLL | {"poll_id": "r", "kind": "ranking", "user_options": "free"})


async def test_a_long_list_of_suggestions_is_cut_for_the_wire(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL | {"user_options": "approval"})
    for number in range(70):
        guest = await kit.join(f"{'ü' * 120}{number}")
        assert await _suggest(guest, f"idea {number}") == ""
    assert host.last("poll_options")["truncated"] == ["suggested"]
    assert len((await _shown(kit))["suggested"]) == 70


async def test_options_are_bounded(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL | {"user_options": "approval", "weights": {"roles": {"viewer": 2}}})
    guests = [await kit.join(f"v{number}") for number in range(60)]
    said = [await _suggest(guest, f"{guest.identity} {'ü' * 190}") for guest in guests]
    assert said.count("") < 30
    assert set(said) == {"", "too_large"}
    await kit.backend("poll_option", {"poll_id": "p", "text": "short"}, sender_id="v59")
    await host.ask("poll_option_decide", {"poll_id": "p", "text": "short", "approved": True})
    assert "short" not in "".join(told(guest) for guest in guests[:-1]).replace('"right","short"', "")
    await guests[0].ask("poll_response", {"poll_id": "p", "option": "short"})
    assert (await _shown(kit))["weighted_counts"] == [0, 0, 2]
