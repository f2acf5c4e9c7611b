"""Records as they come, written as JSON Lines, CSV or Parquet, to a file or to standard output."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from calls_async.concurrency import SerialThread
from calls_async.errors import CallsError, ConfigurationError, MissingExtraError
from calls_async.upload.outcomes.results_file import BYTE_ORDER_MARK, WORKBOOK, open_private
from calls_async.upload.outcomes.workbook import Workbook, import_writer

EXTRA = "extra"
"""The column for what the server says beyond the columns, as JSON."""
GROUP_RECORDS = 50_000
"""Records in one row group of a Parquet file."""


_TOO_LARGE = 1e300


Record = Mapping[str, Any]


class _Writer(Protocol):
    def write(self, records: Sequence[Record]) -> None: ...
    def close(self) -> None: ...


class Records:
    """Writes records off the event loop; the file is made with the first ones. `columns` gives each column the type
    of its values: `str` (anything else becomes JSON), `int` or `float`.

    Raises `ConfigurationError` for a name that tells no format, and `CallsError` where it cannot be written.
    """

    def __init__(
        self, columns: Mapping[str, type], *, path: str | None, form: str | None, bare: str = "", excel: bool = False
    ) -> None:
        """Take `bare`, a column that stands alone in a line where neither a file nor a format was asked for, and
        whether CSV begins with a byte order mark."""
        self._columns = columns
        self._path = path
        self._form = _choose_form(path, form)
        self._bare = bare if path is None and form is None else ""
        self._writer: _Writer | None = None
        self._turns = SerialThread("records")
        self._excel = excel
        if self._form == "parquet":
            _arrow()
        if self._form == "xlsx":
            import_writer()  # say at once that it is missing

    async def add(self, records: Sequence[Record]) -> None:
        await self._do(records)

    async def finish(self) -> None:
        """Finish the file; there is one also where there was nothing to write."""
        await self._do(())
        await self.close()

    async def close(self) -> None:
        """Give the file back, as far as it is."""
        await self._do(None)

    async def _do(self, records: Sequence[Record] | None) -> None:
        try:
            await self._turns.run(lambda: self._write(records))
            return
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
        raise CallsError(f"{self._path or 'standard output'}: cannot be written: {reason}")

    def _write(self, records: Sequence[Record] | None) -> None:
        if records is None:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.close()
            return
        if self._writer is None:
            self._writer = self._open()
        self._writer.write(records)

    def _open(self) -> _Writer:
        file = sys.stdout.buffer if self._path is None else open_private(self._path)
        if self._bare:
            return _BareLines(file, self._bare)
        if self._form == "parquet":
            return _Parquet(file, self._columns)
        if self._form == "xlsx":
            return _Sheets(file, self._columns)
        if self._form == "csv" and self._excel:
            file.write(BYTE_ORDER_MARK)
        return _Csv(file, self._columns) if self._form == "csv" else _JsonLines(file)


def _choose_form(path: str | None, form: str | None) -> str:
    if path is None:
        return form or "jsonl"
    suffixes = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
    suffixes[WORKBOOK] = "xlsx"
    found = suffixes.get(Path(path).suffix.lower())
    if found is None:
        raise ConfigurationError(f"--output {path}: the name must end with .jsonl, .csv, .parquet or .xlsx")
    if form not in (None, found):
        raise ConfigurationError(f"--output {path}: its name says {found}, but --format {form}")
    return found


class _Lines:
    """Text, flushed with each batch of records."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def _put(self, text: str) -> None:
        self._file.write(text.encode("utf-8", "replace"))
        self._file.flush()

    def close(self) -> None:
        if self._file is not sys.stdout.buffer:
            self._file.close()


class _BareLines(_Lines):
    def __init__(self, file: BinaryIO, column: str) -> None:
        super().__init__(file)
        self._column = column

    def write(self, records: Sequence[Record]) -> None:
        self._put("".join(f"{record[self._column]}\n" for record in records))


class _JsonLines(_Lines):
    def write(self, records: Sequence[Record]) -> None:
        self._put("".join(f"{_json(record)}\n" for record in records))


class _Csv(_Lines):
    def __init__(self, file: BinaryIO, columns: Mapping[str, type]) -> None:
        super().__init__(file)
        self._columns = columns
        self._put(",".join([*columns, EXTRA]) + "\n")

    def write(self, records: Sequence[Record]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows(_row(record, self._columns) for record in records)
        self._put(text.getvalue())


class _Sheets:
    def __init__(self, file: BinaryIO, columns: Mapping[str, type]) -> None:
        self._columns = columns
        self._book = Workbook(file, [*columns, EXTRA])

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            self._book.write(_row(record, self._columns))

    def close(self) -> None:
        self._book.close()


class _Parquet:
    def __init__(self, file: BinaryIO, columns: Mapping[str, type]) -> None:
        arrow, parquet = _arrow()
        types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64()}
        self._arrow = arrow
        self._columns = columns
        self._file = file
        self._schema = arrow.schema([*((name, types[kind]) for name, kind in columns.items()), (EXTRA, types[str])])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Sequence[Any]] = []

    def write(self, records: Sequence[Record]) -> None:
        self._rows += [_row(record, self._columns) for record in records]
        if len(self._rows) >= GROUP_RECORDS:
            self._write_group()

    def close(self) -> None:
        with self._file, self._writer:
            if self._rows:
                self._write_group()

    def _write_group(self) -> None:
        rows, self._rows = self._rows, []
        columns = [
            self._arrow.array(values, type=field.type)
            for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(columns, schema=self._schema))


def _row(record: Record, columns: Mapping[str, type]) -> list[Any]:
    """Return a cell for each column; what has none, or does not fit into its own, goes into the last one."""
    cells: list[Any] = []
    extra = {name: value for name, value in record.items() if name not in columns}
    for name, kind in columns.items():
        value = record.get(name)
        if value is None:
            cells.append(None)
        elif kind is str:
            cells.append(_printable(value) if isinstance(value, str) else _json(value))
        elif _fits(value, kind):
            cells.append(kind(value))
        else:
            cells.append(None)
            extra[name] = value
    return [*cells, _json(extra) if extra else None]


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if kind is float:
        return abs(value) < _TOO_LARGE
    return isinstance(value, int) and abs(value) < 2**63


def _printable(text: str) -> str:
    """Return text that can be written: half of a surrogate pair is no character."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _json(value: Any) -> str:
    # The standard library's writer: it has integers of any length, and escapes what is no character.
    return json.dumps(value, separators=(",", ":"))


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("writing Parquet", "arrow") from None
    return pa, pq
