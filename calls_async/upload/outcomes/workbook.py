"""Workbooks that spreadsheets open, by XlsxWriter, which is an extra."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from calls_async.errors import MissingExtraError

SHEET_ROWS = 1_048_576
"""As many as a sheet has, its header among them."""
CELL_CHARS = 32_767
"""The longest text in a cell."""


def import_writer() -> Any:
    """Return the library. Raises `MissingExtraError`."""
    try:
        import xlsxwriter
    except ImportError:
        raise MissingExtraError("writing .xlsx", "excel") from None
    return xlsxwriter


class Workbook:
    """Writes rows into a file, sheet after sheet. Text stays text: no cell becomes a formula, a link or a number."""

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        xlsxwriter = import_writer()
        self._file = file
        self._book = xlsxwriter.Workbook(file, {"constant_memory": True, "in_memory": False})
        self._columns = columns
        self._next = SHEET_ROWS
        self._sheet: Any = None

    def write(self, row: Sequence[Any]) -> None:
        """Add a row below the others."""
        if self._next >= SHEET_ROWS:
            self._sheet, self._next = self._book.add_worksheet(), 0
            self._put(self._columns)
        self._put(row)

    def close(self) -> None:
        """Write the file, and close it."""
        if self._sheet is None:
            self._sheet, self._next = self._book.add_worksheet(), 0
            self._put(self._columns)
        self._book.close()
        self._file.close()

    def _put(self, row: Sequence[Any]) -> None:
        for column, value in enumerate(row):
            if isinstance(value, bool):
                self._sheet.write_boolean(self._next, column, value)
            elif (isinstance(value, float) and value == value) or (isinstance(value, int) and abs(value) < 10**15):
                self._sheet.write_number(self._next, column, value)
            elif value is not None:
                self._sheet.write_string(self._next, column, spell_cell(value)[:CELL_CHARS])
        self._next += 1


def read_workbook(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of all sheets by the names of their columns. Raises `OSError` and `ValueError`."""
    try:
        import python_calamine
    except ImportError:
        raise MissingExtraError("reading Excel", "excel") from None
    try:
        book = python_calamine.CalamineWorkbook.from_path(path)
        for name in book.sheet_names:
            header, *rows = book.get_sheet_by_name(name).to_python() or [[]]
            for row in rows:
                cells = map(_read_number, row)
                yield dict(zip(map(str, header), map(str, cells), strict=False))
    except python_calamine.CalamineError as error:
        raise ValueError(str(error)) from None


def _read_number(cell: Any) -> Any:
    """Return a spreadsheet's number as a whole one, where it is one and has all its digits."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 else cell


def spell_cell(value: Any) -> str:
    """Return a value as the text of a cell."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or value != value:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)
