"""Contact lists in files: CSV, JSON Lines, Parquet and Excel, read in batches, off the event loop.

Each reader is a plain generator of batches of rows, numbered from 1; blank lines have no number. It holds one batch
at a time (Excel: the whole sheet, as its format wants).
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import attrs
import orjson

from calls_async.errors import ConfigurationError, ContactError, MissingExtraError, SourceError
from calls_async.upload.chunks import Mark
from calls_async.upload.marks import NOTHING, Consumed, MarkedFile
from calls_async.upload.rows import EncodedRow, Row, Table, encode_object, rejected

BATCH_ROWS = 500
"""Rows that a reader hands over at a time."""
BATCH_BYTES = 2**20
"""And bytes of them; a batch ends with the row that reaches it."""
MAX_FIELD_CHARS = 16 * 2**20
"""The longest cell of a CSV file (beyond it, a quote was probably never closed) and line of JSON Lines."""
_DELIMITERS = ",;\t|"
_BUFFER_BYTES = 16 * 1024
_LONG_NUMBER = re.compile(rb"[0-9]{19}")

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

    rows: list[Row]
    mark: Mark | None = None


class Gathering:
    """Rows that a reader has read and not yet handed over. Another thread may take them while the reader waits for a
    pipe to say more."""

    def __init__(self) -> None:
        self.compared = False
        """Whether the consumed part of the source is known to be the same; until then nothing may be taken."""
        self.mark: Callable[[], Mark | None] = lambda: None
        """How far the source has been read."""
        self._lock = threading.Lock()
        self._rows: list[Row] = []
        self._bytes = 0

    def add(self, row: Row) -> bool:
        """Whether it is time to hand over: a batch is full by rows or by bytes."""
        with self._lock:
            self._rows.append(row)
            self._bytes += len(row.body) if isinstance(row, EncodedRow) else 0
            return len(self._rows) >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def take(self) -> list[Row]:
        with self._lock:
            rows, self._rows, self._bytes = self._rows, [], 0
        return rows


def read_batches(
    name: str, file: BinaryIO, reading: Reading, consumed: Consumed = NOTHING, gathering: Gathering | None = None
) -> Iterator[Batch]:
    """The rows of an open file after those that are `consumed`, in batches.

    Raises `SourceError` where it cannot be read, with the place, and `JournalRefusedError` where the consumed part
    has changed.
    """
    form = format_of(name, reading)
    gathering = gathering or Gathering()
    marked = MarkedFile(file, consumed)
    gathering.mark = marked.mark
    if form in _READ_IN_ORDER:
        buffered = cast("io.BufferedReader", io.BufferedReader(marked, _BUFFER_BYTES))
        held: list[Batch] = []
        for rows in _in_batches(_READ_IN_ORDER[form](name, buffered, reading, consumed.skipped_rows), gathering):
            held.append(Batch(rows, marked.mark()))
            gathering.compared = marked.compared
            # Nothing new is handed over before the consumed part is known to be the same.
            if marked.compared or rows[-1].row <= consumed.rows:
                yield from held
                held.clear()
        return
    if not file.seekable():
        file = io.BytesIO(file.read())  # neither format can be read in order
        marked = MarkedFile(file, consumed)
    whole = marked.read_to_mark()
    for rows in _in_batches(_READ_AS_A_WHOLE[form](name, file, reading, consumed.skipped_rows), gathering):
        yield Batch(rows, whole)


def _in_batches(rows: Iterator[Row], gathering: Gathering) -> Iterator[list[Row]]:
    try:
        for row in rows:
            if gathering.add(row):
                yield gathering.take()
    except SourceError:
        if batch := gathering.take():
            yield batch  # what was read before the unreadable place is not lost
        raise
    if batch := gathering.take():
        yield batch


# --- CSV ---


def _csv_rows(name: str, file: io.BufferedReader, reading: Reading, skip: int) -> Iterator[Row]:
    beginning = file.peek(_BUFFER_BYTES)
    encoding = reading.encoding or guess_encoding(beginning)
    # A byte of another encoding costs its own row only: it stays recognisable as half a surrogate pair.
    text = io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="")
    delimiter = reading.delimiter or guess_delimiter(beginning.decode(encoding, "replace"))
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARS))
    try:
        yield from _csv_contacts(name, csv.reader(text, delimiter=delimiter, strict=True), reading, skip)
    except UnicodeError as error:
        raise SourceError(name, f"is not {encoding}: {error.args[-1]}; name its encoding with --encoding") from None
    finally:
        text.detach()


def _csv_contacts(name: str, records: Iterator[list[str]], reading: Reading, skip: int) -> Iterator[Row]:
    try:
        header = next((cells for cells in records if cells), None)
    except csv.Error as error:
        raise SourceError(name, f"is not CSV: {error}", "header") from None
    if header is None:
        raise SourceError(name, "is empty; it needs a header that names its columns")
    table = _table(name, header, reading)
    row = 0
    while True:
        try:
            for cells in records:
                if cells:
                    row += 1
                    if row > skip:
                        yield table.encode(row, cells)
            return
        except csv.Error as error:
            row += 1
            if "expected after" not in str(error):
                raise SourceError(name, f"has a quote that is never closed ({error})", f"row {row}") from None
            if row > skip:
                yield rejected(row, None, ContactError("row", "has text after a closing quote"))


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


def guess_encoding(beginning: bytes) -> str:
    """The encoding that the first bytes of a text show: a byte order mark, or UTF-16's zero bytes; else UTF-8."""
    if beginning.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if beginning[1:2] == b"\0":
        return "utf-16-le"
    if beginning[:1] == b"\0":
        return "utf-16-be"
    return "utf-8"


