"""Tables for a spreadsheet, safe to open in one: the memo's tables and the result tables in full, as CSV and as one workbook."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from engine.errors import visible
from engine.report.document import Document, Points, Table, Text
from engine.report.formats import one_line
from engine.results import StudyResult, to_csv

FIRST_DAY = datetime(2000, 1, 1)
MOST_TEXT = 32_767  # characters in an Excel cell
MOST_SHEET_ROWS = 100_000
SHEET_NAME = 31
NUMBER = re.compile(r"(\()?(-?[\d,]*\.?\d+)(\))?(\*{1,3})?")
PLAIN_NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?([eE][+-]?\d+)?\*{0,3}")
# Result tables that go with the memo, in full precision; daily returns without what could give prices away.
FULL = ("events", "cars", "averages", "significance", "event_significance", "exclusions", "abnormal_returns")
PRICES = ("actual", "expected")


def spreadsheet_text(text: str) -> str:
    """``text`` that no spreadsheet takes for a formula: an apostrophe before what would start one, in any width."""
    starts = text.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    return f"'{text}" if starts and not PLAIN_NUMBER.fullmatch(text) else text


def csv_of(table: Table) -> str:
    """A table as CSV: UTF-8, LF, the cells as in the memo, texts safe for a spreadsheet."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for row in (table.columns, *table.rows):
        writer.writerow([spreadsheet_text(one_line(c)) for c in row])
    return out.getvalue()


def full_csv_of(frame: pl.DataFrame) -> str:
    """A result table as CSV with its own numbers, its texts safe for a spreadsheet, without what could give prices away."""
    shown = frame.drop([c for c in PRICES if c in frame.columns])
    texts = [c for c, kind in shown.schema.items() if kind == pl.String]
    safe = {c: {t: spreadsheet_text(visible(t)) for t in shown[c].drop_nulls().unique()} for c in texts}
    shown = shown.with_columns(pl.col(c).replace(safe[c]) for c in texts)
    return to_csv(shown.rename({c: spreadsheet_text(visible(c)) for c in shown.columns}))


def workbook_of(document: Document, tables: Sequence[Table], result: StudyResult) -> bytes:
    """A workbook: the answer, each of ``tables`` as in the memo with its numbers as numbers, and the result tables in full."""
    import xlsxwriter  # type: ignore[import-untyped]

    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book: Any = xlsxwriter.Workbook(out, options)
    book.set_properties({"title": document.title, "created": FIRST_DAY})
    looks = _Looks(book)
    _answer_sheet(book, looks, document)
    for table in tables:
        _memo_sheet(book, looks, table)
    for name in FULL:
        if name in result.tables:
            _full_sheet(book, looks, name, result.tables[name])
    book.close()
    return out.getvalue()


class _Looks:
    """The cell formats of a workbook, each made once."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self.made: dict[tuple[tuple[str, Any], ...], Any] = {}

    def __call__(self, **properties: Any) -> Any:
        key = tuple(sorted(properties.items()))
        if key not in self.made:
            self.made[key] = self.book.add_format(properties)
        return self.made[key]


def _answer_sheet(book: Any, looks: _Looks, document: Document) -> None:
    sheet = book.add_worksheet("Answer")
    sheet.set_column(0, 0, 110)
    wrapped = looks(text_wrap=True, valign="top")
    sheet.write_string(0, 0, document.title, looks(bold=True, font_size=14))
    row = 2
    for block in document.sections[0].blocks:
        lines = block.items if isinstance(block, Points) else (block.text,) if isinstance(block, Text) else ()
        label = isinstance(block, Text) and block.look == "label"
        for line in lines:
            sheet.write_string(row, 0, line[:MOST_TEXT], looks(bold=True) if label else wrapped)
            row += 1


def _memo_sheet(book: Any, looks: _Looks, table: Table) -> None:
    sheet = book.add_worksheet(table.name[:SHEET_NAME])
    sheet.write_string(0, 0, table.caption, looks(bold=True))
    for i, column in enumerate(table.columns):
        sheet.write_string(2, i, column, looks(bold=True, bottom=1, align="right" if table.numeric[i] else "left"))
        longest = max([len(column), *(len(row[i]) for row in table.rows)], default=8)
        sheet.set_column(i, i, min(max(longest + 2, 8), 60))
    for at, row in enumerate(table.rows, 3):
        for i, cell in enumerate(row):
            _write(sheet, looks, at, i, cell, table.numeric[i])
    for i, note in enumerate(table.notes, 4 + len(table.rows)):
        sheet.write_string(i, 0, note[:MOST_TEXT], looks(italic=True))
    sheet.freeze_panes(3, 1)


def _write(sheet: Any, looks: _Looks, row: int, column: int, cell: str, numeric: bool) -> None:
    """A number with the decimals, parentheses and stars that it is shown with, or a text; never a formula."""
    read = NUMBER.fullmatch(cell) if numeric else None
    if read is None or bool(read[1]) != bool(read[3]):
        sheet.write_string(row, column, cell[:MOST_TEXT], looks(align="right") if numeric else looks(align="left"))
        return
    digits = read[2].replace(",", "")
    shape = "0" + ("." + "0" * len(digits.partition(".")[2]) if "." in digits else "")
    shape = f"#,##{shape}" if "," in read[2] else shape
    if read[1]:
        shape = f'"("{shape}")";"(-"{shape}")"'
    elif read[4]:
        shape = f'{shape}"{read[4]}"'
    sheet.write_number(row, column, float(digits), looks(num_format=shape, align="right"))


def _full_sheet(book: Any, looks: _Looks, name: str, frame: pl.DataFrame) -> None:
    sheet = book.add_worksheet(f"{name} (full)"[:SHEET_NAME])
    shown = frame.drop([c for c in PRICES if c in frame.columns]).head(MOST_SHEET_ROWS)
    for i, column in enumerate(shown.columns):
        sheet.write_string(0, i, visible(column), looks(bold=True, bottom=1))
        for row, value in enumerate(shown[column].to_list(), 1):
            if isinstance(value, bool) or value is None:
                continue
            if isinstance(value, int | float):
                sheet.write_number(row, i, value) if value - value == 0 else None
            elif isinstance(value, date):
                sheet.write_datetime(
                    row, i, datetime(value.year, value.month, value.day), looks(num_format="yyyy-mm-dd")
                )
            else:
                sheet.write_string(row, i, visible(str(value))[:MOST_TEXT])
    if len(frame) > MOST_SHEET_ROWS:
        text = f"The first {MOST_SHEET_ROWS} of {len(frame)} rows; all are in {name}.csv."
        sheet.write_string(MOST_SHEET_ROWS + 2, 0, text)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(shown), max(len(shown.columns) - 1, 0))
