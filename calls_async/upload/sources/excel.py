"""Spreadsheets, by python-calamine, which is an extra: one sheet, as a whole, as their format wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from calls_async.errors import MissingExtraError, SourceError
from calls_async.upload.rows.header import SAMPLE_ROWS, Sample
from calls_async.upload.rows.row import RowBuffer, Run, UnsentRow
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.options import Reading
from calls_async.upload.sources.sheet_xml import look_at_sheet

MakeTable = Callable[[Sequence[str], Sample], Table]


class Line(NamedTuple):
    """A row of a sheet that is not blank: its number in the sheet, and its cells."""

    place: int
    cells: Sequence[Any]


def read_excel(name: str, file: BinaryIO, make_table: MakeTable, skip: int, reading: Reading) -> Iterator[list[Run]]:
    """Yield the rows after those to `skip`, as lists of runs; blank lines have no number. Raises `SourceError`."""
    lines = iter(_read_lines(name, file, reading))
    header = next(lines, None)
    if header is None:
        raise SourceError(name, "is empty; its sheet needs a header that names the columns")
    columns = [str(cell) for cell in header.cells]
    while columns and columns[-1] == "":
        columns.pop()
    rest = list(lines)
    sample = Sample(header.place, [(line.place, line.cells) for line in rest[:SAMPLE_ROWS]])
    table, gathered = make_table(columns, sample), RowBuffer()
    for row, line in enumerate(rest, start=1):
        if row > skip:
            one = table.encode(row, [_whole(cell) for cell in line.cells[: len(columns)]])
            if isinstance(one, UnsentRow):
                one = one._replace(error=f"sheet row {line.place}: {one.error}")
            gathered.add(one)
            if gathered.full:
                yield gathered.take()
    yield gathered.take()


def _read_lines(name: str, file: BinaryIO, reading: Reading) -> list[Line]:
    """Return the rows that are read, from the header on; point out what else the workbook holds."""
    try:
        import python_calamine
    except ImportError:
        raise MissingExtraError("reading Excel", "excel") from None
    say = reading.on_hint or (lambda hint: None)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(file)
        visible = [
            sheet.name
            for sheet in book.sheets_metadata
            if sheet.visible == python_calamine.SheetVisibleEnum.Visible
            and sheet.typ == python_calamine.SheetTypeEnum.WorkSheet
        ]
        chosen = _choose_sheet(name, visible, reading.sheet)
        lines = [
            Line(place, cells)
            for place, cells in enumerate(book.get_sheet_by_name(chosen).to_python(skip_empty_area=False), start=1)
            if place >= (reading.header_row or 1) and any(cell != "" for cell in cells)
        ]
        if reading.sheet is None:
            others = [one for one in visible if one != chosen and book.get_sheet_by_name(one).total_height]
            if others:
                say(f"{name}: only sheet {chosen!r} is read; {', '.join(map(repr, others))} hold data, too (--sheet)")
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise SourceError(name, f"is not a readable spreadsheet: {error}") from None
    odd = look_at_sheet(file, chosen)
    hidden = [line for line in lines if line.place in odd.hidden]
    if hidden and reading.skip_hidden:
        lines = [line for line in lines if line.place not in odd.hidden]
        say(f"{name}: {len(hidden):,} hidden rows of sheet {chosen!r} are left out")
    elif hidden:
        say(f"{name}: {len(hidden):,} rows of sheet {chosen!r} are hidden, and read; --skip-hidden leaves them out")
    if odd.formulas_without_value:
        say(f"{name}: {odd.formulas_without_value:,} formulas have no value; open the workbook and save it")
    if odd.errors:
        say(f"{name}: {odd.errors:,} cells hold an error such as #N/A")
    return lines


def _choose_sheet(name: str, visible: Sequence[str], wanted: str | int | None) -> str:
    if not visible:
        raise SourceError(name, "has no sheet that is not hidden")
    if wanted is None:
        return visible[0]
    if wanted in visible:
        return str(wanted)
    if str(wanted).isdigit() and 1 <= int(wanted) <= len(visible):
        return visible[int(wanted) - 1]
    raise SourceError(name, f"has no sheet {wanted!r} that is not hidden; there are {', '.join(map(repr, visible))}")


def _whole(cell: Any) -> Any:
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell
