"""`GET /v1/halls/{hall_id}/events` and `…/export`."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import pytest

from relay_bot.control import events_api, stream
from relay_bot.hall import feed as feeds
from relay_bot.hall.feed import Subscription
from relay_bot.journal.batch import Unavailable
from tests.control.support import TOKEN, Endpoint


class Sse(NamedTuple):
    id: str | None
    event: str
    data: Any


class Reader:
    """Reads server-sent events, as a browser would."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.comments: list[str] = []

    async def next(self) -> Sse | None:
        """Give the next event; `None` at the end."""
        found: dict[str, str] = {}
        async with asyncio.timeout(10):
            while line := await self.answer.content.readline():
                text = line.decode().rstrip("\n")
                if text.startswith(":"):
                    self.comments.append(text)
                elif text:
                    name, _, value = text.partition(": ")
                    found[name] = value
                elif "data" in found:
                    return Sse(found.get("id"), found["event"], json.loads(found["data"]))
        return None

    async def take(self, count: int) -> list[Sse]:
        found = [await self.next() for _ in range(count)]
        assert None not in found
        return [each for each in found if each is not None]


@asynccontextmanager
async def follow(endpoint: Endpoint, query: str = "", last_id: str | None = None) -> AsyncGenerator[Reader]:
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({} if last_id is None else {"Last-Event-ID": last_id})
    async with endpoint.client.get(f"{endpoint.url}{endpoint.hall}/events{query}", headers=headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        yield Reader(answer)


async def lay(endpoint: Endpoint, *texts: str) -> None:
    for text in texts:
        assert (await endpoint.interact("note", {"text": text}, sender_id="ann")).status == 200


def session(endpoint: Endpoint) -> int:
    assert endpoint.kit.hall.session is not None
    return endpoint.kit.hall.session.info.id


async def test_what_happens_from_now_on(endpoint: Endpoint) -> None:
    await lay(endpoint, "before")
    async with follow(endpoint) as reader:
        assert await reader.next() == Sse(None, "stream_open", {"session": session(endpoint), "since": None})
        await lay(endpoint, "a\nb")
        found = await reader.next()
        assert found is not None
        assert (found.id, found.event) == ("2", "desk.note_laid")
        assert set(found.data) == {"seq", "at", "kind", "body"}
        assert (found.data["seq"], found.data["kind"]) == (2, "desk.note_laid")
        assert found.data["body"] == {"text": "a\nb", "by": "ann"}
        assert found.data["at"] > 1_600_000_000_000


async def test_replay_since_and_then_live(endpoint: Endpoint) -> None:
    await lay(endpoint, *"abc")
    async with follow(endpoint, "?since=1") as reader:
        opened, *missed = await reader.take(3)
        assert opened.data["since"] == 1
        assert [each.data["body"]["text"] for each in missed] == ["b", "c"]
        await lay(endpoint, "d")
        assert [each.id for each in await reader.take(1)] == ["4"]


async def test_the_last_id_goes_before_since(endpoint: Endpoint) -> None:
    await lay(endpoint, *"abc")
    async with follow(endpoint, "?since=0", last_id="2") as reader:
        assert [each.id for each in await reader.take(2)] == [None, "3"]


async def test_a_last_id_that_is_none_of_ours(endpoint: Endpoint) -> None:
    await lay(endpoint, "a")
    for last_id in ("", "x", "-1", "²", "9" * 30):
        async with follow(endpoint, "?since=0", last_id=last_id) as reader:
            assert [each.id for each in await reader.take(2)] == [None, "1"]


async def test_nothing_is_missed_or_told_twice_between_replay_and_live(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_api, "_ROWS_A_PIECE", 3)
    laying = asyncio.create_task(lay(endpoint, *(str(number) for number in range(60))))
    for _ in range(4):
        async with follow(endpoint, "?since=0") as reader:
            await reader.next()
            assert [int(each.id or 0) for each in await reader.take(60)] == list(range(1, 61))
    await laying


async def test_what_replay_and_feed_both_have_is_told_once(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    read = endpoint.journal.read_events
    reads = 0

    async def read_events(number: int, after: int, limit: int) -> Any:
        nonlocal reads
        reads += 1
        if reads == 2:  # the one after following has begun
            await lay(endpoint, "b")
        return await read(number, after, limit)

    await lay(endpoint, "a")
    monkeypatch.setattr(endpoint.journal, "read_events", read_events)
    async with follow(endpoint, "?since=0") as reader:
        assert [each.id for each in await reader.take(3)] == [None, "1", "2"]
        await lay(endpoint, "c")
        assert [each.id for each in await reader.take(1)] == ["3"]


async def test_what_comes_between_replay_and_feed_is_told(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    read = endpoint.journal.read_events
    reads = 0

    async def read_events(number: int, after: int, limit: int) -> Any:
        nonlocal reads
        reads += 1
        rows = await read(number, after, limit)
        if reads == 1:  # it has read to the end, and does not follow yet
            await lay(endpoint, "b")
        return rows

    await lay(endpoint, "a")
    monkeypatch.setattr(endpoint.journal, "read_events", read_events)
    async with follow(endpoint, "?since=0") as reader:
        assert [each.id for each in await reader.take(3)] == [None, "1", "2"]


async def test_only_after_the_commit(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    async with follow(endpoint) as reader:
        await reader.next()
        held: list[Any] = []
        monkeypatch.setattr(endpoint.journal, "submit", held.append)
        laying = asyncio.create_task(lay(endpoint, "a"))
        await endpoint.kit.until(lambda: bool(held))
        following = asyncio.create_task(reader.next())
        await asyncio.sleep(0.1)
        assert not following.done(), "it is decided, but not durable"
        monkeypatch.undo()
        endpoint.journal.submit(held[0])
        found = await following
        assert found is not None
        assert found.id == "1"
        await laying


async def test_a_session_that_is_another(endpoint: Endpoint) -> None:
    """Its events are numbered anew, so the last id of the old one means nothing."""
    await lay(endpoint, "a", "b")
    for query in ("?since=500", f"?since=1&session={session(endpoint) + 1}"):
        async with follow(endpoint, query) as reader:
            opened, first = await reader.take(2)
            assert (opened.data["since"], first.id) == (0, "1")
    async with follow(endpoint, f"?since=1&session={session(endpoint)}") as reader:
        assert [each.id for each in await reader.take(2)] == [None, "2"]


async def test_the_session_changes_under_a_follower(endpoint: Endpoint) -> None:
    async with follow(endpoint) as reader:
        await reader.next()
        endpoint.kit.hall.feed.publish([(77, 1, 5, "desk.note_laid", b"{}")])
        opened, first = await reader.take(2)
        assert opened == Sse(None, "stream_open", {"session": 77, "since": 0})
        assert first.id == "1"


async def test_a_slow_reader_is_told_and_can_go_on(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    subscribe = endpoint.kit.hall.feed.subscribe

    def small(self: feeds.Feed) -> Subscription:
        made = subscribe()
        made._bound = 2  # pyright: ignore[reportPrivateUsage] - the real bound takes 20,000 events
        return made

    monkeypatch.setattr(feeds.Feed, "subscribe", small)
    async with follow(endpoint) as reader:
        await reader.next()
        endpoint.kit.hall.feed.publish([(session(endpoint), n, 0, "desk.note_laid", b"{}") for n in (1, 2, 3)])
        assert [each.id for each in await reader.take(2)] == ["1", "2"]
        assert await reader.next() == Sse(None, "stream_closed", {"reason": "too_slow"})
        assert await reader.next() is None
    assert not endpoint.kit.hall.feed._followers  # pyright: ignore[reportPrivateUsage]


async def test_the_hall_is_over(endpoint: Endpoint) -> None:
    async with follow(endpoint) as reader:
        await reader.next()
        endpoint.kit.close_room()
        assert await reader.next() == Sse(None, "stream_closed", {"reason": "hall_over"})
        assert await reader.next() is None


async def test_the_endpoint_closes(endpoint: Endpoint) -> None:
    async with follow(endpoint) as live, follow(endpoint, "?since=0") as replayed:
        for reader in (live, replayed):
            await reader.next()
        stopping = asyncio.create_task(endpoint.stop())
        for reader in (live, replayed):
            assert await reader.next() == Sse(None, "stream_closed", {"reason": "stopping"})
        async with asyncio.timeout(1.5):
            await stopping


async def test_the_journal_can_not_be_read(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read_events(*args: Any) -> Any:
        raise Unavailable("the journal can't be read: disk I/O error")

    monkeypatch.setattr(endpoint.journal, "read_events", read_events)
    async with follow(endpoint, "?since=0") as reader:
        await reader.next()
        assert await reader.next() == Sse(None, "stream_closed", {"reason": "unavailable"})


async def test_silence_has_a_heartbeat(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert events_api.HEARTBEAT_SECONDS == 15
    monkeypatch.setattr(events_api, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(events_api, "_LOOK_SECONDS", 0.02)
    async with follow(endpoint) as reader:
        await reader.next()
        await asyncio.sleep(0.3)
        await lay(endpoint, "a")
        assert (await reader.take(1))[0].id == "1"
        assert len(reader.comments) >= 2


async def test_followers_are_bounded_and_those_who_leave_make_room(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_api, "MAX_STREAMS_A_HALL", 2)
    monkeypatch.setattr(events_api, "_LOOK_SECONDS", 0.02)
    async with follow(endpoint) as one, follow(endpoint) as other:
        await one.next()
        await other.next()
        full = await endpoint.call("GET", f"{endpoint.hall}/events")
        assert full.error == (503, "busy", "busy")
        assert full.headers["Retry-After"] == "5"
        other.answer.close()

        async with asyncio.timeout(5):
            while (status := await ask(endpoint)) == 503:  # noqa: ASYNC110 - the endpoint tells no event of it
                await asyncio.sleep(0.02)
        assert status == 200


async def ask(endpoint: Endpoint) -> int:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with endpoint.client.get(f"{endpoint.url}{endpoint.hall}/events", headers=headers) as answer:
        return answer.status


async def test_all_halls_together_are_bounded(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_api, "MAX_STREAMS", 0)
    assert (await endpoint.call("GET", f"{endpoint.hall}/events")).error == (503, "busy", "busy")


async def test_what_can_not_be_followed(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await endpoint.call("GET", "/v1/halls/nowhere/events")).error == (404, "not_found", "not_found")
    for query in ("since=-1", "since=x", "since=1.5", "session=x", "after=1"):
        answer = await endpoint.call("GET", f"{endpoint.hall}/events?{query}")
        assert answer.error == (422, "validation_error", "validation_error"), query
    monkeypatch.setattr(endpoint.kit.hall, "_session", None)
    for path in ("events", "export"):
        answer = await endpoint.call("GET", f"{endpoint.hall}/{path}")
        assert answer.error == (409, "hall_not_active", "hall_not_active")


# -- the file -----------------------------------------------------------------------------------------


async def test_the_export(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_api, "_ROWS_A_PIECE", 2)
    await lay(endpoint, *"abcde")
    answer = await endpoint.call("GET", f"{endpoint.hall}/export?format=jsonl")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert f'filename="events-{session(endpoint)}.jsonl"' in answer.headers["Content-Disposition"]
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["body"]["text"] for line in lines] == list("abcde")


async def test_an_export_of_nothing(endpoint: Endpoint) -> None:
    answer = await endpoint.call("GET", f"{endpoint.hall}/export")
    assert (answer.status, answer.body) == (200, "")
    assert (await endpoint.call("GET", f"{endpoint.hall}/export?format=csv")).status == 422
    assert (await endpoint.call("GET", "/v1/halls/nowhere/export")).status == 404


async def test_a_file_that_breaks_off_is_no_whole_one(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_api, "_ROWS_A_PIECE", 2)
    await lay(endpoint, *"abcde")
    read = endpoint.journal.read_events

    async def read_events(number: int, after: int, limit: int) -> Any:
        if after:
            raise Unavailable("the journal can't be read: disk I/O error")
        return await read(number, after, limit)

    monkeypatch.setattr(endpoint.journal, "read_events", read_events)
    with pytest.raises(aiohttp.ClientError):
        await endpoint.call("GET", f"{endpoint.hall}/export")


async def test_an_export_that_the_endpoints_end_cuts_off(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_api, "_ROWS_A_PIECE", 1)
    read = endpoint.journal.read_events
    stopping: list[asyncio.Task[None]] = []

    async def read_events(number: int, after: int, limit: int) -> Any:
        if after == 1:
            stopping.append(asyncio.create_task(endpoint.stop()))
            await asyncio.sleep(0.05)
        return await read(number, after, limit)

    await lay(endpoint, *"abc")
    monkeypatch.setattr(endpoint.journal, "read_events", read_events)
    with pytest.raises(aiohttp.ClientError):
        await endpoint.call("GET", f"{endpoint.hall}/export")
    await stopping[0]


async def test_a_reader_that_takes_nothing_is_cut(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_WRITE_SECONDS", 0.2)
    feed = endpoint.kit.hall.feed
    host, _, port = endpoint.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1000)
    head = f"GET {endpoint.hall}/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    writer.write(head.encode())
    await endpoint.kit.until(lambda: bool(feed._followers))  # pyright: ignore[reportPrivateUsage]
    body = json.dumps({"text": "x" * 15_000}).encode()
    feed.publish([(session(endpoint), number, 0, "desk.note_laid", body) for number in range(1, 2000)])
    await endpoint.kit.until(lambda: not feed._followers)  # pyright: ignore[reportPrivateUsage]
    assert (await ask(endpoint)) == 200
    assert not reader.at_eof()
    writer.transport.abort()
    await asyncio.sleep(0)
