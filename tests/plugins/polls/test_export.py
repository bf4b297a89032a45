"""Polls as files."""

from __future__ import annotations

import base64
import csv
import io
import json
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from plugins.polls.export import safe_cell
from relay_bot.hall.past import Past
from relay_bot.testing import Guest, HallKit

EVIL = '=HYPERLINK("http://x","<script>alert(\'1\')</script>")'


async def _file(kit: HallKit, method: str = "export_poll", **parameters: Any) -> tuple[dict[str, Any], str]:
    if method == "export_poll":
        parameters.setdefault("poll_id", "p")
    file = await kit.call("polls", method, **parameters)
    return file, base64.b64decode(file["content"]).decode("utf-8-sig")


async def _ask(host: Guest, ann: Guest, poll_id: str = "p") -> None:
    await host.ask("poll", {"poll_id": poll_id, "question": EVIL, "options": ["+1", '@home, "quoted"']})
    await ann.ask("poll_response", {"poll_id": poll_id, "option": 1})


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "  =", "\n-"])
def test_a_cell_is_no_formula(begin: str) -> None:
    assert safe_cell(f"{begin}1+1") == f"'{begin}1+1"
    assert safe_cell(f"1{begin}1") == f"1{begin}1"
    assert safe_cell(-5) == -5


async def test_csv(kit: HallKit, host: Guest, ann: Guest) -> None:
    await _ask(host, ann)
    file, text = await _file(kit)
    assert (file["filename"], file["content_type"]) == ("polls-p.csv", "text/csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["option"], row["count"], row["percentage"]) for row in rows] == [
        ("'+1", "0", "0"), ("'@home, \"quoted\"", "1", "100"),
    ]  # fmt: skip
    assert {row["question"] for row in rows} == {f"'{EVIL}"}
    _, text = await _file(kit, part="votes")
    (vote,) = csv.DictReader(io.StringIO(text))
    assert (vote["participant_id"], vote["choices"], vote["inferred"]) == ("ann", "1", "0")


async def test_a_quizs_votes_have_their_points(kit: HallKit, host: Guest, ann: Guest, ben: Guest) -> None:
    await host.ask(
        "poll", {"poll_id": "p", "kind": "quiz", "question": "Q", "options": ["a", "b"], "correct": [0],
                 "negative_points": 5},
    )  # fmt: skip
    await ann.ask("poll_response", {"poll_id": "p", "option": 0})
    await ben.ask("poll_response", {"poll_id": "p", "option": 1})
    _, text = await _file(kit, part="votes")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["participant_id"], row["points"]) for row in rows] == [("ann", "100"), ("ben", "-5")]
    assert all(0 <= float(row["seconds"]) < 60 for row in rows)


async def test_json(kit: HallKit, host: Guest, ann: Guest) -> None:
    await _ask(host, ann)
    _, text = await _file(kit, format="json")
    (exported,) = json.loads(text)["polls"]
    assert exported["poll"]["question"] == EVIL
    assert exported["votes"] == [{"participant_id": "ann", "inferred": False, "choices": [1], "display_name": "Ann"}]


LIKELY = {"min": 0, "max": 10, "labels": ["not at all", "<likely>"]}


class Outside(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object", "a", "form"):
            self.found.append(tag)
        self.found += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]


async def test_html_is_whole_and_harmless(kit: HallKit, host: Guest, ann: Guest) -> None:
    await _ask(host, ann)
    await kit.backend("poll", {"poll_id": "r", "kind": "ranking", "question": "<b>", "options": ["<i>", "&amp;"]})
    await ann.ask("poll_response", {"poll_id": "r", "ranking": [1, 0]})
    await host.ask(
        "poll", {"poll_id": "q", "kind": "quiz", "question": "Q", "options": ["a", "b"], "correct": [0],
                 "explanation": "</section><img src=x>"},
    )  # fmt: skip
    await kit.join("eve", name="<img onerror=x>")
    await kit.room.guests["eve"].ask("poll_response", {"poll_id": "q", "option": 0})
    await host.ask("poll", {"poll_id": "t", "kind": "text", "question": "Why?"})
    await ann.ask("poll_response", {"poll_id": "t", "text": "apples apples pears"})
    await host.ask("poll", {"poll_id": "n", "kind": "rating", "question": "NPS?", "scale": LIKELY})
    await ann.ask("poll_response", {"poll_id": "n", "rating": 10})
    await host.ask("poll_close", {"poll_id": "q"})
    file, text = await _file(kit, "export_polls", format="html")
    assert file["content_type"] == "text/html"
    page = Outside()
    page.feed(text)
    assert page.found == []
    assert "&lt;script&gt;" in text
    assert "&lt;img onerror=x&gt;" in text
    assert "NPS 100" in text
    assert "10 (&lt;likely&gt;)" in text
    assert "apples" in text
    assert text.count("<section>") == text.count("</section>") == 5


async def test_a_session_leaves_out_what_was_never_shown(kit: HallKit, host: Guest, ann: Guest) -> None:
    for name, state in (("shown", "open"), ("draft", "draft"), ("gone", "open")):
        await host.ask("poll", {"poll_id": name, "question": name, "options": ["a", "b"], "state": state})
    await host.ask("poll_discard", {"poll_id": "gone"})
    for form in ("csv", "json"):
        _, text = await _file(kit, "export_polls", format=form)
        assert "shown" in text
        assert "draft" not in text
        assert "gone" not in text


async def test_a_file_name_carries_nothing_odd(kit: HallKit, host: Guest, ann: Guest) -> None:
    await _ask(host, ann, '../"; x=\u202e')
    file, _ = await _file(kit, poll_id='../"; x=\u202e')
    assert file["filename"] == "polls-.._x_.csv"


async def test_a_hall_that_is_over_gives_its_polls_still(kit: HallKit, host: Guest, ann: Guest) -> None:
    await _ask(host, ann)
    await host.ask("poll", {"poll_id": "s", "question": "Who?", "options": ["a", "b"], "anonymous": True})
    await ann.ask("poll_response", {"poll_id": "s", "option": 1})
    await host.ask("poll", {"poll_id": "later", "question": "When?", "options": ["a", "b"], "state": "draft"})
    kit.close_room()
    await kit.until(lambda: kit.hall.status == "ended")
    await kit.stop()  # its end is in the journal
    spec = kit.loaded["polls"].spec
    route = next(each for each in spec.routes if each.method == "export_polls")
    asked = msgspec.convert({"format": "json"}, route.request_type)
    file = await Past().ask(kit.hall.name, "polls", route, asked, kit._services)
    exported = {each["poll"]["poll_id"]: each for each in json.loads(file.content)["polls"]}
    assert {poll_id: each["poll"]["status"] for poll_id, each in exported.items()} == {"p": "closed", "s": "closed"}
    assert [exported[poll_id]["poll"]["counts"] for poll_id in ("p", "s")] == [[0, 1], [0, 1]]
    assert [len(exported[poll_id]["votes"]) for poll_id in ("p", "s")] == [1, 0]
    await kit.start()
