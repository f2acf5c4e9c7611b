"""Parquet, by pyarrow, which is an extra: both lanes read the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from calls_async.errors import MissingExtraError, SourceError
from calls_async.upload.rows.row import Row, RowBuffer, Run
from calls_async.upload.rows.table import Table

if TYPE_CHECKING:
    from calls_async.upload.rows.columns import Columns

_BATCH_ROWS = 8192
_FAST_BYTES = 64 * 2**20
"""A batch that takes more memory goes row by row: Arrow's texts count their bytes in 31 bits."""


class ParquetRows(NamedTuple):
    """Which rows are wanted: those after number `skip`, of some row groups (None: all), `before` which there are so
    many rows in the file."""

    skip: int
    before: int
    groups: Sequence[int] | None


def read_parquet(
    name: str, file: BinaryIO, make_table: Callable[[Sequence[str]], Table], wanted: ParquetRows, *, fast: bool
) -> Iterator[list[Run]]:
    """Yield the rows that are wanted, as lists of runs. Raises `SourceError`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from calls_async.upload.rows import columns as columnar
    except ImportError:
        raise MissingExtraError("reading Parquet", "arrow") from None
    row, skip = wanted.before, wanted.skip
    try:
        # Nothing is read ahead: the file is read as fast as it is sent.
        parquet = pq.ParquetFile(file, pre_buffer=False)
        table = make_table(parquet.schema_arrow.names)
        columns = None
        if fast and table.independent and len(table.columns) == len(parquet.schema_arrow.names):
            columns = columnar.Columns.of(table, table.settings_as_json)
        for batch in parquet.iter_batches(_BATCH_ROWS, wanted.groups, use_threads=False):
            count, done = batch.num_rows, max(0, skip - row)
            if done < count:
                left = batch.columns if not done else [column.slice(done) for column in batch.columns]
                runs = None
                if columns is not None and sum(map(_size_bytes, left)) <= _FAST_BYTES:
                    runs = _by_columns(columns, row + done + 1, left)
                if runs is not None:
                    yield runs
                else:
                    yield from _by_rows(table, row + done + 1, left)
            row += count
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceError(name, f"is not a readable Parquet file: {error}", f"after row {row}") from None


def _by_columns(columns: Columns, first_row: int, cells: Sequence[Any]) -> list[Run] | None:
    import pyarrow as pa

    from calls_async.upload.rows.columns import RowLane

    def encode(first_row: int, indexes: Sequence[int]) -> list[Row]:
        found = zip(*(column.take(pa.array(indexes, pa.int64())).to_pylist() for column in cells), strict=True)
        return [columns.table.encode(first_row + index, row) for index, row in zip(indexes, found, strict=True)]

    try:
        for column in cells:
            column.validate(full=True)  # a text that is not UTF-8 must not be sent
        return columns.encode(first_row, cells, RowLane(encode=encode))
    except pa.ArrowException:
        return None


def _size_bytes(column: Any) -> float:
    """Return about how much memory a column takes when each of its values is written out."""
    values = getattr(column, "dictionary", None)
    size: float = column.nbytes
    return size if values is None or not len(values) else size + values.nbytes / len(values) * len(column)


def _by_rows(table: Table, first_row: int, columns: Sequence[Any]) -> Iterator[list[Run]]:
    gathered = RowBuffer()
    for row, cells in enumerate(zip(*(column.to_pylist() for column in columns), strict=True), start=first_row):
        gathered.add(table.encode(row, cells))
        if gathered.full:
            yield gathered.take()
    yield gathered.take()
