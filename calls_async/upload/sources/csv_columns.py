"""CSV by pyarrow, where that reads it as Python's csv module does."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import pyarrow as pa

from calls_async.upload.rows.columns import Columns, read_columns
from calls_async.upload.rows.fast_rows import SettingsCache
from calls_async.upload.rows.row import Row, Run
from calls_async.upload.rows.table import Table
from calls_async.upload.sources.text import MAX_LINE_BYTES


class CsvColumns:
    """Parses and encodes blocks of whole lines."""

    def __init__(self, table: Table, delimiter: str) -> None:
        self._table = table
        self._columns = Columns(table, SettingsCache(table.settings_as_json))
        self._delimiter = delimiter
        self._before, self._behind = (delimiter.encode(), b"\n"), (delimiter.encode(), b"\r", b"\n")

    def parse(self, block: bytes) -> Sequence[pa.Array] | None:
        """Return the columns, all of them text; None where the two readers might not agree."""
        quoted = b'"' in block
        # pyarrow takes a byte order mark at the beginning of whatever it reads for no part of the text.
        if len(block) > MAX_LINE_BYTES or block.startswith(codecs.BOM_UTF8):
            return None
        if b"\0" in block or (quoted and not self._well_quoted(block)):
            return None
        if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            return None
        return read_columns(block, len(self._table.columns), self._delimiter, quoted=quoted)

    def _well_quoted(self, block: bytes) -> bool:
        """Return whether each quote stands at the beginning of a cell, or at its end, or is doubled in between."""
        parts = block.split(b'"')
        if len(parts) % 2 == 0:
            return False  # the last one is never closed
        first, *between, last = parts[::2]  # outside of quotes; nothing between the two of a doubled one
        if (first and not first.endswith(self._before)) or (last and not last.startswith(self._behind)):
            return False
        return all(not part or (part.startswith(self._behind) and part.endswith(self._before)) for part in between)

    def encode(self, first_row: int, columns: Sequence[pa.Array]) -> list[Run]:
        """Return the rows from number `first_row` on; those that are not `sure` leave the lane. Raises
        `pyarrow.ArrowException` for types that it does not know."""

        def other(row: int, index: int) -> Row:
            return self._table.encode(row, [column[index].as_py() for column in columns])

        return self._columns.encode(first_row, columns, other)
