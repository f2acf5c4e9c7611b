"""Rows and contacts of a source."""

from __future__ import annotations

import io
import json
from typing import Any

from calls_async.upload.rows.row import EncodedRow, Row, UnsentRow, each_row
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from calls_async.upload.sources.source import SourceLike


def rows_of(data: bytes, **reading: Any) -> list[Row]:
    settings = {"format": "csv"} | reading
    return [
        row for batch in read_batches("list", io.BytesIO(data), Reading(**settings)) for row in each_row(batch.runs)
    ]


def contacts_of(rows: list[Row]) -> list[Any]:
    assert all(isinstance(row, EncodedRow) for row in rows), rows
    return [json.loads(row.body) for row in rows if isinstance(row, EncodedRow)]


async def drawn(source: SourceLike, **reading: Any) -> list[Row]:
    return [row async for batch in open_source(source, Reading(**reading)).batches() for row in each_row(batch.runs)]


def reasons(rows: list[Row]) -> dict[int, str]:
    return {row.row: row.error for row in rows if isinstance(row, UnsentRow)}
