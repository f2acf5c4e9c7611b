"""Results files: what became of each row, written and read again. The only place that knows their format."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import orjson

from calls_async.concurrency import SerialThread
from calls_async.errors import CallsError, ConfigurationError, SourceError
from calls_async.upload.outcomes.outcome import Outcome, Receipt
from calls_async.upload.outcomes.workbook import Workbook, import_writer, read_workbook
from calls_async.upload.status import OutcomeStatus

LINES_AT_A_TIME = 500


def read_results(path: Path) -> Iterator[list[Outcome]]:
    """Yield the outcomes in a results file (`.jsonl`, `.csv` or `.xlsx`), in lists; also of one that a spreadsheet
    has saved. Raises `SourceError`, with the line."""
    read = 0
    some: list[Outcome] = []
    try:
        with _open_records(path) as records:
            for record in records:
                row, status = int(record.get("row") or read + 1), OutcomeStatus(record["status"])
                some.append(Outcome(row, record["phone"] or None, status, record["job_id"] or None))
                read += 1
                if len(some) >= LINES_AT_A_TIME:
                    yield some
                    some = []
        yield some
        return
    except GeneratorExit:
        raise
    except OSError as error:
        place, reason = None, f"cannot be read: {error.strerror}"
    except (AttributeError, KeyError, TypeError, ValueError, csv.Error):
        place = f"record {read + 1}"
        reason = "is not a line of a results file; it needs phone, status and job_id, and all their digits"
    if some:
        yield some  # what was read before is not lost
    raise SourceError(str(path), reason, place)


@contextmanager
def _open_records(path: Path) -> Iterator[Iterator[dict[str, Any]]]:
    suffix = path.suffix.lower()
    if suffix == WORKBOOK:
        yield ({name: _read_cell(cell) for name, cell in row.items()} for row in read_workbook(path))
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield _read_table(file) if suffix == ".csv" else map(orjson.loads, file)


def _read_table(file: TextIO) -> Iterator[dict[str, str]]:
    """Yield the lines of a CSV file by the names of their columns. Raises `ValueError` for digits that are lost."""
    header = file.readline()
    names = next(csv.reader([header], delimiter=(delimiter := max(",;\t", key=header.count))), [])
    for cells in csv.reader(file, delimiter=delimiter):
        if any(cells):
            yield dict(zip(names, map(_read_cell, cells), strict=False))


def _read_cell(cell: str) -> str:
    if _SPOILT.fullmatch(cell):
        raise ValueError("a number was spoilt by a spreadsheet")
    return cell.removesuffix(".0") if _DECIMAL.fullmatch(cell) else cell


_SPOILT = re.compile(r"\d[.,]?\d*[eE]\+\d+")
_DECIMAL = re.compile(r"\d+\.0")
COLUMNS = ("row", "phone", "status", "job_id", "error")


def to_jsonl(receipt: Receipt) -> bytes:
    """Return the outcomes of a receipt, one object a line."""
    # Purged, or of a check, which has no IDs.
    if not receipt.verdict.plain or None in receipt.phones or None in receipt.verdict.job_ids:
        outcomes = receipt.outcomes()
        records = [_make_record(one.row, one.phone, one.status, one.job_id, one.error) for one in outcomes]
        return b"".join(_lines(records))
    if not receipt.unsent:
        return _accepted_lines(receipt)  # nearly always
    lines = dict(zip(receipt.rows, _accepted_lines(receipt).splitlines(keepends=True), strict=True))
    unsent = [_make_record(row, phone, status, None, error) for row, phone, status, error, _ in receipt.unsent]
    lines.update(zip([row.row for row in receipt.unsent], _lines(unsent), strict=True))
    return b"".join([lines[row] for row in sorted(lines)])


_ROW = b'{"row":'


def _make_record(row: int, phone: str | None, status: OutcomeStatus, job_id: str | None, error: str | None) -> Any:
    return {"row": row, "phone": phone, "status": status, "job_id": job_id, "error": error}


def _lines(records: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Return the line of each, which begins with its row. All at once, which takes a third of the time; within a
    text, quotes are escaped."""
    array = orjson.dumps(records).removeprefix(b"[" + _ROW).removesuffix(b"}]")
    return [b"%b%b}\n" % (_ROW, rest) for rest in array.split(b"}," + _ROW)] if records else []


