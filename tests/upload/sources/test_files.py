"""Lists in files: every format, good and bad rows."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from calls_async import SourceError
from calls_async.upload.rows.row import EncodedRow, UnsentRow, each_row
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from calls_async.upload.sources.text import guess_delimiter, guess_encoding
from tests.helpers.sources import contacts_of, drawn, reasons, rows_of

CSV = "phone,name,gmtZone,maxAttempts\n+1 (650) 000-0000,Zoë,-05:00,2\n16500000001,,,\n"
CONTACTS = [
    {"phone": "16500000000", "payload": {"name": "Zoë"}, "gmtZone": "-05:00", "maxAttempts": 2},
    {"phone": "16500000001", "payload": {"name": ""}},
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_csv_of_many_kinds(encoding: str, delimiter: str, newline: str) -> None:
    text = CSV.replace(",", delimiter).replace("\n", newline)
    assert contacts_of(rows_of(text.encode(encoding))) == CONTACTS


def test_csv_of_an_encoding_that_is_named() -> None:
    assert contacts_of(rows_of("phone,name\n16500000000,Юлия\n".encode("cp1251"), encoding="cp1251")) == [
        {"phone": "16500000000", "payload": {"name": "Юлия"}}
    ]


def test_every_setting_as_a_column() -> None:  # C-F-2 … C-F-10, C-DAY-1, C-TIME-1
    settings = {
        "startDateTime": "2020-03-23T00:00:00Z",
        "finishDateTime": "2020-03-24T00:00:00Z",
        "allowedTime": {"default": [{"localTimeFrom": "10:00", "localTimeTo": "18:00"}]},
        "retryIntervalInMinutes": 120,
        "maxAttempts": 0,
        "gmtZone": "Europe/Berlin",
        "dialerPriority": 2,
        "phone": "16500000000",
    }
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*settings, "allowedDays", "payload", "name"])
    writer.writerow(
        [v if isinstance(v, str) else json.dumps(v) for v in settings.values()] + ["Mon, fri", '{"age": 34}', "Al"]
    )
    assert contacts_of(rows_of(text.getvalue().encode())) == [
        settings | {"allowedDays": ["mon", "fri"], "payload": {"age": 34, "name": "Al"}}
    ]


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=8), st.sampled_from(["utf-8", "utf-16"]))
def test_any_text_in_cells_arrives(cells: list[list[str]], encoding: str) -> None:
    cells = [[cell.encode("utf-8", "replace").decode() for cell in row] for row in cells]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["a", "phone", "b"])
    writer.writerows([a, "16500000000", b] for a, b in cells)
    got = contacts_of(rows_of(text.getvalue().encode(encoding), multiline=True))
    assert [contact["payload"] for contact in got] == [{"a": a, "b": b} for a, b in cells]


def test_bad_rows_cost_no_other_row() -> None:
    data = (
        b"phone,name,maxAttempts\n"
        b"16500000001,\xc3\xa9,1\n"
        b"1.65E+10,b,1\n"  # 2
        b"16500000003\n"  # 3: cells at the end are missing
        b"\n"
        b"16500000004,d,many\n"
        b'16500000005,"quoted" text,1\n'
        b"16500000006,caf\xe9,1\n"
        b"16500000007,g,1,extra\n"
        b'16500000008,"line\nbreak, and ""quotes""",1\n'
    )
    rows = rows_of(data)
    assert [row.row for row in rows] == list(range(1, 9))
    wrong = reasons(rows)
    assert {row: error.split(":")[:2] for row, error in wrong.items()} == {
        2: ["line 3", " phone"],
        4: ["line 6", " maxAttempts"],
        5: ["line 7", " row"],
        6: ["line 8", " name"],
        7: ["line 9", " row"],
    }
    assert "encoding" in wrong[6]
    assert contacts_of([row for row in rows if row.row not in wrong])[2]["payload"] == {
        "name": 'line\nbreak, and "quotes"'
    }
    assert [row.phone for row in rows][1] == "1.65E+10"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"name\nx\n", "no column 'phone'"),
        (b"phone,a,a\n1,2,3\n", "more than one column 'a'"),
        (b"+16502260001,Ann\n+16502260002,Bob\n", "seems to have no header"),
        (b"Phone,name\n1,2\n", "--column Phone=phone"),
        (b'"phone\n', "header"),
        (b"\xff\xfep\0h\0o\0n\0e\0\n\0001", "is not utf-16"),
    ],
)
def test_files_that_cannot_be_read(data: bytes, said: str) -> None:
    with pytest.raises(SourceError, match="list") as caught:
        rows_of(data)
    assert said in str(caught.value)


