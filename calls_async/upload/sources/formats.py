"""Contact lists in files: CSV, JSON Lines, Parquet and Excel, read in batches, off the event loop.

Each reader is a plain generator of batches of rows, numbered from 1; blank lines have no number. It holds one batch
at a time (Excel: the whole sheet, as its format wants).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import attrs

from calls_async.errors import SourceError
from calls_async.upload.rows.header import NO_SAMPLE, Sample, recognise_phone
from calls_async.upload.rows.numbers import AMBIGUOUS
from calls_async.upload.rows.originals import OriginalTable
from calls_async.upload.rows.row import Run, UnsentRow, each_row, group_into_runs
from calls_async.upload.rows.row import last_row as number_of_last
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.checkpoint import NOTHING, Consumed, MarkedFile, RowCheck, SupportsRead
from calls_async.upload.sources.csv_rows import Before, CsvReader, CsvStyle, FastLane
from calls_async.upload.sources.csv_text_columns import CsvTextColumns
from calls_async.upload.sources.encodings import Utf8Pipe, find_encoding
from calls_async.upload.sources.excel import read_excel
from calls_async.upload.sources.json_rows import JsonReader, keep_line, line_encoder
from calls_async.upload.sources.options import FilePart, Reading, detect_format
from calls_async.upload.sources.parquet import ParquetRows, read_parquet
from calls_async.upload.sources.signature import (
    Content,
    Decompressed,
    Peeked,
    find_content,
    find_workbook,
    refuse_foreign,
)
from calls_async.upload.sources.source import Batch

_FIRST_ROWS = 1000
"""A list is refused where most of so many rows have numbers that can be read in two ways."""


def read_batches(
    name: str, file: BinaryIO, reading: Reading, consumed: Consumed = NOTHING, *, may_pause: bool = False
) -> Iterator[Batch]:
    """Yield the rows of an open file, or of a part of it, after those that are `consumed`, in batches.

    Raises `SourceError` where it cannot be read, with the place, and `JournalRefusedError` where the consumed part
    has changed.
    """
    form, part = detect_format(name, reading), reading.part or FilePart()
    if part.bytes is not None:
        opened: SupportsRead = PartFile(file, part.header_bytes, *part.bytes)
    else:
        form, opened = _look_into(name, file, form, reading)
        if form in ("csv", "jsonl"):
            if opened is file:
                reading = _with_encoding(name, file, reading, consumed)
            elif reading.encoding is None:
                opened = Utf8Pipe(name, opened)
    if form in ("csv", "jsonl"):
        batches = _read_in_order(form, name, MarkedFile(opened, consumed), reading, consumed)
    else:
        batches = _read_whole(form, name, cast("BinaryIO", opened), reading, consumed)
    if reading.on_hint is not None:
        _tell_other_rules(name, reading, consumed, reading.on_hint)
    if part.last_row is not None:
        batches = _end_at(part.last_row, batches)
    if reading.rules.unambiguous and not consumed.rows and part.first_row == 1:
        batches = _refuse_unclear(name, batches, may_pause=may_pause)
    yield from batches


def _tell_other_rules(name: str, reading: Reading, consumed: Consumed, tell: Callable[[str], None]) -> None:
    """Say from which row on a list is read otherwise than before."""
    if consumed.old_rows:
        tell(f"{name}: rows up to {consumed.old_rows:,} were read by the rules of an older version")
    if consumed.options is not None and (changes := reading.spell_changes(consumed.options)):
        tell(f"{name}: rows from {consumed.rows + 1:,} on are read by other rules: {changes}")


def read_path(path: Path, reading: Reading) -> Iterator[Batch]:
    """Yield the rows of a file in batches. Raises `SourceError` where it cannot be opened or read."""
    try:
        with path.open("rb") as file:
            yield from read_batches(str(path), file, reading)
            return
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise SourceError(str(path), f"cannot be read: {reason}")


def _with_encoding(name: str, file: BinaryIO, reading: Reading, consumed: Consumed) -> Reading:
    """Return how to read a text that can be read twice: as an earlier process has, or its encoding is found out from
    all of it."""
    before = consumed.encoding
    if reading.encoding is not None:
        if before not in (None, reading.encoding) and reading.on_hint is not None:
            reading.on_hint(
                f"{name}: rows up to {consumed.rows:,} were read as {before}, those behind as {reading.encoding}"
            )
        return reading
    if before is not None:
        return attrs.evolve(reading, encoding=before)
    start = file.tell()
    encoding = find_encoding(name, file)
    file.seek(start)
    if encoding is None:
        return reading
    if reading.on_hint is not None:
        reading.on_hint(
            f"{name}: is no UTF-8, and is read as {encoding}, which fits it best; --encoding says otherwise"
        )
    return attrs.evolve(reading, encoding=encoding)


def _look_into(name: str, file: BinaryIO, form: str, reading: Reading) -> tuple[str, SupportsRead]:
    """Return the format that a file has by its first bytes, where `form` is that of its name, and what it is read
    from. Raises `SourceError` for what is no list."""
    can_seek = getattr(file, "seekable", bool)  # a stream may be able to do nothing but read
    start = file.tell() if can_seek() else None
    peeked = Peeked(file)
    content, packed = find_content(peeked.beginning), False
    if content.is_compressed:
        peeked, packed = Peeked(Decompressed(name, peeked, content)), True
        content = find_content(peeked.beginning)
    refuse_foreign(name, content)
    found, opened = form, cast("SupportsRead", file)
    if content in (Content.ZIP, Content.OLE):
        whole = peeked.read()
        found, opened = find_workbook(name, content, whole), io.BytesIO(whole)
    elif content is Content.PARQUET:
        found, opened = "parquet", io.BytesIO(peeked.read()) if packed or start is None else file
    elif form in ("csv", "jsonl") or (peeked.beginning and b"\0" not in peeked.beginning):
        found, opened = form if form in ("csv", "jsonl") else "csv", peeked if packed or start is None else file
    else:
        opened = io.BytesIO(peeked.read()) if packed or start is None else file
    if start is not None and opened is file:
        file.seek(start)
    if found != form and reading.on_hint is not None:
        reading.on_hint(f"{name}: is read as {found}, by what it holds; its name says {form}")
    return found, opened


class PartFile:
    """The header of a file and some bytes of whole records behind it, as if they were the file."""

    def __init__(self, file: BinaryIO, header_bytes: int, start: int, stop: int) -> None:
        self._file = file
        self._spans = [(0, header_bytes), (start, stop)]

    def read(self, size: int, /) -> bytes:
        """Return what comes next, up to `size` bytes; nothing at the end."""
        while self._spans:
            (start, stop), *rest = self._spans
            self._file.seek(start)
            wanted = min(size, stop - start)
            if wanted > 0 and (data := self._file.read(wanted)):
                self._spans[0] = (start + len(data), stop)
                return data
            self._spans = rest
        return b""


def _end_at(last_row: int, batches: Iterator[Batch]) -> Iterator[Batch]:
    for batch in batches:
        if all(number_of_last(run) <= last_row for run in batch.runs[-1:]):
            yield batch
            continue
        rows = group_into_runs(row for row in each_row(batch.runs) if row.row <= last_row)
        yield batch._replace(runs=rows)
        return


def _refuse_unclear(name: str, batches: Iterator[Batch], *, may_pause: bool) -> Iterator[Batch]:
    """Hold the first rows back until it is known that most of their numbers can be read in one way only. Raises
    `SourceError`. Those of a file that `may_pause` are handed over as soon as most of those so far can."""
    held: list[Batch] = []
    rows = unclear = 0
    for batch in batches:
        held.append(batch)
        for run in batch.runs:
            unsent = [run] if isinstance(run, UnsentRow) else run.unsent
            rows += len(unsent) if isinstance(run, UnsentRow) else len(run) + len(unsent)
            unclear += sum(row.row <= _FIRST_ROWS and row.error.endswith(AMBIGUOUS) for row in unsent)
        if rows >= _FIRST_ROWS or (may_pause and unclear * 2 <= rows):
            break
    if unclear * 2 > min(rows, _FIRST_ROWS):
        raise SourceError(name, f"{unclear:,} of its first {min(rows, _FIRST_ROWS):,} numbers: each {AMBIGUOUS}")
    yield from held
    yield from batches


def _rows_before(reading: Reading, consumed: Consumed) -> tuple[int, int]:
    """Return how many rows of the file come before those that are read, and up to which number none is handed
    over."""
    part = reading.part or FilePart()
    before = 0 if part.by_rows else part.first_row - 1
    return before, max(consumed.skipped_rows, part.first_row - 1)


def _read_whole(form: str, name: str, file: BinaryIO, reading: Reading, consumed: Consumed) -> Iterator[Batch]:
    """Read a format that cannot be read in order."""
    if not file.seekable():
        file = io.BytesIO(file.read())
    by_rows = form == "xlsx" and not consumed.old_rows  # to be saved again changes every byte of a workbook
    whole = MarkedFile(file, NOTHING if by_rows else consumed).read_all()
    file.seek(0)

    def make_table(header: Sequence[str], sample: Sample = NO_SAMPLE) -> Table:
        return _table(name, header, reading, sample)

    before, skip = _rows_before(reading, consumed)
    if form == "parquet":
        groups = None if reading.part is None else reading.part.row_groups
        batches = read_parquet(name, file, make_table, ParquetRows(skip, before, groups), fast=reading.columnar)
    else:
        first_row = 1 if reading.part is None else reading.part.first_row
        batches = read_excel(name, file, make_table, first_row - 1 if by_rows else skip, reading)
    check = RowCheck(consumed if by_rows else NOTHING)
    for runs in batches:
        yield Batch(check.see(runs), whole)
    check.end()


def _read_in_order(form: str, name: str, file: MarkedFile, reading: Reading, consumed: Consumed) -> Iterator[Batch]:
    held: list[Batch] = []
    for runs in _READERS[form](name, file, reading, consumed):
        if runs:
            held.append(Batch(runs, file.mark(), reading.encoding))
        # Nothing new is handed over before the consumed part is known to be the same.
        if file.compared or consumed.holds(runs):
            yield from held
            held.clear()


def _csv_rows(name: str, file: MarkedFile, reading: Reading, consumed: Consumed) -> Iterator[list[Run]]:
    rows_before, skip = _rows_before(reading, consumed)
    style = CsvStyle(
        encoding=reading.encoding,
        delimiter=reading.delimiter,
        multiline=reading.multiline,
        header_row=reading.header_row,
    )
    before = Before(rows=rows_before, consumed=consumed, has_grown=lambda: file.has_grown)
    reader = CsvReader(name, file.read, style, before)
    header = reader.header()
    table = _table(name, header, reading, reader.sample())
    fast = None
    if reading.columnar and len(table.columns) == len(header) and reader.delimiter.isascii():
        fast = _csv_columns(table, reader.delimiter, multiline=reading.multiline)
    yield from reader.rows(table, fast, skip)
    if reader.blank_lines and reading.on_hint is not None:
        reading.on_hint(f"{name}: {reader.blank_lines:,} blank lines were passed over")


def _csv_columns(table: Table, delimiter: str, *, multiline: bool) -> FastLane[Any] | None:
    if not table.independent:
        return None
    try:
        from calls_async.upload.sources.csv_columns import CsvColumns
    except ImportError:  # an extra
        return CsvTextColumns(table, delimiter) if table.rules.region is None else None
    return CsvColumns(table, delimiter, multiline=multiline)


def _json_rows(name: str, file: MarkedFile, reading: Reading, consumed: Consumed) -> Iterator[list[Run]]:
    before, skip = _rows_before(reading, consumed)
    reader = JsonReader(name, file.read, reading.encoding, rows_before=before)
    mapped = _find_columns(reader, reading)
    encode_line = keep_line if reading.keeps_fields else line_encoder(mapped, reading.rules)
    fast = None
    if reading.columnar and reading.rules.columnar:
        with contextlib.suppress(ImportError):  # an extra
            from calls_async.upload.sources.json_columns import JsonColumns

            fast = JsonColumns(mapped, reading.rules, encode_line)
    return reader.rows(encode_line, fast, skip)


def _find_columns(reader: JsonReader, reading: Reading) -> Mapping[str, str]:
    """Return which fields mean what; the one field of numbers is recognised by its name, where none is `phone`."""
    names, sample = reader.sample()
    found = recognise_phone(names, sample)
    if found is None or "phone" in {reading.columns.get(name, name) for name in names}:
        return reading.columns
    if reading.on_hint is not None:
        reading.on_hint(f"field {found!r} is read as phone")
    return {**reading.columns, found: "phone"}


_READERS = {"csv": _csv_rows, "jsonl": _json_rows}


def _table(name: str, header: Sequence[str], reading: Reading, sample: Sample = NO_SAMPLE) -> Table:
    columns = [cell.strip() for cell in header]
    while len(columns) > 1 and not columns[-1]:
        columns.pop()  # spreadsheets like to leave empty columns behind
    for column in columns:
        if any("\udc80" <= char <= "\udcff" for char in column):
            raise SourceError(name, "is not UTF-8; name its encoding, such as --encoding cp1251", "header")
    kind = OriginalTable if reading.keeps_fields else Table
    table = kind.of(name, columns, reading.columns, reading.rules, sample)
    if reading.on_hint is not None:
        for hint in table.hints:
            reading.on_hint(hint)
    return table
