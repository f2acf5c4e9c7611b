"""A file is read by what it holds, whatever its name says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest

from calls_async import SourceError
from calls_async.upload.rows.row import UnsentRow, each_row
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from tests.helpers.sources import drawn

CSV = b"phone,name\n16500000001,a\n16500000002,b\n"
PACKED = {
    "gz": gzip.compress(CSV),
    "bz2": bz2.compress(CSV),
    "xz": lzma.compress(CSV),
    "zst": pa.compress(CSV, codec="zstd", asbytes=True),
}


def phones(name: str, data: bytes, **reading: Any) -> list[str | None]:
    batches = read_batches(name, io.BytesIO(data), Reading(**reading))
    return [row.phone for batch in batches for row in each_row(batch.runs)]


def workbook(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("name", ["list.csv", "list.csv.{}"])
def test_compressed_files(kind: str, name: str) -> None:
    assert phones(name.format(kind), PACKED[kind]) == ["16500000001", "16500000002"]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_damaged_one(kind: str) -> None:
    with pytest.raises(SourceError, match="is damaged"):
        phones("list.csv", PACKED[kind][:-6])


async def test_compressed_from_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "list.gz").write_bytes(PACKED["gz"])
    with subprocess.Popen(["cat", str(tmp_path / "list.gz")], stdout=subprocess.PIPE) as process:
        rows = await drawn(process.stdout, format="csv")  # type: ignore[arg-type]
    assert [row.phone for row in rows] == ["16500000001", "16500000002"]


def test_a_workbook_under_another_name() -> None:
    told: list[str] = []
    data = workbook(one=[["phone"], [16500000001]])
    assert phones("list.csv", data, on_hint=told.append) == ["16500000001"]
    assert told == ["list.csv: is read as xlsx, by what it holds; its name says csv"]


def test_parquet_and_text_under_another_name() -> None:
    file = io.BytesIO()
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"phone": ["16500000001"]}), file)
    assert phones("list.csv", file.getvalue()) == ["16500000001"]
    assert phones("list.csv", gzip.compress(file.getvalue())) == ["16500000001"]
    assert phones("list.xlsx", CSV) == ["16500000001", "16500000002"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\r\n<!DOCTYPE html><html>", "is a web page"),
        (b"<table><tr><td>phone</td></tr></table>", "is a web page"),
        (b"BEGIN:VCARD\nVERSION:3.0\n", "is a vCard"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "with a password"),
    ],
)
@pytest.mark.parametrize("name", ["list.csv", "list.xls", "list.jsonl"])
def test_what_is_no_list_is_named(name: str, data: bytes, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        phones(name, data)


def test_a_zip_archive_that_is_no_workbook() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("list.csv", CSV)
    with pytest.raises(SourceError, match="unpack it"):
        phones("list.csv", file.getvalue())


@pytest.mark.parametrize("name", ["list.xlsx", "list.parquet"])
@pytest.mark.parametrize("data", [b"", b"\0\1\2 nonsense"])
def test_what_is_nothing_at_all(name: str, data: bytes) -> None:
    with pytest.raises(SourceError, match="is not a readable"):
        phones(name, data)


async def test_a_stream_that_can_do_nothing_but_read() -> None:
    class Stream:
        def __init__(self) -> None:
            self.left = [CSV[:20], CSV[20:]]

        def read(self, size: int) -> bytes:
            return self.left.pop(0) if self.left else b""

    stream: Any = Stream()
    assert [row.phone for row in await drawn(stream, format="csv")] == ["16500000001", "16500000002"]


def test_the_format_of_a_compressed_name() -> None:
    open_source("list.jsonl.gz", Reading())  # raises where the format cannot be told


class TestSheets:
    TWO = workbook(
        first=[["phone", "name"], [16500000001, "a"], ["x", "b"], [None, None], [16500000002, "c"]],
        second=[["Список", None], ["Телефон", "имя"], [16500000003, "d"]],
    )

    def test_further_sheets_are_pointed_out(self) -> None:
        told: list[str] = []
        rows = list(read_batches("l.xlsx", io.BytesIO(self.TWO), Reading(on_hint=told.append)))
        assert told == ["l.xlsx: only sheet 'first' is read; 'second' hold data, too (--sheet)"]
        (bad,) = [row for batch in rows for row in each_row(batch.runs) if isinstance(row, UnsentRow)]
        assert (bad.row, bad.error[:18]) == (2, "sheet row 3: phone")

    @pytest.mark.parametrize("sheet", ["second", "2", 2])
    def test_a_sheet_and_its_header_row(self, sheet: str | int) -> None:
        assert phones("l.xlsx", self.TWO, sheet=sheet, header_row=2) == ["16500000003"]
        with pytest.raises(SourceError, match="say --header-row 2"):
            phones("l.xlsx", self.TWO, sheet=sheet)

    def test_a_sheet_that_is_not_there(self) -> None:
        with pytest.raises(SourceError, match="no sheet 'third' that is not hidden; there are 'first', 'second'"):
            phones("l.xlsx", self.TWO, sheet="third")

    def test_hidden_sheets_and_rows(self) -> None:
        book = openpyxl.load_workbook(io.BytesIO(self.TWO))
        book["second"].sheet_state = "hidden"
        book["first"].row_dimensions[2].hidden = True
        book["first"]["C2"] = "=1+1"
        file = io.BytesIO()
        book.save(file)
        told: list[str] = []
        assert len(phones("l.xlsx", file.getvalue(), on_hint=told.append)) == 3
        assert told == [
            "l.xlsx: 1 rows of sheet 'first' are hidden, and read; --skip-hidden leaves them out",
            "l.xlsx: 1 formulas have no value; open the workbook and save it",
        ]
        assert phones("l.xlsx", file.getvalue(), skip_hidden=True) == ["x", "16500000002"]
        with pytest.raises(SourceError, match="no sheet 'second' that is not hidden"):
            phones("l.xlsx", file.getvalue(), sheet="second")


class TestColumns:
    @pytest.mark.parametrize(
        "name", ["Phone", "PHONE", "Телефон", "Номер телефона", "Mobile Phone", "Phone 1 - Value"]
    )
    def test_a_column_of_numbers_that_is_named_so(self, name: str) -> None:
        told: list[str] = []
        data = f"id,{name}\n1,+1 650 000 00 01\n2,16500000002\n".encode()
        assert phones("list.csv", data, on_hint=told.append) == ["16500000001", "16500000002"]
        assert told == [f"column {name!r} is read as phone"]

    def test_two_columns_of_numbers_are_named(self) -> None:
        with pytest.raises(SourceError, match="say --column 'Home=phone' or --column 'Phone=phone'"):
            phones("list.csv", b"Home,Phone\n16500000001,16500000002\n")

    def test_a_header_below_a_title(self) -> None:
        data = b"Customers of November\n\nphone,name\n16500000001,x\n"
        with pytest.raises(SourceError, match="--header-row 3"):
            phones("list.csv", data)
        assert phones("list.csv", data, header_row=3) == ["16500000001"]

    @pytest.mark.parametrize(
        ("name", "field"),
        [("timezone", "gmtZone"), ("tz", "gmtZone"), ("Часовой пояс", "gmtZone"), ("priority", "dialerPriority"),
         ("start_date", "startDateTime")],
    )  # fmt: skip
    def test_a_column_that_looks_like_a_setting(self, name: str, field: str) -> None:
        told: list[str] = []
        phones("list.csv", f"phone,{name}\n16500000001,x\n".encode(), on_hint=told.append)
        assert told == [f"column {name!r} goes into the payload; --column '{name}={field}' makes it a setting"]