def test_columns_of_another_name() -> None:
    mapped = {"Tel": "phone", "Zone": "gmtZone", "Kunde": "name"}
    data = b"Kunde;Zone;Tel\nAl;Z;16500000000\n"
    assert contacts_of(rows_of(data, columns=mapped)) == [
        {"phone": "16500000000", "payload": {"name": "Al"}, "gmtZone": "Z"}
    ]
    with pytest.raises(SourceError, match="no column 'Telefon'"):
        rows_of(data, columns={"Telefon": "phone"})
    assert contacts_of(rows_of(b'{"Tel": 16500000000}', format="jsonl", columns=mapped)) == [{"phone": "16500000000"}]


def test_a_header_that_looks_like_a_mistake() -> None:
    told: list[str] = []
    rows_of(b"phone,gmtzone,city\n16500000000,Z,x\n", on_hint=told.append)
    assert told == ["column 'gmtzone' goes into the payload; did you mean gmtZone?"]


def test_columns_that_a_spreadsheet_left_empty() -> None:
    assert contacts_of(rows_of(b"phone,name,,\n16500000000,Al,,\n16500000001,Bo\n")) == [
        {"phone": "16500000000", "payload": {"name": "Al"}},
        {"phone": "16500000001", "payload": {"name": "Bo"}},
    ]
    assert 1 in reasons(rows_of(b"phone,name,,\n16500000000,Al,,x\n"))


def test_a_field_that_is_there_twice() -> None:
    rows = rows_of(b'{"Tel": "16500000000", "phone": "16500000001"}', format="jsonl", columns={"Tel": "phone"})
    assert "two fields" in reasons(rows)[1]


def test_json_lines() -> None:
    lines = [
        '{"phone": "+1 650 000 0000", "payload": {"a": [1, null]}, "name": "é", "allowedDays": ["mon"]}',
        "",
        "not json",
        "[1]",
        '{"phone": 1.65E+10}',
        '{"name": "nobody"}',
        '{"phone": 16500000001, "payload": {"id": 123456789012345678901234567890}}',
        '{"phone": 16500000002, "payload": "text", "b": 1}',
        '{"phone": 16500000003, "payload": "text"}',
        '{"phone": 16500000004, "payload": {"b": 2}, "b": 1, "gmtZone": null}',
    ]
    data = "\ufeff" + "\n".join(lines)
    rows = rows_of(data.encode(), format="jsonl")
    assert contacts_of([row for row in rows if isinstance(row, EncodedRow)]) == [
        {"phone": "16500000000", "payload": {"a": [1, None], "name": "é"}, "allowedDays": ["mon"]},
        {"phone": "16500000001", "payload": {"id": 123456789012345678901234567890}},
        {"phone": "16500000003", "payload": "text"},
    ]
    assert {row: error.split(":")[0] for row, error in reasons(rows).items()} == {
        2: "row", 3: "row", 4: "phone", 5: "phone", 7: "payload", 9: "payload",
    }  # fmt: skip


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    table = pa.table(
        {
            "phone": pa.array([16500000000, 16500000001, None], pa.int64()),
            "age": pa.array([34, None, 1], pa.int32()),
            "born": [date(2000, 1, 2), None, None],
            "maxAttempts": [1, None, 1],
            "tags": [["a"], [], None],
        }
    )
    pq.write_table(table, path)
    rows = rows_of(path.read_bytes(), format="parquet")
    assert contacts_of(rows[:2]) == [
        {"phone": "16500000000", "payload": {"age": 34, "born": "2000-01-02", "tags": ["a"]}, "maxAttempts": 1},
        {"phone": "16500000001", "payload": {"age": None, "born": None, "tags": []}},
    ]
    assert reasons(rows) == {3: "phone: is empty"}
    with pytest.raises(SourceError, match="Parquet"):
        rows_of(b"PAR1 nonsense", format="parquet")