def _accepted_lines(receipt: Receipt) -> bytes:
    """Return the rows that were sent, where all are accepted: digits, letters and the like need no escape. Joined,
    not formatted one by one, they take 160 ns a row instead of 260."""
    parts = ['{"row":', "", ',"phone":"', "", '","status":"accepted","job_id":"', "", '","error":null}\n']
    parts *= len(receipt.rows)
    parts[1::7] = map(str, receipt.rows)
    parts[3::7] = receipt.phones
    parts[5::7] = cast("list[str]", receipt.verdict.job_ids)
    return "".join(parts).encode()


def to_csv(receipt: Receipt) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows((one.row, one.phone, one.status.value, one.job_id, one.error) for one in receipt.outcomes())
    return text.getvalue().encode()


BYTE_ORDER_MARK = codecs.BOM_UTF8
"""By this, spreadsheets know that a CSV file is UTF-8."""
RESULTS_FORMATS: dict[str, tuple[bytes, Callable[[Receipt], bytes]]] = {
    ".jsonl": (b"", to_jsonl),
    ".csv": ((",".join(COLUMNS) + "\n").encode(), to_csv),
}
"""For each ending, how the file begins and how the outcomes of a receipt are written."""


WORKBOOK = ".xlsx"


def open_private(path: str | Path) -> BinaryIO:
    """Open a new file for its owner only: it holds phones. One that is there keeps its mode."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


class ResultsFile:
    """Writes the outcomes of receipts, off the event loop. The file is made with the first one, so
    that an upload that fails before has not touched it. Raises `CallsError` for a full disk."""

    def __init__(self, path: str, *others: str | None, excel: bool = False) -> None:
        """Take the path; `others`, which are files that it must not be, such as the source; and whether a CSV file
        begins with a byte order mark."""
        self._path = Path(path)
        suffix = self._path.suffix.lower()
        if suffix not in (*RESULTS_FORMATS, WORKBOOK):
            known = ", ".join((*RESULTS_FORMATS, WORKBOOK))
            raise ConfigurationError(f"--results {path}: the name must end with one of {known}")
        for other in others:
            if other is not None and same_file(self._path, Path(other)):
                raise ConfigurationError(f"--results {path}: is {other} itself; name another file")
        self._is_workbook = suffix == WORKBOOK
        if self._is_workbook:
            import_writer()  # say at once that it is missing
        self._header, self._write = RESULTS_FORMATS.get(suffix, (b"", to_jsonl))
        if excel and suffix == ".csv":
            self._header = BYTE_ORDER_MARK + self._header
        self._file: BinaryIO | None = None
        self._begun = False
        self._held: list[bytes] = []
        """The lines of a workbook's rows, compressed."""
        self._turns = SerialThread("results")

    async def add(self, receipts: Sequence[Receipt]) -> None:
        """Write receipts; when this returns, the death of the process loses none of them. A workbook is written at
        the end, as its format wants; a journal gives the results again."""
        await self._do(lambda: self._append(receipts))

    async def finish(self) -> None:
        """Finish the file; there is one also where there was nothing to write."""
        await self._do(lambda: self._append(()))
        await self.close()

    async def close(self) -> None:
        """Give the file back, as far as it is."""
        await self._do(self._close)

    def write_all(self, receipts: Iterable[Receipt]) -> None:
        """Write all of these, in this thread, and finish the file."""
        with self._naming_file():
            for receipt in receipts:
                self._append([receipt])
            self._append(())
            self._close()

    def _append(self, receipts: Sequence[Receipt]) -> None:
        if self._is_workbook:
            self._held += [zlib.compress(to_jsonl(receipt)) for receipt in receipts]
            self._begun = True
            return
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if self._begun else os.O_TRUNC)
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")  # it holds phones
        if not self._begun:
            self._begun = True
            self._file.write(self._header)
        for receipt in receipts:
            self._file.write(self._write(receipt))
        self._file.flush()

    def _close(self) -> None:
        if self._is_workbook and self._begun:
            self._write_workbook()
        file, self._file = self._file, None
        if file is not None:
            with file:
                os.fsync(file.fileno())

    def _write_workbook(self) -> None:
        """Write all that there is so far; more may come."""
        book = Workbook(open_private(self._path), COLUMNS)
        for some in self._held:
            for line in zlib.decompress(some).splitlines():
                outcome = orjson.loads(line)
                book.write([outcome[name] for name in COLUMNS])
        book.close()

    async def _do(self, work: Callable[[], None]) -> None:
        with self._naming_file():
            await self._turns.run(work)

    @contextmanager
    def _naming_file(self) -> Iterator[None]:
        try:
            yield
            return
        except OSError as error:
            reason = error.strerror or type(error).__name__
        raise CallsError(f"{self._path}: cannot be written: {reason}")


def same_file(one: Path, other: Path) -> bool:
    """Return whether two names mean one file, be it there or not."""
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()