def guess_delimiter(beginning: str) -> str:
    """The delimiter that the header has most of, outside quotes; a comma where it has none."""
    header = beginning.lstrip("\r\n").splitlines()[0] if beginning.strip() else ""
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


# --- JSON Lines ---


def _jsonl_rows(name: str, file: io.BufferedReader, reading: Reading, skip: int) -> Iterator[Row]:
    row = 0
    while line := file.readline(MAX_FIELD_CHARS):
        whole = len(line) < MAX_FIELD_CHARS or line.endswith(b"\n")
        while not whole and (rest := file.readline(MAX_FIELD_CHARS)) and not rest.endswith(b"\n"):
            pass
        stripped = line.strip().removeprefix(codecs.BOM_UTF8)
        if not stripped:
            continue
        row += 1
        if row <= skip:
            continue
        try:
            if not whole:
                raise ContactError("row", f"has more than {MAX_FIELD_CHARS:,} bytes")
            fields = _read_object(stripped)
        except ContactError as error:
            yield rejected(row, None, error)
        else:
            yield encode_object(row, fields, reading.columns, reading.region)


def _read_object(line: bytes) -> dict[str, Any]:
    try:
        # orjson would round integers past 64 bits.
        fields = json.loads(line) if _LONG_NUMBER.search(line) else orjson.loads(line)
    except (ValueError, RecursionError):
        raise ContactError("row", "is not JSON") from None
    if not isinstance(fields, dict):
        raise ContactError("row", f"is a JSON {type(fields).__name__}; give an object")
    return fields


# --- Parquet and Excel: both are extras ---


def _parquet_rows(name: str, file: BinaryIO, reading: Reading, skip: int) -> Iterator[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("reading Parquet", "arrow") from None
    row = 0
    try:
        parquet = pq.ParquetFile(file)
        table = _table(name, parquet.schema_arrow.names, reading)
        for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                row += 1
                if row > skip:
                    yield table.encode(row, cells)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceError(name, f"is not a readable Parquet file: {error}", f"after row {row}") from None


def _excel_rows(name: str, file: BinaryIO, reading: Reading, skip: int) -> Iterator[Row]:
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
    table = _table(name, columns, reading)
    for row, cells in enumerate((cells for cells in lines if any(cell != "" for cell in cells)), start=1):
        if row > skip:
            yield table.encode(row, [_whole(cell) for cell in cells[: len(columns)]])


def _whole(cell: Any) -> Any:
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


_READ_IN_ORDER = {"csv": _csv_rows, "jsonl": _jsonl_rows}
_READ_AS_A_WHOLE = {"parquet": _parquet_rows, "xlsx": _excel_rows}
