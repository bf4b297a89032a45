"""Tables for spreadsheets: CSV and XLSX in which no text of a participant's runs as a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, cast

import xlsxwriter

from relay_bot.text import is_blank

Delimiter = Literal[",", ";", "\t", "|", "comma", "semicolon", "tab"]
"""What stands between the cells of a CSV file, as it is or by its name."""
Row = Sequence[Any]
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
"""The content type of a workbook."""

_NAMED: Final = {"comma": ",", "semicolon": ";", "tab": "\t"}
_SIGNS: Final = "=+\\-@＝＋－＠﹦﹢﹣﹫−"
_FORMULA: Final = re.compile(rf"[{_SIGNS}\t\r]")
_BEHIND: Final = "\t\n\r;,|"
"""What another spreadsheet than the one that the file is for would begin a cell after."""
_LIVE: Final = rf"[=@＝＠﹦﹫]|[{_SIGNS}](?!\d[\d.,]*\s*(?:[{re.escape(_BEHIND)}]|$))"
"""What is run behind a delimiter: a sign, but for that of a plain number."""
_XLSX_CELL: Final = 32_767


def csv_file(columns: Sequence[str], rows: Iterable[Row], delimiter: Delimiter = ",", *, mark: bool = True) -> bytes:
    """Write a table as CSV in UTF-8, by default with the mark that tells Excel so; `None` is an empty cell."""
    sign = _NAMED.get(delimiter, delimiter)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=sign)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if value is None else safe_cell(value, sign) for value in row])
    return ("\ufeff" if mark else "").encode() + out.getvalue().encode("utf-8", "replace")


def safe_cell(value: Any, delimiter: str = ",") -> Any:
    """Make a text one that no spreadsheet takes for a formula; numbers stay numbers.

    An apostrophe goes before a text that would begin as a formula (also behind spaces and what is invisible, and in
    full width), and before what would begin as one where another delimiter than the file's cuts the text.
    """
    if not isinstance(value, str):
        return value
    begin = next((at for at, character in enumerate(value) if not is_blank(character)), len(value))
    behind = re.escape(_BEHIND.replace(delimiter, ""))
    body = re.sub(rf"(?<=[{behind}])(\s*)(?={_LIVE})", r"\1'", value[begin:])
    live = _FORMULA.search(value[: begin + 1]) is not None or _FORMULA.match(value.lstrip(_BEHIND + " ")) is not None
    if begin and value[begin - 1] == "\t" and _FORMULA.match(body):
        body = f"'{body}"
    return f"{chr(39) if live else ''}{value[:begin]}{body}"


def xlsx_file(sheets: Iterable[tuple[str, Sequence[str], Iterable[Row]]]) -> bytes:
    """Write an Excel workbook: each sheet with its name, columns and rows. No text in it is a formula or a link."""
    out = io.BytesIO()
    with cast("Any", xlsxwriter).Workbook(out, {"in_memory": True, "nan_inf_to_errors": True}) as book:
        bold = book.add_format({"bold": True})
        for name, columns, rows in sheets:
            sheet = book.add_worksheet(name)
            sheet.freeze_panes(1, 0)
            for column, title in enumerate(columns):
                sheet.write_string(0, column, title, bold)
            for number, row in enumerate(rows, 1):
                for column, value in enumerate(row):
                    _write(sheet, number, column, value)
    return out.getvalue()


def _write(sheet: Any, row: int, column: int, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, int | float):
        sheet.write_number(row, column, value)
    else:
        sheet.write_string(row, column, str(value)[:_XLSX_CELL])
