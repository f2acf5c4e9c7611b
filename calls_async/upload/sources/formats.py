"""Contact lists in files: CSV, JSON Lines, Parquet and Excel, read in batches, off the event loop.

Each reader is a plain generator of batches of rows, numbered from 1; blank lines have no number. It holds one batch
at a time (Excel: the whole sheet, as its format wants).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from calls_async.errors import SourceError
from calls_async.upload.rows.row import Run
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.checkpoint import NOTHING, Consumed, MarkedFile
from calls_async.upload.sources.csv_rows import CsvReader
from calls_async.upload.sources.excel import read_excel
from calls_async.upload.sources.json_rows import JsonReader, line_encoder
from calls_async.upload.sources.options import Reading, detect_format
from calls_async.upload.sources.parquet import read_parquet
from calls_async.upload.sources.source import Batch

if TYPE_CHECKING:
    from calls_async.upload.sources.csv_columns import CsvColumns


def read_batches(name: str, file: BinaryIO, reading: Reading, consumed: Consumed = NOTHING) -> Iterator[Batch]:
    """The rows of an open file after those that are `consumed`, in batches.

    Raises `SourceError` where it cannot be read, with the place, and `JournalRefusedError` where the consumed part
    has changed.
    """
    form = detect_format(name, reading)
    if form in ("csv", "jsonl"):
        yield from _read_in_order(form, name, MarkedFile(file, consumed), reading, consumed)
        return
    if not file.seekable():
        file = io.BytesIO(file.read())  # neither format can be read in order
    whole = MarkedFile(file, consumed).read_all()
    file.seek(0)

    def table_of(header: Sequence[str]) -> Table:
        return _table(name, header, reading)

    skip = consumed.skipped_rows
    if form == "parquet":
        batches = read_parquet(name, file, table_of, skip, fast=reading.columnar)
    else:
        batches = read_excel(name, file, table_of, skip)
    for runs in batches:
        yield Batch(runs, whole)


def _read_in_order(form: str, name: str, file: MarkedFile, reading: Reading, consumed: Consumed) -> Iterator[Batch]:
    held: list[Batch] = []
    for runs in _READERS[form](name, file, reading, consumed.skipped_rows):
        if runs:
            held.append(Batch(runs, file.mark()))
        # Nothing new is handed over before the consumed part is known to be the same.
        if file.compared or consumed.holds(runs):
            yield from held
            held.clear()


def _csv_rows(name: str, file: MarkedFile, reading: Reading, skip: int) -> Iterator[list[Run]]:
    reader = CsvReader(name, file.read, reading.encoding, reading.delimiter)
    header = reader.header()
    table = _table(name, header, reading)
    fast = None
    if reading.columnar and len(table.columns) == len(header) and reader.delimiter.isascii():
        fast = _csv_columns(table, reader.delimiter)
    return reader.rows(table, fast, skip)


def _csv_columns(table: Table, delimiter: str) -> CsvColumns | None:
    try:
        from calls_async.upload.sources.csv_columns import CsvColumns
    except ImportError:  # an extra
        return None
    return CsvColumns(table, delimiter) if table.independent else None


def _json_rows(name: str, file: MarkedFile, reading: Reading, skip: int) -> Iterator[list[Run]]:
    encode_line = line_encoder(reading.columns, reading.region)
    fast = None
    if reading.columnar and reading.region is None:
        with contextlib.suppress(ImportError):  # an extra
            from calls_async.upload.sources.json_columns import JsonColumns

            fast = JsonColumns(reading.columns, encode_line)
    return JsonReader(name, file.read, reading.encoding).rows(encode_line, fast, skip)


_READERS = {"csv": _csv_rows, "jsonl": _json_rows}


def _table(name: str, header: Sequence[str], reading: Reading) -> Table:
    columns = [cell.strip() for cell in header]
    while len(columns) > 1 and not columns[-1]:
        columns.pop()  # spreadsheets like to leave empty columns behind
    for column in columns:
        if any("\udc80" <= char <= "\udcff" for char in column):
            raise SourceError(name, "is not UTF-8; name its encoding, such as --encoding cp1251", "header")
    table = Table.of(name, columns, reading.columns, reading.region)
    if reading.on_hint is not None:
        for hint in table.hints:
            reading.on_hint(hint)
    return table
