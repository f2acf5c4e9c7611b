"""CSV by pyarrow, where that reads it as the record lane does."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from calls_async.protocol.phones import MIN_DIGITS
from calls_async.upload.rows.columns import Columns, RowLane, join_text, read_columns
from calls_async.upload.rows.row import Row, Run, at_line
from calls_async.upload.rows.scalars import scalar
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.csv_records import MAX_CELL_BYTES, NUMBER_LIKE, WHITE_SPACE


class ParsedBlock:
    """The columns of whole lines, all of them text, without the `blank` ones."""

    def __init__(self, columns: Sequence[pa.Array], phone: int, *, breaks: bool) -> None:
        self._parsed = columns
        self._breaks = breaks
        self._kept = _find_rows(columns, phone)
        self.columns = columns if self._kept is None else [column.take(self._kept) for column in columns]
        self.rows = len(self.columns[0])
        self.blank = len(columns[0]) - self.rows

    @cached_property
    def _ends(self) -> list[int]:
        """How many lines there are to the end of each row that was parsed, blank ones, too."""
        lines = pa.repeat(scalar(1), len(self._parsed[0]))
        for column in self._parsed:
            lines = pc.add(lines, pc.count_substring(column, "\n"))
        ends: list[int] = pc.cumulative_sum(lines).to_pylist()
        return ends

    @property
    def lines(self) -> int:
        """How many lines it has."""
        parsed = len(self._parsed[0])
        return self._ends[-1] if self._breaks and parsed else parsed

    def line(self, index: int) -> int:
        """Return how many lines are before a row."""
        parsed: int = index if self._kept is None else self._kept[index].as_py()
        return self._ends[parsed - 1] if self._breaks and parsed else parsed


class CsvColumns:
    """Parses and encodes blocks of whole lines."""

    most_bytes: int | None = None

    def __init__(self, table: Table, delimiter: str, *, multiline: bool = False) -> None:
        self._table = table
        self._columns = Columns.of(table, table.settings_as_json)
        self._delimiter = delimiter
        self._multiline = multiline
        self._before, self._behind = (delimiter.encode(), b"\n"), (delimiter.encode(), b"\r", b"\n")
        other = re.escape(delimiter)
        self._cell = re.compile(rf'"(?<![^{other}\n]")[^"\n]*(?:""[^"\n]*)*"(?![^{other}\r\n])'.encode())
        """A quoted cell of one line. It begins with the quote, not with what is before it: that is found fast."""

    def parse(self, block: bytes) -> ParsedBlock | None:
        """Return the rows of a block; None where the two readers might not agree."""
        quoted = b'"' in block
        # pyarrow takes a byte order mark at the beginning of whatever it reads for no part of the text.
        if len(block) > MAX_CELL_BYTES or b"\0" in block or block.startswith((codecs.BOM_UTF8, b"\n", b"\r")):
            return None
        breaks = quoted and b'"' in self._cell.sub(b"", block)
        if breaks and (b"\n\n" in block or b"\n\r" in block or not self._well_quoted(block)):
            return None
        if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            return None
        columns = read_columns(block, len(self._table.columns), self._delimiter, quoted=quoted, breaks=breaks)
        if columns is None or (not breaks and len(columns[0]) != block.count(b"\n") + (not block.endswith(b"\n"))):
            return None  # pyarrow passes over blank lines, and whoever counts lines must not
        return ParsedBlock(columns, self._table.phone, breaks=breaks)

    def _well_quoted(self, block: bytes) -> bool:
        """Return whether each quote stands at the beginning of a cell, or at its end, or is doubled in between; and
        no cell of several lines holds what may be rows."""
        parts = block.split(b'"')
        if len(parts) % 2 == 0:
            return False  # the last one is never closed
        first, *between, last = parts[::2]  # outside of quotes; nothing between the two of a doubled one
        if (first and not first.endswith(self._before)) or (last and not last.startswith(self._behind)):
            return False
        if not all(not part or (part.startswith(self._behind) and part.endswith(self._before)) for part in between):
            return False
        return self._multiline or not any(b"\n" in part and NUMBER_LIKE.search(part) for part in parts[1::2])

    def encode(self, first_row: int, first_line: int, block: ParsedBlock, done: int) -> list[Run]:
        """Return the rows of a block, which begins with that row and that line, but for the first `done`."""
        cells = [column.slice(done) for column in block.columns]

        def encode(first_row: int, indexes: Sequence[int]) -> list[Row]:
            found = zip(*(column.take(pa.array(indexes, pa.int64())).to_pylist() for column in cells), strict=True)
            return [
                at_line(first_line + block.line(done + index), self._table.encode(first_row + index, row))
                for index, row in zip(indexes, found, strict=True)
            ]

        lane = RowLane(encode=encode, place=lambda index: f"line {first_line + block.line(done + index)}: ")
        return self._columns.encode(first_row + done, cells, lane)


def _find_rows(columns: Sequence[pa.Array], phone: int) -> pa.Array | None:
    """Return the indexes of the rows that are not blank; None: all."""
    phones = columns[phone]
    shortest = pc.min(pc.binary_length(phones)).as_py()
    if shortest is None or (shortest >= MIN_DIGITS and not any(map(join_text(phones).count, _WHITE))):
        return None
    blank = pa.repeat(scalar(value=True), len(phones))
    for column in [phones, *columns]:
        blank = pc.and_(blank, pc.equal(pc.binary_length(pc.utf8_trim(column, WHITE_SPACE)), scalar(0)))
        if not pc.any(blank).as_py():
            return None
    return pc.indices_nonzero(pc.invert(blank))


_WHITE = [char.encode() for char in WHITE_SPACE]
