"""Spreadsheets, by python-calamine, which is an extra: the first sheet, as a whole, as their format wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from calls_async.errors import MissingExtraError, SourceError
from calls_async.upload.rows.row import RowBuffer, Run
from calls_async.upload.rows.table import Table


def read_excel(
    name: str, file: BinaryIO, make_table: Callable[[Sequence[str]], Table], skip: int
) -> Iterator[list[Run]]:
    """Yield the rows after those to `skip`, as lists of runs; blank lines have no number. Raises `SourceError`."""
    try:
        import python_calamine
    except ImportError:
        raise MissingExtraError("reading Excel", "excel") from None
    try:
        sheet = python_calamine.CalamineWorkbook.from_filelike(file).get_sheet_by_index(0)
        lines = iter(sheet.to_python(skip_empty_area=False))
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise SourceError(name, f"is not a readable spreadsheet: {error}") from None
    header = next((cells for cells in lines if any(cell != "" for cell in cells)), None)
    if header is None:
        raise SourceError(name, "is empty; its first sheet needs a header that names the columns")
    columns = [str(cell) for cell in header]
    while columns and columns[-1] == "":
        columns.pop()
    table, gathered = make_table(columns), RowBuffer()
    for row, cells in enumerate((cells for cells in lines if any(cell != "" for cell in cells)), start=1):
        if row > skip:
            gathered.add(table.encode(row, [_whole(cell) for cell in cells[: len(columns)]]))
            if gathered.full:
                yield gathered.take()
    yield gathered.take()


def _whole(cell: Any) -> Any:
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell
