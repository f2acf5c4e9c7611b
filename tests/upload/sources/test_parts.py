"""Parts of files: by rows, by bytes, by row groups. Together they are the file, each row under its own number."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from calls_async.upload.rows.row import EncodedRow, each_row
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import FilePart, Reading

ROWS = [{"phone": str(16500000000 + n), "name": f"Name {n}"} for n in range(40)]
LINES = [json.dumps(row).encode() + b"\n" for row in ROWS]
HEADER = b"phone,name\n"
RECORDS = [f"{row['phone']},{row['name']}\n".encode() for row in ROWS]
CUTS = st.lists(st.integers(0, len(ROWS)), max_size=5).map(lambda cuts: sorted({0, len(ROWS), *cuts}))


def read(data: bytes, form: str, part: FilePart | None, *, columnar: bool = True) -> list[tuple[int, dict[str, Any]]]:
    reading = Reading(format=form, part=part, columnar=columnar)
    batches = read_batches("list", io.BytesIO(data), reading)
    rows = [row for batch in batches for row in each_row(batch.runs)]
    assert all(isinstance(row, EncodedRow) for row in rows)
    return [(row.row, json.loads(row.body)) for row in rows if isinstance(row, EncodedRow)]


@pytest.fixture(scope="module")
def table() -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(ROWS), file, row_group_size=7)
    return file.getvalue()


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@given(cuts=CUTS, columnar=st.booleans())
def test_by_rows(table: bytes, form: str, cuts: list[int], columnar: bool) -> None:
    data = {"csv": HEADER + b"".join(RECORDS), "jsonl": b"".join(LINES), "parquet": table}[form]
    whole = read(data, form, None)
    parts = [FilePart(first_row=first + 1, last_row=last) for first, last in pairwise(cuts)]
    assert [row for part in parts for row in read(data, form, part, columnar=columnar)] == whole


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@given(cuts=CUTS, columnar=st.booleans())
def test_by_bytes(form: str, cuts: list[int], columnar: bool) -> None:
    header, records = (HEADER, RECORDS) if form == "csv" else (b"", LINES)
    data = header + b"".join(records)
    at = [len(header) + len(b"".join(records[:count])) for count in range(len(records) + 1)]
    parts = [
        FilePart(first_row=first + 1, bytes=(at[first], at[last]), header_bytes=len(header))
        for first, last in pairwise(cuts)
    ]
    whole = read(data, form, None)
    assert [row for part in parts for row in read(data, form, part, columnar=columnar)] == whole


@given(group=st.integers(0, 5), columnar=st.booleans())
def test_by_row_groups(table: bytes, group: int, columnar: bool) -> None:
    part = FilePart(first_row=group * 7 + 1, row_groups=[group])
    whole = read(table, "parquet", None)
    assert read(table, "parquet", part, columnar=columnar) == whole[group * 7 : group * 7 + 7]
