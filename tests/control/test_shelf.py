"""What plugins keep beyond halls: the same by HTTP and in a hall, over restarts, bounded, and erasable."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from relay_bot.hall.halls import Halls
from relay_bot.hall.shelf import Shelf
from relay_bot.journal.writer import Journal
from relay_bot.testing import Guest, HallKit, Refused
from tests.control.support import PLUGINS, Endpoint


async def _titles(endpoint: Endpoint) -> dict[str, str]:
    names = [each["name"] for each in (await endpoint.call("GET", "/v1/forms")).body["shelved"]]
    return {name: (await endpoint.call("GET", f"/v1/forms/{name}")).body["title"] for name in names}


async def test_what_a_backend_keeps_is_there_in_a_hall_and_the_other_way_round(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    put = await endpoint.call("POST", "/v1/forms", {"name": "a form", "title": "A", "lines": ["x"]})
    assert (put.status, put.body) == (200, put.body | {"name": "a form", "title": "A", "lines": ["x"]})
    assert await ann.ask("form", {"name": "a form"}) == {"title": "A", "names": ["a form"]}
    assert await ann.ask("form_keep", {"name": "b", "title": "B"}) == {"title": "B", "names": ["a form", "b"]}
    assert (await endpoint.call("GET", "/v1/forms/b")).body["title"] == "B"
    await endpoint.call("POST", "/v1/forms", {"name": "b", "title": "again"})
    await endpoint.restart()
    assert await _titles(endpoint) == {"a form": "A", "b": "again"}
    assert (await endpoint.call("DELETE", "/v1/forms/b")).status == 200
    assert (await endpoint.call("DELETE", "/v1/forms/b")).error == (404, "not_found", "not_found")
    assert (await endpoint.call("GET", "/v1/forms/b")).error == (404, "not_found", "not_found")
    assert await ann.ask("form", {"name": "b"}) == {"title": None, "names": ["a form"]}


async def test_it_is_durable_when_the_answer_comes(endpoint: Endpoint, tmp_path: Path) -> None:
    ann = await endpoint.kit.join("ann")
    await endpoint.call("POST", "/v1/forms", {"name": "http", "title": "A"})
    await ann.ask("form_keep", {"name": "hall", "title": "B"})
    with sqlite3.connect(tmp_path / "relay.db") as other:
        assert other.execute("SELECT shelf, name FROM shelved ORDER BY name").fetchall() == [
            ("forms", "hall"),
            ("forms", "http"),
        ]
    other.close()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "title": "wrong"}, "title"),
        ({"name": "x"}, None),
        ({"name": "x", "title": 5}, "title"),
        ({"name": "a/b", "title": "A"}, "name"),
        ({"name": "a\nb", "title": "A"}, "name"),
        ({"name": "", "title": "A"}, "name"),
        ({"name": "a\u3164", "title": "A"}, "name"),
        ({"name": "\u2800\u2800", "title": "A"}, "name"),
        ({"name": "a\U000e0061b", "title": "A"}, "name"),
        ({"name": "a ", "title": "A"}, "name"),
        ({"name": "x", "title": "A", "colour": "red"}, None),
        ({"name": "x", "title": "A" * 100_000}, None),
    ],
)
async def test_what_cant_be_kept_is_refused_by_both_doors(
    endpoint: Endpoint, body: dict[str, Any], field: str | None
) -> None:
    answer = await endpoint.call("POST", "/v1/forms", body)
    assert answer.status == 422
    assert answer.body["error"].get("field") == field
    if len(body["name"]) > 1 or body.get("title") == "wrong":
        ann = await endpoint.kit.join("ann")
        with pytest.raises(Refused, match="malformed"):
            await ann.ask("form_keep", body)
    assert await _titles(endpoint) == {}


async def test_a_handler_that_refuses_has_kept_nothing(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    with pytest.raises(Refused, match="forbidden"):
        await ann.ask("form_keep", {"name": "x", "title": "X", "fails": True})
    assert await ann.ask("form", {"name": "x"}) == {"title": None, "names": []}
    await endpoint.restart()
    assert await _titles(endpoint) == {}


async def test_a_shelf_has_a_bound(endpoint: Endpoint) -> None:
    ann = await endpoint.kit.join("ann")
    most = endpoint.settings.storage.max_shelved
    for number in range(most):
        await endpoint.call("POST", "/v1/forms", {"name": f"{number}", "title": "A"})
    assert (await endpoint.call("POST", "/v1/forms", {"name": "more", "title": "A"})).error == (503, "busy", "busy")
    with pytest.raises(Refused, match="busy"):
        await ann.ask("form_keep", {"name": "more", "title": "A"})
    assert (await ann.ask("form_keep", {"name": "0", "title": "new"}))["title"] == "new"
    assert len((await endpoint.call("GET", "/v1/forms")).body["shelved"]) == most


async def test_a_key_makes_it_safe_to_send_again(endpoint: Endpoint) -> None:
    first = await endpoint.call("POST", "/v1/forms", {"name": "x", "title": "A"}, key="k")
    await endpoint.call("DELETE", "/v1/forms/x")
    assert (await endpoint.call("POST", "/v1/forms", {"name": "x", "title": "A"}, key="k")).body == first.body
    assert await _titles(endpoint) == {}
    assert (await endpoint.call("POST", "/v1/forms", {"name": "x", "title": "B"}, key="k")).status == 422


async def test_another_process_s_changes_are_there_in_the_next_hall(endpoint: Endpoint) -> None:
    other = Shelf(endpoint.journal, 10)
    await other.put(("forms", "theirs", 0, b'{"title":"T"}'))
    ann = await endpoint.kit.join("ann")
    assert (await ann.ask("form", {"name": "theirs"}))["title"] is None
    await endpoint.restart()
    assert (await ann.ask("form", {"name": "theirs"}))["title"] == "T"


async def test_what_cant_be_read_any_more_is_not_there_and_can_be_replaced(endpoint: Endpoint) -> None:
    await endpoint.kit.shelf.put(("forms", "old", 0, b'{"heading":"T"}'))
    assert (await endpoint.call("GET", "/v1/forms/old")).status == 404
    assert (await endpoint.call("POST", "/v1/forms", {"name": "old", "title": "A"})).status == 200
    assert await _titles(endpoint) == {"old": "A"}


async def test_an_erased_participant_is_in_nothing_that_is_kept(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path / 'relay.db'}")
    await journal.start()
    try:
        async with HallKit.open(tmp_path, PLUGINS, journal=journal) as kit:
            ann: Guest = await kit.join("ann")
            body = b'{"title":"alice-4711","lines":["alice-4711","not alice-4711"]}'
            await kit.shelf.put(("forms", "x", 0, body))
            await kit.shelf.put(("forms", "y", 0, b'{"title":"other"}'))
            halls = Halls(kit._services)
            assert await halls.erase("alice-4711") == 1
            title = (await ann.ask("form", {"name": "x"}))["title"]
            assert title.startswith("erased-")
            assert (await ann.ask("form", {"name": "y"}))["title"] == "other"
        with sqlite3.connect(tmp_path / "relay.db") as other:
            [(kept,)] = other.execute("SELECT body FROM shelved WHERE name = 'x'").fetchall()
        other.close()
        assert b'"alice-4711"' not in kept
    finally:
        await journal.stop()
