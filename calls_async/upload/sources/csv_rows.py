"""CSV: one reader, two lanes. Blocks whose every quote stands where it should go through pyarrow, column by column;
all others go record by record."""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import attrs

from calls_async.errors import ContactError, JournalRefusedError, SourceError
from calls_async.upload.rows.cells import rejected
from calls_async.upload.rows.fast_rows import QuickTable
from calls_async.upload.rows.header import SAMPLE_ROWS, Sample
from calls_async.upload.rows.row import Row, RowBuffer, Run, at_line
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.checkpoint import NOTHING, Consumed
from calls_async.upload.sources.csv_records import WHITE_SPACE, Layout, Lines, Record, Records
from calls_async.upload.sources.text import LineBlocks, LineTooLong, guess_delimiter

_LINE_ENDS = (b"\n", b"\r")
_NAMED_DELIMITER = re.compile(r"\ufeff?\"?sep=(.)\"?\r?\n?")
"""Excel's own first line, which is no row."""
_FIRST_LINES = 30
"""How many lines the delimiter is guessed by."""


@attrs.frozen(slots=True, kw_only=True)
class CsvStyle:
    """How a CSV file is written, as far as that is known beforehand."""

    encoding: str | None = None
    delimiter: str | None = None
    multiline: bool = False
    """Whether quoted cells may hold what looks like rows."""
    header_row: int | None = None
    """In which line the header is; None: in the first that is not blank."""


@attrs.frozen(slots=True, kw_only=True)
class Before:
    """What came before the rows that are read: so many `rows` of other parts, and what an earlier process took."""

    rows: int = 0
    consumed: Consumed = NOTHING
    has_grown: Callable[[], bool] = bool
    """Whether lines have been read that came after the earlier process had read to the end."""


class FastBlock(Protocol):
    """Whole lines, cut into columns."""

    @property
    def rows(self) -> int:
        """How many rows it has."""

    @property
    def blank(self) -> int:
        """How many blank lines."""

    @property
    def lines(self) -> int:
        """How many lines."""


Block = TypeVar("Block", bound=FastBlock)


class FastLane(Protocol[Block]):
    """A lane for many rows at once, beside the one of records; it makes the same of them."""

    @property
    def most_bytes(self) -> int | None:
        """How large its blocks are at most, where a line is not larger; None: as large as they are read."""

    def parse(self, block: bytes) -> Block | None:
        """Return the rows of a block; None where the two lanes might not agree."""

    def encode(self, first_row: int, first_line: int, block: Block, done: int) -> list[Run]:
        """Return the rows of a block, which begins with that row and that line, but for the first `done`."""


