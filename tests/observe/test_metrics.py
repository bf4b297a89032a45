"""Metrics: each one that is named is counted somewhere, and each that is counted is named."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from relay_bot.link import Frame
from relay_bot.observe import metrics
from tests.support.halls import envelope, open_hall, unlimited

PACKAGE = Path(__file__).parents[2] / "relay_bot"
NAMED = {name for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase | metrics.ManyHistogram)}


def used() -> set[str]:
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "metrics.py":
            found |= set(re.findall(r"\bmetrics\.([A-Z_]+)\b", path.read_text(encoding="utf-8")))
    return found - {"REGISTRY"}


def test_every_metric_is_used_and_every_one_that_is_used_is_named() -> None:
    assert used() == NAMED


def test_every_metric_is_ours_by_its_name_and_explained() -> None:
    text = generate_latest(metrics.REGISTRY).decode()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, explanation = line.split(" ", 3)
            assert name.startswith("relay_")
            assert explanation.endswith((".", "outcome.", "state."))


def test_many_values_at_once_make_the_histogram_that_they_make_one_by_one() -> None:
    values = [0.0, 0.0005, 0.0006, 0.1, 0.1, 4.0, 5.0, 7.5]
    texts: list[bytes] = []
    for at_once in (True, False):
        registry, bounds = CollectorRegistry(), (0.0005, 0.1, 5.0)
        if at_once:
            many = metrics.ManyHistogram("waits", "Waits.", bounds, registry)
            many.observe_all(values[:3])
            many.observe_all(values[3:])
        else:
            one = Histogram("waits", "Waits.", buckets=bounds, registry=registry)
            for value in values:
                one.observe(value)
        texts.append(generate_latest(registry))
    assert texts[0] == b"\n".join(line for line in texts[1].splitlines() if b"_created" not in line) + b"\n"


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


async def test_what_a_hall_does_is_counted(tmp_path: Path) -> None:
    names = ("relay_duplicates_total", "relay_packets_sent_total", "relay_commit_seconds_count")
    before = {name: value(name) for name in names}
    refused, taken = value("relay_refused_total", code="malformed"), value("relay_messages_total", door="rpc")
    async with open_hall(tmp_path) as kit:
        ann = await kit.join("ann")
        for _ in range(2):
            await ann.ask("vote", {}, "m1")
        ann.send("vote", {"option": 7}, "m2")
        await kit.settle()
    assert all(value(name) > before[name] for name in names)
    assert value("relay_duplicates_total") == before["relay_duplicates_total"] + 1
    assert value("relay_refused_total", code="malformed") == refused + 1
    assert value("relay_messages_total", door="rpc") == taken + 2


async def test_what_waits_now_is_told_and_gone_again_with_the_hall(tmp_path: Path) -> None:
    gauges = ("relay_held", "relay_outbox_packets")
    before = [value(name) for name in gauges]
    async with open_hall(tmp_path, settings=unlimited(mailbox=100)) as kit:
        await kit.join("ann")
        kit.room.tell(*burst("ann", 150))
        assert kit.hall.waiting == 100
        await kit.settle()
        assert kit.hall.waiting == 0
        kit.room.tell(*burst("", 5))
        await kit.until(lambda: value("relay_held") == before[0] + 5)
        kit.close_room()
        await kit.until(lambda: kit.hall.status == "ended")
    assert [value(name) for name in gauges] == before


def burst(sender: str, count: int) -> list[Frame]:
    """Make frames; without a sender, nameless ones that claim a stranger."""
    return [
        Frame(envelope("vote", {}, id=f"{sender}-{number}", sender_id=sender or "stranger"), sender, 0.0)
        for number in range(count)
    ]
