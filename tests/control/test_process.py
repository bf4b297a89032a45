"""`/health`, `/ready`, `/metrics`."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay_bot.control import process_api
from relay_bot.hall import supervisor
from relay_bot.journal.batch import Unavailable
from tests.control.support import Endpoint


async def test_health(endpoint: Endpoint) -> None:
    answer = await endpoint.call("GET", "/health")
    assert (answer.status, answer.body["status"]) == (200, "ok")


async def test_ready(endpoint: Endpoint) -> None:
    answer = await endpoint.call("GET", "/ready")
    assert answer.status == 200
    assert answer.body == {"status": "ok", "database": "ok", "livekit": "ok", "halls": {"live": 1}}


async def test_what_does_not_work_is_named(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a hall: the bot itself is ready, and says what is wrong there."""

    def long(failures: int) -> float:
        return 60.0

    monkeypatch.setattr(supervisor, "pause", long)
    hall = endpoint.kit.hall
    monkeypatch.setattr(hall._debtor, "_work", None)  # to call it raises
    hall._debtor._wake.set()
    await endpoint.kit.until(lambda: bool(hall.troubles()))
    answer = await endpoint.call("GET", "/ready")
    assert (answer.status, answer.body["status"]) == (200, "ok")
    [detail] = answer.body["details"]
    assert (detail["part"], detail["hall_id"]) == ("effects", hall.name)
    assert detail["detail"].startswith("TypeError at debts.py:")
    shown = await endpoint.call("GET", "/metrics")
    assert 'relay_not_working{part="effects"} 1.0' in shown.body


async def test_not_ready_while_livekit_does_not_answer(endpoint: Endpoint) -> None:
    endpoint.halls.livekit_answers = False
    answer = await endpoint.call("GET", "/ready")
    assert answer.status == 503
    assert (answer.body["status"], answer.body["livekit"]) == ("not_ready", "not answering")


async def test_a_livekit_that_hangs(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.halls.livekit_hangs = True
    monkeypatch.setattr(process_api, "_PROBE_SECONDS", 0.05)
    answer = await endpoint.call("GET", "/ready")
    assert (answer.status, answer.body["livekit"]) == (503, "not answering")


async def test_not_ready_without_the_database(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe() -> None:
        raise Unavailable("the journal can't be written: disk full")

    monkeypatch.setattr(endpoint.journal, "probe", probe)
    answer = await endpoint.call("GET", "/ready")
    assert (answer.status, answer.body["database"]) == (503, "the journal can't be written: disk full")


async def test_a_database_that_hangs(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def probe() -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(endpoint.journal, "probe", probe)
    monkeypatch.setattr(process_api, "_PROBE_SECONDS", 0.05)
    answer = await endpoint.call("GET", "/ready")
    assert (answer.status, answer.body["database"]) == (503, "not answering")


async def test_metrics(endpoint: Endpoint) -> None:
    await endpoint.call("GET", "/v1/nowhere/at/all")
    answer = await endpoint.call("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.body)}
    halls = {sample.labels["state"]: sample.value for sample in families["relay_halls"].samples}
    assert halls["live"] == 1
    routes = {sample.labels["route"] for sample in families["relay_http_requests"].samples}
    assert "unknown" in routes, "paths that we don't know have no label of their own"
    assert not any("nowhere" in route for route in routes)


async def test_the_halls(endpoint: Endpoint) -> None:
    await endpoint.kit.join("ann")
    hall = {
        "hall_id": endpoint.kit.hall.name,
        "room_sid": "RM_kit",
        "status": "live",
        "seq": 0,
        "participants": 1,
        "bot_identity": "relay-bot",
    }
    assert (await endpoint.call("GET", "/v1/halls")).body == {"halls": [hall]}
    assert (await endpoint.call("GET", endpoint.hall)).body == hall
    assert (await endpoint.call("GET", "/v1/halls/nowhere")).error == (404, "not_found", "not_found")


async def test_a_failure_is_told_in_the_published_form(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail() -> None:
        raise ValueError("a secret path")

    monkeypatch.setattr(endpoint.halls, "all", fail)
    answer = await endpoint.call("GET", "/v1/halls")
    assert answer.error == (500, "internal", "internal")
    assert "secret" not in str(answer.body)


async def test_a_hall_without_its_journal_is_not_an_empty_hall(endpoint: Endpoint) -> None:
    endpoint.kit.hall.status = "degraded"
    answer = await endpoint.interact("note", {"text": "a"})
    assert answer.error == (503, "busy", "journal_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    endpoint.kit.hall.status = "live"
