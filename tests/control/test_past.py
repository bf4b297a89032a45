"""A hall that is over: what its plugins kept can be read, and nothing of it can be changed."""

from relay_bot.journal.batch import Unavailable
from tests.control.support import Endpoint


async def _end(endpoint: Endpoint) -> None:
    endpoint.kit.close_room()
    await endpoint.kit.until(lambda: endpoint.kit.hall.status == "ended")
    await endpoint.kit.stop()  # its end is in the journal


async def test_what_was_kept_is_answered_as_before(endpoint: Endpoint) -> None:
    for text in ("a", "b", "c"):
        await endpoint.interact("note", {"text": text})
    paths = ("notes", "notes?limit=2", "notes/1", "notes/file", "notes/7")
    before = [await endpoint.call("GET", f"{endpoint.hall}/{path}") for path in paths]
    await _end(endpoint)
    after = [await endpoint.call("GET", f"{endpoint.hall}/{path}") for path in paths]
    assert [(each.status, each.body) for each in after] == [(each.status, each.body) for each in before]
    assert [each.status for each in after] == [200, 200, 200, 200, 404]


async def test_nothing_can_be_changed_in_it(endpoint: Endpoint) -> None:
    await endpoint.interact("note", {"text": "a"})
    await _end(endpoint)
    assert (await endpoint.call("POST", f"{endpoint.hall}/notes", {"text": "b"})).error[:2] == (404, "not_found")
    assert (await endpoint.interact("note", {"text": "b"})).error[:2] == (409, "hall_not_active")
    assert (await endpoint.call("GET", f"{endpoint.hall}/laid")).status == 200  # a GET that would record
    notes = (await endpoint.call("GET", f"{endpoint.hall}/notes")).body["notes"]
    assert [note["text"] for note in notes] == ["a"]


async def test_a_session_that_has_not_ended_is_not_answered_for(endpoint: Endpoint) -> None:
    """Another bot may serve it: what it has decided meanwhile is not ours to tell."""
    await endpoint.interact("note", {"text": "a"})
    await endpoint.kit.stop()
    assert (await endpoint.call("GET", f"{endpoint.hall}/notes")).error[:2] == (404, "not_found")
    assert (await endpoint.call("GET", "/v1/halls/nowhere/notes")).error[:2] == (404, "not_found")


async def test_a_later_session_of_the_hall_takes_its_place(endpoint: Endpoint) -> None:
    await endpoint.interact("note", {"text": "first"})
    await _end(endpoint)
    await endpoint.kit.start()
    assert (await endpoint.call("GET", f"{endpoint.hall}/notes")).body == {"notes": []}
    await endpoint.interact("note", {"text": "second"})
    await _end(endpoint)
    assert [note["text"] for note in (await endpoint.call("GET", f"{endpoint.hall}/notes")).body["notes"]] == ["second"]


async def test_a_journal_that_cant_be_read_is_busy(endpoint: Endpoint) -> None:
    await _end(endpoint)

    async def fails(hall: str) -> int | None:
        raise Unavailable("the journal can't be read: disk I/O error")

    endpoint.journal.last_session = fails
    assert (await endpoint.call("GET", f"{endpoint.hall}/notes")).error == (503, "busy", "busy")