class CsvReader:
    """The rows of a CSV file as lists of runs, numbered from 1; blank lines have no number."""

    def __init__(self, name: str, read: Callable[[int], bytes], style: CsvStyle, before: Before) -> None:
        self._name = name
        self._blocks = LineBlocks(name, read, style.encoding, _LINE_ENDS)
        self._row = before.rows
        self._before = before
        self._multiline = style.multiline
        self._header_row = style.header_row
        self.blank_lines = 0
        self._cut: deque[bytes] = deque()
        """What has been read of the file and not been taken, in pieces as large as the fast lane wants them."""
        self._most_bytes: int | None = None
        self._old_lines: int | None = None
        """How many lines the list had when an earlier process read to its end; None where it has not grown since."""
        self._lines = Lines(self._more_lines)
        self.delimiter = self._find_delimiter(style.delimiter)
        self._records = Records(self._lines, self.delimiter)

    def header(self) -> list[str]:
        """Return the cells of the header. Raises `SourceError` where there is none."""
        while self._lines or self._lines.fetch():
            (record,) = self._records.next(None)
            if self._header_row is not None and record.line < self._header_row:
                continue
            if record.error is not None:
                raise SourceError(self._name, f"is not CSV: it {record.error}", "header")
            if not record.blank:
                return list(record.cells)
        raise SourceError(self._name, "is empty; it needs a header that names its columns")

    def sample(self) -> Sample:
        """Return cells of the first lines behind the header, as far as they have been read."""
        header = self._lines.taken
        lines = enumerate(self._lines.look(SAMPLE_ROWS), start=header + 1)
        cells = [(place, line.rstrip("\r\n").split(self.delimiter)) for place, line in lines if line is not None]
        return Sample(header, [(place, [cell.strip('"') for cell in row]) for place, row in cells])

    def rows(self, table: Table, fast: FastLane[Any] | None, skip: int) -> Iterator[list[Run]]:
        """Yield the rows after those to `skip`. Raises `SourceError` where it cannot go on, after what was before
        that."""
        slow = QuickTable(table)
        self._most_bytes = None if fast is None else fast.most_bytes
        layout = Layout(len(table.columns), table.phone, self._multiline)
        # What is left of the header's block is a block, too.
        left = "".join(line for line in self._lines.take_all() if line is not None)
        if left:
            self._cut.extend(_cut_lines(self._blocks.encoded(left), self._most_bytes))
        block = self._next_block()
        while block != b"":
            count = _count_rows(block, self.delimiter) if block and self._row < skip else None
            parsed = None
            if count is not None and self._row + count <= skip:
                self._row += count  # resuming skips millions of rows: nobody needs to parse them
                self._lines.pass_over(count)
            elif fast is not None and block and (parsed := self._parse(fast, block)) is not None:
                if (done := max(0, skip - self._row)) < parsed.rows:
                    yield fast.encode(self._row + 1, self._lines.taken + 1, parsed, done)
                self._row += parsed.rows
                self.blank_lines += parsed.blank
                self._lines.pass_over(parsed.lines)
            else:
                self._lines.give(self._split(block))
                yield from self._by_records(slow, layout, skip)
            block = self._next_block()

    def _parse(self, fast: FastLane[Block], block: bytes) -> Block | None:
        parsed = fast.parse(block)
        if parsed is not None and parsed.blank and self._row < self._before.consumed.old_rows:
            return None  # a closer look is needed
        return parsed

    def _by_records(self, table: QuickTable, layout: Layout, skip: int) -> Iterator[list[Run]]:
        """Yield the rows of the lines that were given; the last record may go on in the next blocks."""
        gathered = RowBuffer()
        while self._lines:
            for record in self._records.next(layout):
                if record.read_otherwise_before:
                    self._refuse_read_otherwise()
                if record.blank:
                    self.blank_lines += 1
                    continue
                self._row += 1
                self._refuse_closed_later(record)
                if self._row > skip:
                    gathered.add(_encode(table, self._row, record))
            if gathered.full:
                yield gathered.take()
        yield gathered.take()

    def _refuse_closed_later(self, record: Record) -> None:
        """Refuse a list that has grown so that a quote is closed, which was not when the rows behind it were sent."""
        consumed = self._before.consumed
        seen_before = record.error is None and self._row <= consumed.rows
        if seen_before and self._old_lines is not None and self._lines.taken > self._old_lines:
            how = f"a quote of line {record.line} was never closed, and is now"
            raise consumed.changed(consumed.last_chunk, how)

    def _refuse_read_otherwise(self) -> None:
        """Refuse what an older version counted otherwise: the rows behind it would have other numbers now."""
        consumed = self._before.consumed
        if self._row < consumed.old_rows:
            how = f"lines after row {self._row} were counted otherwise by the older version that began this upload"
            raise JournalRefusedError(consumed.journal, f"{how}; finish it with that version")

    def _find_delimiter(self, given: str | None) -> str:
        self._lines.fetch()
        first = [line for line in self._lines.look(_FIRST_LINES + (self._header_row or 0)) if line is not None]
        named = _NAMED_DELIMITER.fullmatch(first[0]) if first else None
        if named is None:
            return given or guess_delimiter(first[(self._header_row or 1) - 1 :])
        self._lines.take()
        return given or named[1]

    def _more_lines(self) -> list[str | None]:
        return self._split(self._next_block())

    def _split(self, block: bytes | None) -> list[str | None]:
        return [None] if block is None else list(io.StringIO(self._blocks.text(block), newline=""))

    def _next_block(self) -> bytes | None:
        """Return whole lines; None for a line that is too long, nothing at the end."""
        if self._cut:
            return self._cut.popleft()
        unfinished = bool(self._blocks.look())
        try:
            self._cut.extend(_cut_lines(self._blocks.next(), self._most_bytes))
            return self._cut.popleft()
        except LineTooLong:
            return None
        finally:
            if self._old_lines is None and self._before.has_grown():
                self._old_lines = self._lines.taken + len(self._lines) + unfinished


def _encode(table: QuickTable, row: int, record: Record) -> Row:
    if record.error is None:
        return at_line(record.line, table.encode(row, record.cells))
    wrong = rejected(row, None, ContactError("row", record.error))
    return at_line(record.line, wrong._replace(fields={"line": "".join(record.cells).rstrip("\r\n")}))


def _count_rows(block: bytes, delimiter: str) -> int | None:
    """Return how many rows a block has, where each of its lines surely is one: no quotes, no bare carriage returns,
    nothing that may be a blank line."""
    if b'"' in block:
        return None
    for start in ("\n", "\r\n", delimiter, *WHITE_SPACE):
        if block.startswith(start.encode()) or b"\n" + start.encode() in block:
            return None
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return None
    return block.count(b"\n") + (not block.endswith(b"\n"))


def _cut_lines(block: bytes, most_bytes: int | None) -> Iterator[bytes]:
    """Yield a block in pieces of whole lines, of so many bytes where lines are not longer; at least one."""
    start = 0
    while most_bytes is not None and len(block) - start > most_bytes:
        end = block.rfind(b"\n", start, start + most_bytes) + 1 or block.find(b"\n", start) + 1
        if not 0 < end < len(block):
            break
        yield block[start:end]
        start = end
    yield block[start:]
