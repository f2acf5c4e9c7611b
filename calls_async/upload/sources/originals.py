"""The rows of a list that somebody wants to see again, with what stands in them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from calls_async.upload.rows.numbers import CHECKED
from calls_async.upload.rows.row import UnsentRow, each_row
from calls_async.upload.sources.formats import read_path
from calls_async.upload.sources.options import Reading


class Original(NamedTuple):
    """A row, and what stands in it by the names of its columns or fields."""

    row: int
    fields: Mapping[str, Any]


def read_originals(path: Path, reading: Reading, wanted: Container[int]) -> Iterator[Original]:
    """Yield the wanted rows of a file. Raises `SourceError`."""
    looking = attrs.evolve(reading, rules=CHECKED, columnar=False, keeps_fields=True, on_hint=None)
    for batch in read_path(path, looking):
        for row in each_row(batch.runs):
            if row.row in wanted and isinstance(row, UnsentRow):
                yield Original(row.row, row.fields or {})
