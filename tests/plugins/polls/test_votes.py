"""Who may vote, how often, and how much it counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay_bot.testing import Guest, HallKit, Refused

POLL: dict[str, Any] = {"poll_id": "p", "question": "Which?", "options": ["left", "right"]}


async def _vote(guest: Guest, option: Any = 0) -> str:
    try:
        await guest.ask("poll_response", {"poll_id": "p", "option": option})
    except Refused as refused:
        return refused.code
    return ""


async def _shown(kit: HallKit) -> dict[str, Any]:
    return await kit.call("polls", "get_poll", poll_id="p")


async def test_eligible_by_role_and_identity(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    speaker = await kit.join("sue", role="speaker")
    await host.ask("poll", POLL | {"eligible": {"roles": ["speaker"], "identities": ["ann"]}})
    assert [await _vote(guest) for guest in (speaker, ann, ben, host)] == ["", "", "forbidden", "forbidden"]
    assert (await _shown(kit))["total_voters"] == 2
    assert ann.last("poll")["restricted"]
    assert "sue" not in str(ann.last("poll"))
    assert [(await guest.ask("sync", {}))["polls"][0]["may_vote"] for guest in (ann, ben)] == [True, False]
    with pytest.raises(Refused, match="forbidden"):
        await kit.backend("poll_response", {"poll_id": "p", "option": 0}, sender_id="ben")
    await kit.backend("poll_response", {"poll_id": "p", "option": 1}, sender_id="sue")
    assert (await _shown(kit))["counts"] == [1, 1]


async def test_weights_are_counted_beside_heads(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await host.ask("poll", POLL | {"weights": {"identities": {"ann": 2.5}, "roles": {"host": 0.1}}})
    for guest, option in ((ann, 0), (ben, 1), (host, 1), (ann, 1), (ann, 0)):
        assert await _vote(guest, option) == ""
    await kit.restart()
    shown = await _shown(kit)
    assert (shown["counts"], shown["weighted_counts"]) == ([1, 2], [2.5, 1.1])
    assert [vote["weight"] for vote in (await kit.call("polls", "list_votes", poll_id="p"))["votes"]] == [2.5, 1, 0.1]


async def test_a_vote_may_be_changed_or_not(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL | {"allow_revote": False})
    assert [await _vote(ann, option) for option in (0, 0, 1)] == ["", "", "already_voted"]
    assert (await _shown(kit))["counts"] == [1, 0]


async def test_a_certain_vote_takes_an_inferred_ones_place(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL | {"allow_revote": False})
    eve = await kit.join("eve", known=False)
    eve.send("poll_response", {"poll_id": "p", "option": 0}, certain=False)
    await asyncio.sleep(0.05)
    kit.announce("eve")
    await kit.settle()
    shown = await _shown(kit)
    assert (shown["counts"], shown["inferred_voters"]) == ([1, 0], 1)
    assert await _vote(eve, 1) == ""
    shown = await _shown(kit)
    assert (shown["counts"], shown["total_voters"], shown["inferred_voters"]) == ([0, 1], 1, 0)


@pytest.mark.parametrize("anonymous", [False, True])
async def test_an_inferred_vote_takes_no_certain_ones_place(
    kit: HallKit, host: Guest, ann: Guest, anonymous: bool
) -> None:
    await host.ask("poll", POLL | {"anonymous": anonymous})
    assert await _vote(ann, 0) == ""
    ann.leave()
    forger = await kit.join("ann", known=False)
    forger.send("poll_response", {"poll_id": "p", "option": 1}, "forged", certain=False)
    await asyncio.sleep(0.05)
    kit.announce("ann")
    assert (await forger.wait("error"))["code"] == "already_voted"
    shown = await _shown(kit)
    assert (shown["counts"], shown["inferred_voters"]) == ([1, 0], 0)


async def test_options_by_text(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await host.ask("poll", POLL)
    assert await _vote(ann, "right") == ""
    assert await _vote(ben, "Right") == "invalid_choice"
    assert (await _shown(kit))["counts"] == [0, 1]


async def test_voters_and_selections(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await host.ask("poll", POLL | {"options": ["a", "b", "c"], "min_choices": 2, "max_choices": 3})
    for guest, options in ((ann, [0, 1, 2]), (ben, [0, 1])):
        await guest.ask("poll_response", {"poll_id": "p", "options": options})
    assert await _vote(host, 0) == "invalid_choice"
    shown = await _shown(kit)
    assert (shown["total_voters"], shown["total_votes"]) == (2, 5)
    assert (shown["percentages"], shown["voter_percentages"]) == ([40, 40, 20], [100, 100, 50])
    assert (shown["leaders"], shown["tie"]) == ([0, 1], True)


async def test_stop_words_are_in_no_cloud(tmp_path: Any) -> None:
    async with HallKit.open(tmp_path, {"polls": {"stop_words": ["rather"]}}) as kit:
        host = await kit.join("host", role="host")
        await host.ask("poll", {"poll_id": "p", "kind": "text", "question": "Why?"})
        await host.ask("poll_response", {"poll_id": "p", "text": "the rather darning thing"})
        shown = await _shown(kit)
        assert [entry["word"] for entry in shown["words"]] == ["darning", "thing"]


async def test_a_reload_does_not_vote_again(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", POLL)
    await _vote(ann, 0)
    ann.leave()
    again = await kit.join("ann")
    assert (await again.wait("hall_state"))["polls"][0]["my_vote"] == [0]
    await _vote(again, 1)
    shown = await _shown(kit)
    assert (shown["counts"], shown["total_voters"]) == ([0, 1], 1)


async def test_300_vote_at_once_each_twice_and_once_more(kit: HallKit, host: Guest) -> None:
    await host.ask("poll", POLL)
    guests = [await kit.join(f"v{number}") for number in range(300)]
    for send in range(3):
        for guest in guests:
            message_id = f"{guest.identity}-{'one' if send < 2 else 'two'}-{'0' * 16}"
            guest.send("poll_response", {"poll_id": "p", "option": 0 if send < 2 else 1}, message_id)
    await kit.settle()
    shown = await _shown(kit)
    assert (shown["counts"], shown["total_voters"]) == ([0, 300], 300)
    for guest in guests:
        acked = [message_id for ack in guest.all("ack") for message_id in ack["ids"]]
        mine = [message_id for message_id in acked if message_id.startswith(f"{guest.identity}-")]
        assert {name.split("-")[1] for name in mine} == {"one", "two"}
