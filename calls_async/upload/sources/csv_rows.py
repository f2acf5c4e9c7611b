"""CSV: one reader, two lanes. Blocks whose every quote stands where it should go through pyarrow, column by column;
all others go through Python's csv module, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from calls_async.errors import ContactError, SourceError
from calls_async.upload.rows.cells import rejected
from calls_async.upload.rows.fast_rows import QuickTable
from calls_async.upload.rows.row import RowBuffer, Run
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.text import MAX_LINE_BYTES, LineBlocks, LineTooLong, guess_delimiter

if TYPE_CHECKING:
    from calls_async.upload.sources.csv_columns import CsvColumns


MAX_FIELD_CHARS = 16 * 2**20
"""The longest cell; beyond it, a quote was probably never closed."""
_LINE_ENDS = (b"\n", b"\r")


class CsvReader:
    """The rows of a CSV file as lists of runs, numbered from 1; blank lines have no number."""

    def __init__(
        self,
        name: str,
        read: Callable[[int], bytes],
        encoding: str | None,
        delimiter: str | None,
        *,
        rows_before: int = 0,
    ) -> None:
        self._name = name
        self._blocks = LineBlocks(name, read, encoding, _LINE_ENDS)
        self._row = rows_before
        self._lines: list[str] = []
        """What is left of a block for the csv module, the last line first."""
        self._give(self._next_block())
        self.delimiter = delimiter or guess_delimiter("".join(self._lines[::-1][:100]))
        csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARS))
        self._records = csv.reader(self._all_lines(), delimiter=self.delimiter, strict=True)

    def header(self) -> list[str]:
        """Return the first line that is not blank. Raises `SourceError` where there is none."""
        try:
            header = next((cells for cells in self._records if cells), None)
        except csv.Error as error:
            raise SourceError(self._name, f"is not CSV: {error}", "header") from None
        if header is None:
            raise SourceError(self._name, "is empty; it needs a header that names its columns")
        return header

    def rows(self, table: Table, fast: CsvColumns | None, skip: int) -> Iterator[list[Run]]:
        """Yield the rows after those to `skip`. Raises `SourceError` where it cannot go on, after what was before
        that."""
        slow = QuickTable(table)
        block = self._blocks.encoded("".join(self._lines[::-1])) or self._next_block()
        self._lines.clear()
        while block:
            count = _count_rows(block) if self._row < skip else None
            if count is not None and self._row + count <= skip:
                self._row += count  # resuming skips millions of rows: nobody needs to parse them
                block = self._next_block()
                continue
            columns = fast.parse(block) if fast is not None else None
            if fast is None or columns is None:
                self._give(block)
                yield from self._by_records(slow, skip)
            else:
                count, done = len(columns[0]), max(0, skip - self._row)
                if done < count:
                    yield fast.encode(self._row + done + 1, [column.slice(done) for column in columns])
                self._row += count
            block = self._next_block()

    def _by_records(self, table: QuickTable, skip: int) -> Iterator[list[Run]]:
        """Yield the rows of the block that was given to the csv module; its last record may go on in the next
        ones."""
        gathered = RowBuffer()
        while self._lines:
            try:
                cells = next(self._records)
                if not cells:
                    continue
                self._row += 1
                if self._row > skip:
                    gathered.add(table.encode(self._row, cells))
            except csv.Error as error:
                self._row += 1
                if "expected after" not in str(error):
                    yield gathered.take()
                    reason = f"has a quote that is never closed ({error})"
                    raise SourceError(self._name, reason, f"row {self._row}") from None
                if self._row > skip:
                    gathered.add(rejected(self._row, None, ContactError("row", "has text after a closing quote")))
            except SourceError:
                yield gathered.take()
                raise
            if gathered.full:
                yield gathered.take()
        yield gathered.take()

    def _give(self, block: bytes) -> None:
        self._lines = list(io.StringIO(self._blocks.text(block), newline=""))[::-1]

    def _all_lines(self) -> Iterator[str]:
        while self._lines:
            yield self._lines.pop()
            if not self._lines:
                self._give(self._next_block())

    def _next_block(self) -> bytes:
        try:
            return self._blocks.next()
        except LineTooLong:
            reason = f"has a line of more than {MAX_LINE_BYTES:,} bytes; is it CSV?"
        raise SourceError(self._name, reason, f"row {self._row + 1}")


def _count_rows(block: bytes) -> int | None:
    """Return how many rows a block has, where its lines are rows: no quotes, no blank lines, no bare carriage
    returns."""
    if len(block) > MAX_LINE_BYTES or b'"' in block or b"\n\n" in block or block.startswith((b"\n", b"\r")):
        return None
    if b"\r" in block and (b"\n\r" in block or block.count(b"\r") != block.count(b"\r\n")):
        return None
    return block.count(b"\n") + (not block.endswith(b"\n"))
