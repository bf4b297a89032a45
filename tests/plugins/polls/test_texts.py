"""Texts of every script in polls: tables, to be made longer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from relay_bot.testing import Guest, HallKit, Refused

ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"

CLOUDS: list[tuple[str, dict[str, Any], list[str], dict[str, int]]] = [
    ("Hindi", {}, ["हिन्दी भाषा", "हिन्दी"], {"हिन्दी": 2, "भाषा": 1}),
    ("Thai", {}, ["ฉันรักประเทศไทย", "ประเทศไทย"], {"ประเทศไทย": 2, "ฉัน": 1, "รัก": 1}),
    ("Chinese", {}, ["我爱北京", "北京"], {"北京": 2, "我": 1, "爱": 1}),
    ("Arabic", {}, ["كَلْب", "كلب"], {"كلب": 2}),
    ("apostrophes", {}, ["Dave’s", "Dave's"], {"Dave's": 2}),
    ("the stop list has both apostrophes", {}, ["pizza, don’t stop", "pizza"], {"pizza": 2, "stop": 1}),
    ("German is no English", {}, ["war", "war"], {"war": 2}),
    ("an answer", {}, ["No", "no", "NO!"], {"no": 3}),
    ("capitals", {}, ["made in the US", "US", "the IT department", "us and them"],
     {"US": 2, "made": 1, "IT": 1, "department": 1}),
    ("languages of programmers", {}, ["C++", "c++ and C#", "C"], {"C#": 1, "c++": 2, "C": 1}),
    ("emoji", {}, ["👍 ❤️", "❤", "👍🏽"], {"❤": 2, "👍": 1, "👍🏽": 1}),
    ("the commonest spelling", {}, ["Straße", "Straße", "STRASSE"], {"Straße": 3}),
    ("of equals the plainer one", {}, ["PIZZA", "Pizza", "pizza"], {"pizza": 3}),
    ("a compound", {}, ["well-being"], {"well-being": 1}),
    ("the one language of the settings", {"stop_words_language": "de"}, ["der Hund war da", "the dog"],
     {"Hund": 1, "the": 1, "dog": 1}),
    ("no language", {"stop_words_language": "none"}, ["the dog"], {"the": 1, "dog": 1}),
    ("words of one's own", {"stop_words": ["Pizza", "US"]}, ["pizza", "US", "beer"], {"beer": 1}),
]  # fmt: skip


@pytest.mark.parametrize("anonymous", [False, True])
@pytest.mark.parametrize(("settings", "said", "cloud"), [row[1:] for row in CLOUDS], ids=[row[0] for row in CLOUDS])
async def test_word_clouds(
    tmp_path: Path, settings: dict[str, Any], said: Sequence[str], cloud: dict[str, int], anonymous: bool
) -> None:
    async with HallKit.open(tmp_path, {"polls": settings}) as kit:
        await kit.backend("poll", {"poll_id": "p", "kind": "text", "question": "?", "anonymous": anonymous})
        for number, text in enumerate(said):
            guest = await kit.join(f"v{number}")
            await guest.ask("poll_response", {"poll_id": "p", "text": text})
        for step in ("get_poll", "close_poll"):
            words = (await kit.call("polls", step, poll_id="p"))["words"]
            assert {word["word"].replace("\ufe0f", ""): word["count"] for word in words} == cloud
        assert kit.fingerprints() == await kit.replayed()


async def test_an_answer_that_is_changed_takes_its_words_along(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", {"poll_id": "p", "kind": "text", "question": "?", "allow_revote": True})
    for text in ("IT", "No", "Straße"):
        await ann.ask("poll_response", {"poll_id": "p", "text": text})
    assert (await kit.call("polls", "get_poll", poll_id="p"))["words"] == [{"word": "Straße", "count": 1}]


async def test_the_length_of_an_answer_is_that_of_what_is_kept(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", {"poll_id": "p", "kind": "text", "question": "?", "max_length": 4})
    await ann.ask("poll_response", {"poll_id": "p", "text": "Cafe\u0301"})


SAME_OPTIONS = [
    ("Yes", "yes"), ("ice cream", "ice  cream"), ("Tee", "Tee "), ("Café", "Cafe\u0301"), ("Straße", "STRASSE"),
    ("❤", "❤\ufe0f"), ("id\u200biot", "idiot"),
]  # fmt: skip
OTHER_OPTIONS = [
    (ENGLAND, SCOTLAND), ("👩\u200d🚀", "👩🚀"), ("👍🏽", "👍"), ("C", "C++"), ("x²", "x2"),
    ("\U0001faea", "\U0001faf6"),
    ("\U0001faff", "\U0001fafe"), ("मौत", "माता"), ("ano", "año"), ("-1", "1"), ("←", "→"),
]  # fmt: skip


@pytest.mark.parametrize("pair", SAME_OPTIONS)
async def test_options_that_are_the_same(kit: HallKit, host: Guest, ann: Guest, pair: tuple[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        await host.ask("poll", {"question": "?", "options": list(pair)})
    assert (refused.value.code, refused.value.payload["field"]) == ("malformed", "payload.options[1]")
    await host.ask("poll", {"poll_id": "p", "question": "?", "options": [pair[0], "x"], "user_options": "free"})
    with pytest.raises(Refused, match="malformed"):
        await ann.ask("poll_option", {"poll_id": "p", "text": pair[1]})


@pytest.mark.parametrize("pair", OTHER_OPTIONS)
async def test_options_that_are_not(kit: HallKit, host: Guest, ann: Guest, pair: tuple[str, str]) -> None:
    await host.ask("poll", {"poll_id": "p", "question": pair[0], "options": list(pair)})
    assert host.last("poll")["options"] == list(pair)
    await ann.ask("poll_response", {"poll_id": "p", "option": pair[1]})
    assert (await kit.call("polls", "get_poll", poll_id="p"))["counts"] == [0, 1]


VOTES = [("Cafe\u0301", "Café"), ("Café", "Cafe\u0301"), ("Tee ", "Tee"), ("Tee", " Tee "),
         ("ice  cream", "ice cream"),
         ("ice cream", "ice\u00a0 cream"),
         ("❤", "❤\ufe0f"), ("id\u200biot", "idiot"), ("가", "\u1100\u1161")]  # fmt: skip


@pytest.mark.parametrize(("option", "vote"), VOTES)
@pytest.mark.parametrize("anonymous", [False, True])
async def test_an_option_is_found_by_its_text(
    kit: HallKit, host: Guest, ann: Guest, option: str, vote: str, anonymous: bool
) -> None:
    await host.ask("poll", {"poll_id": "p", "question": "?", "options": ["x", option], "anonymous": anonymous})
    await ann.ask("poll_response", {"poll_id": "p", "option": vote})
    assert (await kit.call("polls", "get_poll", poll_id="p"))["counts"] == [0, 1]


@pytest.mark.parametrize("text", ["\u2800", "\u3164", "\U000e0067\U000e007f", "\u200b", "\u034f\ufe0f"])
async def test_what_cannot_be_seen_is_no_text(kit: HallKit, host: Guest, ann: Guest, text: str) -> None:
    for body, field in (
        ({"question": text, "options": ["a", "b"]}, "question"),
        ({"question": "?", "options": ["a", text]}, "options[1]"),
        ({"question": "?", "kind": "rating", "scale": {"labels": ["a", text]}}, "scale.labels[1]"),
    ):
        with pytest.raises(Refused) as refused:
            await host.ask("poll", body)
        assert refused.value.payload["field"] == f"payload.{field}"
    await host.ask("poll", {"poll_id": "t", "kind": "text", "question": "?"})
    with pytest.raises(Refused, match="invalid_choice"):
        await ann.ask("poll_response", {"poll_id": "t", "text": text})


@pytest.mark.parametrize("own", [[], ["a"]])
async def test_options_may_all_come_from_the_voters(kit: HallKit, host: Guest, ann: Guest, own: list[str]) -> None:
    body = {"poll_id": "p", "question": "?", "user_options": "free"}
    await host.ask("poll", body | ({"options": own} if own else {}))
    if not own:
        with pytest.raises(Refused, match="no options yet"):
            await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    await ann.ask("poll_option", {"poll_id": "p", "text": "tea"})
    await ann.ask("poll_response", {"poll_id": "p", "option": "tea"})
    assert (await kit.call("polls", "get_poll", poll_id="p"))["counts"] == [0] * len(own) + [1]


async def test_numbers_have_their_words(kit: HallKit, host: Guest, ann: Guest) -> None:
    await host.ask("poll", {"poll_id": "p", "question": "?", "options": ["a", "b"]})
    with pytest.raises(Refused, match="choose one option"):
        await ann.ask("poll_response", {"poll_id": "p", "options": []})
    await host.ask("poll", {"poll_id": "q", "question": "?", "options": ["a", "b", "c"], "max_choices": 2})
    with pytest.raises(Refused, match="choose 1 to 2 different options"):
        await ann.ask("poll_response", {"poll_id": "q", "options": [0, 1, 2]})
