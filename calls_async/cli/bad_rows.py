"""The rows that were not sent, with their original columns and why: for a person to correct them."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from calls_async.cli.problems import BAD
from calls_async.errors import CallsError, ConfigurationError
from calls_async.upload.outcomes.outcome import Receipt
from calls_async.upload.outcomes.results_file import BYTE_ORDER_MARK, WORKBOOK, open_private, same_file
from calls_async.upload.outcomes.workbook import Workbook, import_writer, spell_cell
from calls_async.upload.rows.header import REASON_COLUMN
from calls_async.upload.sources.originals import Original
from calls_async.upload.status import OutcomeStatus

_CACHE_KIB = 32 * 1024


class BadRows:
    """Remembers which rows were not sent, and why; what exceeds a little memory is on disk."""

    def __init__(self, statuses: Sequence[OutcomeStatus] = BAD) -> None:
        self._statuses = statuses
        self._reasons = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._reasons.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._reasons.execute("CREATE TABLE bad (row INTEGER PRIMARY KEY, reason TEXT NOT NULL)")
        self._reasons.execute("BEGIN")

    def note(self, receipt: Receipt) -> None:
        """Take in what became of a chunk's rows."""
        counts = receipt.counts()
        if any(counts[status] for status in self._statuses):
            bad = [one for one in receipt.outcomes() if one.status in self._statuses]
            values = [(one.row, f"{one.status}: {spell_cell(one.error)}") for one in bad]
            self._reasons.executemany("INSERT OR REPLACE INTO bad VALUES (?, ?)", values)

    def __contains__(self, row: object) -> bool:
        return self._reasons.execute("SELECT 1 FROM bad WHERE row = ?", (row,)).fetchone() is not None

    def write(self, file: BadFile, read: Callable[[], Iterator[Original]]) -> int:
        """Write them into a file, from their list, which `read` reads from the beginning each time; return how many
        there are. Raises what `read` raises, and `CallsError` where the file cannot be written."""
        names = dict.fromkeys(name for row in read() for name in row.fields if name != REASON_COLUMN)
        return file.write([*names, REASON_COLUMN], (self._cells(row, list(names)) for row in read()))

    def close(self) -> None:
        """Forget them."""
        self._reasons.close()

    def _cells(self, row: Original, names: Sequence[str]) -> list[Any]:
        (reason,) = self._reasons.execute("SELECT reason FROM bad WHERE row = ?", (row.row,)).fetchone()
        return [*(row.fields.get(name) for name in names), reason]


class BadFile:
    """Where they are written: a CSV file or a workbook that a spreadsheet opens, or standard output."""

    def __init__(self, path: str | None, *, excel: bool, others: Iterable[str] = ()) -> None:
        """Take `others`, which are files that it must not be. Raises `ConfigurationError`."""
        self._path = path
        self._excel = excel
        self._workbook = path is not None and Path(path).suffix.lower() == WORKBOOK
        if path is None:
            return
        if not self._workbook and not path.lower().endswith(".csv"):
            raise ConfigurationError(f"{path}: the name must end with .csv or .xlsx")
        for other in others:
            if same_file(Path(path), Path(other)):
                raise ConfigurationError(f"{path}: is {other} itself; name another file")
        if self._workbook:
            import_writer()  # say at once that it is missing

    def write(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        """Write a table; return how many rows it has. Raises `CallsError`."""
        try:
            file = sys.stdout.buffer if self._path is None else open_private(self._path)
            return self._write_workbook(file, columns, rows) if self._workbook else self._write(file, columns, rows)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or type(error).__name__
        raise CallsError(f"{self._path or 'standard output'}: cannot be written: {reason}")

    def _write_workbook(self, file: BinaryIO, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        book, count = Workbook(file, columns), 0
        for row in rows:
            book.write(row)
            count += 1
        book.close()
        return count

    def _write(self, file: BinaryIO, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        count = -1
        if self._excel:
            file.write(BYTE_ORDER_MARK)
        for row in chain([columns], rows):
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow(list(map(spell_cell, row)))
            file.write(line.getvalue().encode())
            count += 1
        file.flush()
        if file is not sys.stdout.buffer:
            os.fsync(file.fileno())
            file.close()
        return count
