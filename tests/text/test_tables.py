"""Cells that no spreadsheet runs: a table, to be made longer."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from typing import Any

import pytest

from relay_bot.tables import Delimiter, csv_file, safe_cell, xlsx_file

LIVE = [
    "=1+1", "+1", "-1", "@SUM(1)", "\t=1+1", "\r=1", "  =1+1", "\u200b=1+1", "\u00a0=1", "＝1+1", "＋1", "－1", "＠x",
    ";=1+1", ";@x", "a;=1+1", "a; =1+1", "a\t=1", "a|=1", "a\n=cmd|' /C calc'!A0", "x;+cmd|' /C calc'!A0", '";=1+1',
]  # fmt: skip
HARMLESS = ["1+1", "a=b", "yes; no", "5 - 3", "1;-2", "well-being", "it's", "e = mc²", "C++", "", "a\nb"]
SIGN = re.compile("[=+\\-@＝＋－＠]")


@pytest.mark.parametrize("text", LIVE)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "semicolon"])
def test_no_cell_is_run(text: str, delimiter: Delimiter) -> None:
    sign = {"semicolon": ";"}.get(delimiter, delimiter)
    content = csv_file(["a", "b"], [["x", text]], delimiter).decode("utf-8-sig")
    (_, row) = csv.reader(io.StringIO(content, newline=""), delimiter=sign)
    assert not SIGN.match(row[1].lstrip("\u200b\u00a0 \t\r\n"))
    assert row[1].replace("'", "") == text.replace("'", "")
    for other in (",", ";", "\t", "|"):
        if other != sign:
            for cell in (cell.strip().strip('"') for cell in re.split(f"[{re.escape(other)}\n]", content)):
                assert not SIGN.match(cell), (cell, other)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert safe_cell(text) == text


@pytest.mark.parametrize("number", [-2, -0.5, 0, 3])
def test_numbers_stay_numbers(number: float) -> None:
    assert safe_cell(number) == number
    assert csv_file(["n"], [[number]], mark=False).decode().split() == ["n", str(number)]


def test_a_workbook_has_texts_and_numbers_and_no_formula() -> None:
    rows: list[list[Any]] = [[text, -2, None] for text in [*LIVE, "http://x"]]
    with zipfile.ZipFile(io.BytesIO(xlsx_file([("votes", ["text", "n", "none"], rows)]))) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        texts = book.read("xl/sharedStrings.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet
    assert sheet.count("<v>-2</v>") == len(rows)
    assert "=1+1" in texts