def test_excel(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    book = Workbook()
    sheet = book.active
    for line in [
        ["phone", "age", "gmtZone"],
        [16500000000, 34, "Z"],
        [],
        ["+1 650 000-0001", 1.5, None],
        ["x", 1, None],
    ]:
        sheet.append(line)
    book.save(path)
    rows = rows_of(path.read_bytes(), format="xlsx")
    assert contacts_of(rows[:2]) == [
        {"phone": "16500000000", "payload": {"age": 34}, "gmtZone": "Z"},
        {"phone": "16500000001", "payload": {"age": 1.5}},
    ]
    assert list(reasons(rows)) == [3]
    with pytest.raises(SourceError, match="spreadsheet"):
        rows_of(b"PK\x03\x04 nonsense xl/workbook", format="xlsx")


async def test_files_and_streams(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(CSV)
    assert contacts_of(await drawn(str(path))) == CONTACTS
    assert contacts_of(await drawn(path)) == CONTACTS
    with path.open("rb") as file:
        assert contacts_of(await drawn(file, format="csv")) == CONTACTS
        assert not file.closed
    stream = io.BytesIO(CSV.encode())
    assert contacts_of(await drawn(stream, format="csv")) == CONTACTS
    assert not stream.closed


async def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(SourceError, match="cannot be read") as caught:
            await drawn(path, format="csv")
        assert str(path) in str(caught.value)
        assert caught.value.__context__ is None


def test_guesses() -> None:
    assert guess_delimiter(['"a,b,c";phone;x', "1,2,3,4,5"]) == ";"
    assert guess_delimiter(["phone"]) == ","
    assert guess_delimiter([]) == ","
    assert guess_delimiter(["\n", "name, first, middle|phone\n", "Anna|1\n", "Petr|2\n"]) == "|"
    assert guess_delimiter(["phone;name, surname", "1;Ivan, Petrov"]) == ";"
    assert guess_encoding(b"phone") == "utf-8"


async def test_a_pipe_that_pauses_is_handed_on() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, open(writing, "wb", buffering=0) as more:  # noqa: PTH123
        more.write(b'{"phone": "16500000000"}\n{"phone": "16500000001"}\n')
        batches = open_source(pipe, Reading(format="jsonl")).batches()
        assert [row.row for row in each_row((await anext(batches)).runs)] == [1, 2]
        more.write(b'{"phone": "16500000002"}\n')
        assert [row.row for row in each_row((await anext(batches)).runs)] == [3]
        more.close()
        assert [batch async for batch in batches] == []


async def test_a_named_pipe_does_not_stop_the_event_loop(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    drawing = asyncio.create_task(drawn(path, format="csv"))
    await asyncio.sleep(0)
    await asyncio.to_thread(path.write_bytes, b"phone\n16500000000\n")
    assert contacts_of(await drawing) == [{"phone": "16500000000"}]


async def test_parquet_from_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table({"phone": ["16500000000"]}), path)
    process = subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        assert len(await drawn(cast("BinaryIO", process.stdout), format="parquet")) == 1


def test_batches_are_bounded_in_bytes() -> None:
    data = b"phone,name\n" + b"".join(b"1650000%04d,%s\n" % (n, b"x" * 300_000) for n in range(20))
    for columnar in (True, False):
        reading = Reading(format="csv", columnar=columnar)
        batches = [list(each_row(batch.runs)) for batch in read_batches("list", io.BytesIO(data), reading)]
        assert max(len(rows) for rows in batches) <= 4
        assert sum(len(rows) for rows in batches) == 20


def test_a_line_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calls_async.upload.sources.text.MAX_LINE_BYTES", 100)
    monkeypatch.setattr("calls_async.upload.sources.text.BLOCK_BYTES", 30)
    good = b'{"phone": "16500000000"}\n'
    rows = rows_of(good + b'{"phone": "' + b"1" * 1000 + b'"}\n' + good, format="jsonl")
    assert [type(row) for row in rows] == [EncodedRow, UnsentRow, EncodedRow]
    rows = rows_of(b"phone\n16500000000\n" + b"1" * 1000 + b"\n16500000001\n", format="csv")
    assert [type(row) for row in rows] == [EncodedRow, UnsentRow, EncodedRow]
    assert reasons(rows)[2].startswith("line 3: row: has more than")
