"""The columnar lane and the row lane give the same rows, to the byte, for any file."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import parquet

from calls_async.errors import SourceError
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.rows.row import EncodedRow, EncodedRows, Row, Run
from calls_async.upload.rows.table import Table
from calls_async.upload.sources import text as lines
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from tests.helpers.lanes import PHONES, SETTINGS, TEXTS, assert_same, rows_of


@st.composite
def csv_files(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.sampled_from([*SETTINGS, "name", "city é", 'a"b']), unique=True, max_size=5))
    names.insert(draw(st.integers(0, len(names))), "phone")
    delimiter = draw(st.sampled_from(",;\t|"))
    quote = draw(st.sampled_from(["needed", "always", "never"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))

    def cell(text: str) -> str:
        if quote == "never":
            return text  # whatever comes of it
        if quote == "always" or any(char in text for char in '"\r\n' + delimiter):
            return '"' + text.replace('"', '""') + '"'
        return text

    rows = [[cell(name) for name in names]] if quote != "never" else [names]
    for _ in range(draw(st.integers(0, 12))):
        row = [cell(draw(PHONES if name == "phone" else SETTINGS.get(name, TEXTS))) for name in names]
        rows.append(row)
        match draw(st.integers(0, 20)):
            case 0:
                rows.append([])  # a blank line
            case 1:
                row.append("")
            case 2:
                row.append("more")
            case 3:
                row.pop()
            case 4:
                row[0] = f'"{row[0]}" x'
    text = end.join(delimiter.join(row) for row in rows) + draw(st.sampled_from(["", end]))
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0 and data:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw(st.sampled_from([b"\xff", b"\r", b'"', b"\0"])) + data[place:]
    return data


def hide_arrow(patch: pytest.MonkeyPatch) -> None:
    """Make CSV be read as where pyarrow is not installed, in small pieces."""
    patch.setitem(sys.modules, "calls_async.upload.sources.csv_columns", None)
    patch.setattr("calls_async.upload.sources.csv_text_columns.CsvTextColumns.most_bytes", 40)


@given(data=csv_files(), block_bytes=st.sampled_from([1, 7, 64, 2**19]), arrow=st.booleans())
@example(data=b'phone,name\n16500000000,"a\n', block_bytes=64, arrow=True)
@example(data=b"phone,name\n16500000000,a\n\xef\xbb\xbf16500000001,b\n", block_bytes=1, arrow=True)
@example(data=b"phone\n\xef\xbb\xbf\n16500000001\n", block_bytes=1, arrow=True)
@example(data=b"phone\n16500000000\n\n \n16500000001", block_bytes=64, arrow=True)
@example(data=b'phone\n""\n16500000001', block_bytes=64, arrow=True)
@example(data=b"phone,name\n16500000000,a\n,\xc2\xa0\n16500000001,b\n", block_bytes=64, arrow=False)
@example(data=b"phone,a,b\n16500000000,a\n16500000001,b,c,d\n", block_bytes=64, arrow=False)
@example(data="phone,имя\n16500000000,Юлия\n²,\x85\n".encode(), block_bytes=64, arrow=False)
def test_csv(data: bytes, block_bytes: int, arrow: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block_bytes)
        if not arrow:
            hide_arrow(patch)
        assert_same(data, format="csv")


@given(
    data=csv_files(),
    skip=st.integers(0, 12),
    block_bytes=st.sampled_from([1, 64, 2**19]),
    columnar=st.booleans(),
    arrow=st.booleans(),
)
@example(data=b"phone\n1650000000\r\n\r\n1650000000\n", skip=1, block_bytes=64, columnar=True, arrow=True)
def test_csv_after_rows_that_were_sent_before(
    data: bytes, skip: int, block_bytes: int, columnar: bool, arrow: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", block_bytes)
        if not arrow:
            hide_arrow(patch)
        whole, ending = rows_of(data, format="csv", columnar=columnar)
        assert rows_of(data, format="csv", columnar=columnar, skip=skip) == (whole[skip:], ending)


@given(data=csv_files(), encoding=st.sampled_from(["utf-16", "cp1251", "utf-8-sig", "latin-1", "shift_jis"]))
def test_csv_in_other_encodings(data: bytes, encoding: str) -> None:
    text = data.decode("utf-8", "replace").encode(encoding, "replace")
    assert_same(text, format="csv", encoding=encoding)


CELLS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.dictionary(pa.int32(), pa.string()): TEXTS,
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.one_of(st.floats(), st.integers(-5, 5).map(float)),
    pa.bool_(): st.booleans(),
    pa.timestamp("us", "UTC"): st.integers(0, 2**40).map(lambda micros: datetime.fromtimestamp(micros / 1000, UTC)),
    pa.date32(): st.dates(date(2000, 1, 1), date(2030, 1, 1)),
    pa.decimal128(20, 2): st.integers(-10000, 10000).map(lambda cents: Decimal(cents) / 100),
    pa.list_(pa.string()): st.lists(TEXTS, max_size=2),
    pa.struct([("a", pa.float64())]): st.fixed_dictionaries({"a": st.floats()}),
    pa.binary(): st.binary(max_size=3),
    pa.null(): st.none(),
}  # fmt: skip


@st.composite
def parquet_files(draw: st.DrawFn) -> bytes:
    count = draw(st.integers(0, 12))
    columns: dict[str, pa.Array] = {}
    kinds = st.sampled_from(list(CELLS))
    for name in ["phone", *draw(st.lists(st.sampled_from([*SETTINGS, "name", "b"]), unique=True, max_size=4))]:
        kind = draw(kinds)
        cells = CELLS[kind]
        if name == "phone" and draw(st.integers(0, 3)):
            kind, cells = draw(
                st.sampled_from(
                    [(pa.string(), PHONES), (pa.int64(), st.integers(0, 10**16)), (pa.large_string(), PHONES)]
                )
            )
        elif name in SETTINGS and draw(st.booleans()):
            kind, cells = pa.string(), SETTINGS[name]
        values = draw(st.lists(st.one_of(st.none(), cells), min_size=count, max_size=count))
        columns[name] = pa.array(values, kind)
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


@given(data=parquet_files())
def test_parquet(data: bytes) -> None:
    assert_same(data, format="parquet")


def test_parquet_with_columns_that_have_no_name() -> None:
    file = io.BytesIO()
    parquet.write_table(pa.table([["16500000000"], ["a"], ["x"]], names=["phone", "name", ""]), file)
    assert_same(file.getvalue(), format="parquet")


def test_small_parquet_that_is_large_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calls_async.upload.sources.parquet._FAST_BYTES", 1000)
    monkeypatch.setattr("calls_async.upload.rows.columns.Columns.encode", None)  # is not called
    file = io.BytesIO()
    text = pa.array(["x" * 100] * 50).dictionary_encode()
    parquet.write_table(pa.table({"phone": ["16500000000"] * 50, "name": text}), file)
    assert len(rows_of(file.getvalue(), format="parquet")[0]) == 50


def test_cells_that_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("text", "csv_records"):
        monkeypatch.setattr(f"calls_async.upload.sources.{module}.MAX_LINE_BYTES", 200_000)
    assert_same(
        b"phone,name\n16500000000,a\n16500000001," + b"x" * 150_000 + b"\n16500000002,b\n" * 9000, format="csv"
    )


def test_parquet_with_text_that_is_none() -> None:
    _, starts, text = pa.array(["abc", "déf"]).buffers()
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, starts, pa.py_buffer(text.to_pybytes().replace(b"\xa9", b"x"))]
    )
    file = io.BytesIO()
    parquet.write_table(pa.table({"phone": ["16500000000", "16500000001"], "name": broken}), file)
    assert_same(file.getvalue(), format="parquet")
    assert rows_of(file.getvalue(), format="parquet")[1]


@pytest.mark.parametrize("name", ["Юлия, ß", "50% off"])
def test_columns_without_pyarrow_are_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:

    def by_rows(*_: object) -> Row:
        raise AssertionError

    hide_arrow(monkeypatch)
    monkeypatch.setattr(Table, "encode", by_rows)
    data = f"{name};phone;gmtZone\r\né;16500000000;Z\r\n;x;Z\r\nb;16500000001;\r\n".encode()
    monkeypatch.setattr("calls_async.upload.sources.csv_text_columns.CsvTextColumns.most_bytes", 1000)
    (run,) = [run for batch in read_batches("list", io.BytesIO(data), Reading(format="csv")) for run in batch.runs]
    assert isinstance(run, EncodedRows)
    assert [json.loads(row.body) for row in run if isinstance(row, EncodedRow)] == [
        {"phone": "16500000000", "payload": {name: "é"}, "gmtZone": "Z"},
        {"phone": "16500000001", "payload": {name: "b"}},
    ]
    assert [(row.row, row.error.split(":")[0]) for row in run.unsent] == [(2, "line 3")]


def test_the_columnar_lane_is_used(monkeypatch: pytest.MonkeyPatch) -> None:

    def by_rows(*_: object) -> Row:
        raise AssertionError

    monkeypatch.setattr(Table, "encode", by_rows)
    data = 'phone,name,gmtZone\r\n+16500000000,"é, ""x""\n\\",Z\r\n16500000001,b,\r\n'.encode()
    (run,) = [run for batch in read_batches("list", io.BytesIO(data), Reading(format="csv")) for run in batch.runs]
    assert isinstance(run, EncodedRows)
    assert [json.loads(row.body) for row in run if isinstance(row, EncodedRow)] == [
        {"phone": "16500000000", "payload": {"name": 'é, "x"\n\\'}, "gmtZone": "Z"},
        {"phone": "16500000001", "payload": {"name": "b"}},
    ]


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow" or "columns" in name]:
        monkeypatch.setitem(sys.modules, name, None)
    assert [row.row for row in rows_of(b"phone\n16500000000\nx\n", format="csv")[0]] == [1, 2]


@given(
    data=csv_files(),
    chunk_rows=st.integers(1, 5),
    chunk_bytes=st.sampled_from([100, 400, 10_000]),
    arrow=st.booleans(),
)
def test_the_same_chunks_under_the_same_keys(data: bytes, chunk_rows: int, chunk_bytes: int, arrow: bool) -> None:
    # C-IDEM-8
    def chunks(*, columnar: bool) -> Sequence[Any]:
        chunker = Chunker(upload_id="u", chunk_rows=chunk_rows, chunk_bytes=chunk_bytes)
        runs: list[Run] = []
        try:
            for batch in read_batches("list", io.BytesIO(data), Reading(format="csv", columnar=columnar)):
                runs += batch.runs
        except SourceError:
            pass
        return [*chunker.feed(runs), *chunker.flush()]

    with pytest.MonkeyPatch.context() as patch:
        if not arrow:
            hide_arrow(patch)
        fast = chunks(columnar=True)
    assert fast == chunks(columnar=False)
    for chunk in fast:
        assert len(orjson.loads(chunk.body)) == len(chunk.rows) == len(chunk.phones)


@given(data=csv_files())
def test_rows_of_text_are_encoded_as_any_rows(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        quick = rows_of(data, format="csv", columnar=False)
        patch.setattr("calls_async.upload.sources.csv_rows.QuickTable", lambda table: table)
        assert rows_of(data, format="csv", columnar=False) == quick
