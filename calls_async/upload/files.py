"""Contact lists in files: CSV, JSON Lines, Parquet and Excel, read in batches, off the event loop.

Each reader is a plain generator of batches of rows, numbered from 1; blank lines have no number. It holds one batch
at a time (Excel: the whole sheet, as its format wants).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import attrs

from calls_async.errors import ConfigurationError, SourceError
from calls_async.upload.chunks import Mark
from calls_async.upload.csv_lists import CsvReader
from calls_async.upload.excel import read_excel
from calls_async.upload.json_lines import JsonReader, line_encoder
from calls_async.upload.marks import NOTHING, Consumed, MarkedFile
from calls_async.upload.parquet import read_parquet
from calls_async.upload.rows import Table
from calls_async.upload.runs import Run

if TYPE_CHECKING:
    from calls_async.upload.csv_columns import CsvColumns

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "xlsx",
    ".xls": "xlsx",
    ".xlsb": "xlsx",
    ".ods": "xlsx",
}
"""File name endings and the format each means."""


@attrs.frozen(slots=True, kw_only=True)
class Reading:
    """How a file is to be read."""

    format: str | None = None
    """csv, jsonl, parquet or xlsx; None: by the file's ending."""
    columns: Mapping[str, str] = attrs.field(factory=dict)
    """Columns of another name: the name in the file and the field that it means."""
    region: str | None = None
    delimiter: str | None = None
    """None: the one of `, ; tab |` that the header has most of."""
    encoding: str | None = None
    """None: by the byte order mark, else UTF-8."""
    columnar: bool = True
    """Whether lists may be encoded by columns, many times as fast, where pyarrow is installed; what comes of them is
    the same."""
    on_hint: Callable[[str], None] | None = None
    """Told what looks like a mistake but need not be one; called by the thread that reads."""

    def __attrs_post_init__(self) -> None:
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '\r\n"'):
            raise ConfigurationError(f"the delimiter must be one character such as ';', not {self.delimiter!r}")
        if self.encoding is not None:
            _check_encoding(self.encoding)


def _check_encoding(name: str) -> None:
    try:
        known = "x".encode(name).decode(name) == "x"
    except (LookupError, ValueError, TypeError):
        known = False
    if not known:
        raise ConfigurationError(f"{name!r} is no encoding of text; name one such as cp1251 or utf-16")


def format_of(name: str, reading: Reading) -> str:
    """The format of the file `name`. Raises `ConfigurationError`."""
    known = sorted(set(FORMATS.values()))
    found = reading.format or FORMATS.get(Path(name).suffix.lower())
    if found not in known:
        raise ConfigurationError(f"{name}: the format cannot be told by the name; give one of {', '.join(known)}")
    return found


class Batch(NamedTuple):
    """Rows, and how far the source had been read when they were handed over."""

    runs: Sequence[Run]
    mark: Mark | None = None
    seals: bool = False
    """Whether its last rows do not wait for others to fill their chunk."""


def read_batches(name: str, file: BinaryIO, reading: Reading, consumed: Consumed = NOTHING) -> Iterator[Batch]:
    """The rows of an open file after those that are `consumed`, in batches.

    Raises `SourceError` where it cannot be read, with the place, and `JournalRefusedError` where the consumed part
    has changed.
    """
    form = format_of(name, reading)
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
        from calls_async.upload.csv_columns import CsvColumns
    except ImportError:  # an extra
        return None
    return CsvColumns(table, delimiter) if table.independent else None


def _json_rows(name: str, file: MarkedFile, reading: Reading, skip: int) -> Iterator[list[Run]]:
    encode_line = line_encoder(reading.columns, reading.region)
    fast = None
    if reading.columnar and reading.region is None:
        with contextlib.suppress(ImportError):  # an extra
            from calls_async.upload.json_columns import JsonColumns

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
