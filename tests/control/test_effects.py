"""Effects on the control endpoint: an operator sees what is owed and what was given up, and has it tried again."""

from __future__ import annotations

from typing import Any

import pytest

from relay_bot.hall import debts
from relay_bot.journal.batch import Unavailable
from relay_bot.testing import HallKit
from tests.control.support import Endpoint

GRANT = {"type": "grant", "payload": {"identity": "ann"}}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(failures: int) -> float:
        return 0.001

    monkeypatch.setattr(debts, "pause", pause)


async def owe(endpoint: Endpoint) -> None:
    """Owe a change of what `ann` may do."""
    await endpoint.kit.join("ann")
    assert (await endpoint.call("POST", f"{endpoint.hall}/interactions", GRANT)).status == 200


async def listed(endpoint: Endpoint, status: str = "") -> list[dict[str, Any]]:
    answer = await endpoint.call("GET", f"{endpoint.hall}/effects" + (f"?status={status}" if status else ""))
    assert answer.status == 200, answer.body
    assert answer.body["total"] == len(answer.body["effects"])
    return answer.body["effects"]


async def dead(kit: HallKit) -> None:
    await kit.until(lambda: kit.hall.dead_effects == 1, 20.0)
    await kit.settle()


async def test_what_is_owed_is_listed_with_what_went_wrong(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def long(failures: int) -> float:
        return 1_000.0

    monkeypatch.setattr(debts, "pause", long)
    endpoint.kit.room.failing = True
    await owe(endpoint)
    await endpoint.kit.until(lambda: any(each.error for each in endpoint.kit.hall.owed_effects()))
    [found] = await listed(endpoint)
    assert found["effect"] == {
        "type": "set_permissions", "identity": "ann", "can_publish": True, "can_publish_data": None,
        "can_subscribe": None,
    }  # fmt: skip
    assert (found["status"], found["plugin"], found["key"], found["attempts"]) == ("pending", "desk", "ann", 1)
    assert found["error"] == "the kit was told to fail"
    assert found["retry_in_seconds"] > 0
    assert found["at"].endswith("Z")
    assert [each["id"] for each in await listed(endpoint, "pending")] == [found["id"]]
    assert await listed(endpoint, "dead") == []


async def test_a_dead_letter_is_listed_counted_and_tried_again_by_hand(endpoint: Endpoint) -> None:
    kit = endpoint.kit
    kit.room.failing = True
    await owe(endpoint)
    await dead(kit)
    [found] = await listed(endpoint, "dead")
    assert (found["status"], found["attempts"], found["error"]) == ("dead", 100, "the kit was told to fail")
    assert (await listed(endpoint), await listed(endpoint, "pending")) == ([found], [])
    assert "relay_dead_effects 1.0" in (await endpoint.call("GET", "/metrics")).body
    ready = (await endpoint.call("GET", "/ready")).body
    assert [(each["part"], each["hall_id"]) for each in ready["details"]] == [("dead effects", kit.hall.name)]
    await endpoint.restart()
    assert await listed(endpoint) == [found]
    kit.room.failing = False
    retried = await endpoint.call("POST", f"{endpoint.hall}/effects/{found['id']}/retry")
    assert retried.status == 200
    assert retried.body["id"] != found["id"]
    await kit.until(lambda: bool(kit.room.effects))
    await kit.settle()
    await kit.until(lambda: not kit.hall.owed_effects())
    assert (await listed(endpoint), kit.hall.dead_effects) == ([], 0)
    assert kit.room.presences["ann"].can_publish
    live, replayed = await kit.live_and_replayed()
    assert live == replayed


async def test_trying_again_with_the_same_key_is_done_once(endpoint: Endpoint) -> None:
    kit = endpoint.kit
    kit.room.failing = True
    await owe(endpoint)
    await dead(kit)
    [found] = await listed(endpoint, "dead")
    path, headers = f"{endpoint.hall}/effects/{found['id']}/retry", {"Idempotency-Key": "the same"}
    one = await endpoint.call("POST", path, headers=headers)
    await dead(kit)
    two = await endpoint.call("POST", path, headers=headers)
    assert (one.status, two.status) == (200, 200)
    assert one.body == two.body
    assert [each["status"] for each in await listed(endpoint)] == ["dead"]


@pytest.mark.parametrize("number", [1, 9_999_999])
async def test_one_that_was_not_given_up_cannot_be_tried_again(endpoint: Endpoint, number: int) -> None:
    answer = await endpoint.call("POST", f"{endpoint.hall}/effects/{number}/retry")
    assert answer.error == (404, "not_found", "not_found")
    for path in ("0", "-1", "x"):
        assert (await endpoint.call("POST", f"{endpoint.hall}/effects/{path}/retry")).status in (404, 422)
    assert (await endpoint.call("GET", "/v1/halls/no-such-hall/effects")).status == 404
    assert (await endpoint.call("GET", f"{endpoint.hall}/effects?status=lost")).status == 422


async def test_an_effect_that_waits_for_its_plugin_is_listed(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    debtor = endpoint.kit.hall._debtor
    monkeypatch.setattr(debtor, "_kinds", {})
    await owe(endpoint)
    await endpoint.kit.until(lambda: bool(endpoint.kit.hall.owed_effects()))
    [found] = await listed(endpoint, "pending")
    assert (found["error"], found["retry_in_seconds"]) == ("no plugin that is loaded knows this effect", None)
    assert found["attempts"] == 0


async def test_a_retry_that_is_not_kept_is_answered_busy(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = endpoint.kit
    kit.room.failing = True
    await owe(endpoint)
    await dead(kit)
    [found] = await listed(endpoint, "dead")

    def refuse(group: list[Any]) -> list[Unavailable]:
        return [Unavailable("told to fail")] * len(group)

    with monkeypatch.context() as broken:
        broken.setattr(kit.journal._store, "commit", refuse)
        answer = await endpoint.call("POST", f"{endpoint.hall}/effects/{found['id']}/retry")
        assert answer.status == 503
    await kit.until(lambda: kit.hall.status == "live")
    await kit.settle()
    assert await listed(endpoint) == [found]
