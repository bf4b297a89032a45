"""`/poll` lines: quotes of all kinds, bars, and times that are options."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay_bot.testing import HallKit, Refused


@pytest.mark.parametrize(
    ("line", "question", "options", "seconds"),
    [
        ('"Break?" 5m | 10m | 15m', "Break?", ["5m", "10m", "15m"], None),
        ('"Break?" 5m | 10m | 15m 60s', "Break?", ["5m", "10m", "15m"], 60),
        ('"Break?" 1 hour | 2 hours', "Break?", ["1 hour", "2 hours"], None),
        ('"When?" in 5m | in 10m', "When?", ["in 5m", "in 10m"], None),
        ('"When?" now | in 10m', "When?", ["now", "in"], 600),
        ('"When?" now | "in 10m"', "When?", ["now", "in 10m"], None),
        ('"When?" now | "in 10m" 30s', "When?", ["now", "in 10m"], 30),
        ('"Q?" a | b 1h 30m', "Q?", ["a", "b"], 5400),
        ('"Q?" a | b 2 min', "Q?", ["a", "b"], 120),
        ('"Q?" a | b 10', "Q?", ["a", "b 10"], None),
        ('"Lunch?" “Pizza” | “Sushi”', "Lunch?", ["Pizza", "Sushi"], None),
        ("\"Lunch?\" «Pizza» | 'Sushi roll' 60s", "Lunch?", ["Pizza", "Sushi roll"], 60),
        (r'"Say \"hi\"?" a | b', 'Say "hi"?', ["a", "b"], None),
        ("”Tea?” a | b", "Tea?", ["a", "b"], None),
        ("«Tea?» a | b", "Tea?", ["a", "b"], None),
        ("„Tea?“ a | b", "Tea?", ["a", "b"], None),
        ("'Tea?' a|b", "Tea?", ["a", "b"], None),
        ("\u200b「Tea?」a | b", "Tea?", ["a", "b"], None),
        ("'Don't you?' a | b", "Don't you?", ["a", "b"], None),
        (r'"Q?" a \| b | "c | d"', "Q?", ["a | b", "c | d"], None),
        ('"Q?" 5" pizza | 6" pizza', "Q?", ['5" pizza', '6" pizza'], None),
        ("\"Q?\" don't | won't", "Q?", ["don't", "won't"], None),
        (r'"Q?" C:\x | ¯\_(ツ)_/¯', "Q?", [r"C:\x", r"¯\_(ツ)_/¯"], None),
    ],
)
async def test_a_typed_poll(tmp_path: Path, line: str, question: str, options: list[str], seconds: int | None) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        host = await kit.join("host", role="host")
        said = (await host.say(f"/poll {line}"))["notice"]
        poll = host.last("poll")
        assert (poll["question"], poll["options"]) == (question, options)
        assert poll.get("duration_seconds") == seconds
        assert " | ".join(options) in said


@pytest.mark.parametrize(
    "line",
    [
        '/poll "Q?" a | b 2d',
        '/poll "Q?" a | b 0s',
        "/extend 10",
        "/extend 0s",
        "/extend -",
        "/extend 2d",
        "/poll Q? a | b",
    ],
)
async def test_what_is_refused_is_told_with_the_usage(tmp_path: Path, line: str) -> None:
    async with HallKit.open(tmp_path, {"polls": {}}) as kit:
        host = await kit.join("host", role="host")
        await host.say('/poll "Open?" a | b')
        with pytest.raises(Refused, match="; usage: /"):
            await host.say(line)
        assert len(host.all("poll")) == 1


@pytest.mark.parametrize("opens_at", ["2099-01-31T10:00:00", "2099-01-31T10:00", "2099-01-31T10:00:00.000"])
async def test_a_time_without_its_offset_is_refused(tmp_path: Path, opens_at: str) -> None:
    async with HallKit.open(tmp_path, {"polls": {}, "moderation": {}}) as kit:
        host = await kit.join("host", role="host")
        with pytest.raises(Refused, match="with its offset") as refused:
            await host.ask("poll", {"question": "?", "options": ["a", "b"], "opens_at": opens_at})
        assert refused.value.payload["field"] == "payload.opens_at"
        with pytest.raises(Refused, match="with its offset"):
            await host.ask("moderation", {"action": "ban", "participant_id": "x", "until": opens_at})
