"""Every line of a CSV file that is not blank has an outcome; a broken quote costs its own line and no other."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calls_async.errors import JournalRefusedError
from calls_async.upload.chunks.chunk import Mark, PastChunk
from calls_async.upload.rows.row import EncodedRow, Row, UnsentRow, each_row
from calls_async.upload.sources import csv_records
from calls_async.upload.sources import text as blocks
from calls_async.upload.sources.checkpoint import NOTHING, Consumed
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading

NEVER = "row: has a quote that is never closed"


def read(data: bytes | str, *, consumed: Consumed = NOTHING, **reading: Any) -> list[Row]:
    file = io.BytesIO(data.encode() if isinstance(data, str) else data)
    batches = read_batches("list.csv", file, Reading(format="csv", **reading), consumed)
    return [row for batch in batches for row in each_row(batch.runs)]


def fates(rows: list[Row]) -> dict[int, str]:
    """The phone that is sent, or the reason why none is, by row."""
    return {row.row: row.phone if isinstance(row, EncodedRow) else row.error for row in rows}


@pytest.mark.parametrize("columnar", [True, False])
class TestQuotes:
    def test_an_inch_mark_in_a_list_that_is_quoted_throughout(self, columnar: bool) -> None:
        data = '"phone","note"\r\n"16500000001","TV 55""\r\n"16500000002","Anna"\r\n"16500000003","Petr"\r\n'
        assert fates(read(data, columnar=columnar)) == {1: f"line 2: {NEVER}", 2: "16500000002", 3: "16500000003"}

    def test_a_quote_that_another_line_seems_to_close(self, columnar: bool) -> None:
        data = 'phone,name\n16500000001,"Ivan\n16500000002,Petr\n16500000003,"Anna"\n16500000004,Oleg\n'
        assert fates(read(data, columnar=columnar)) == {
            1: f"line 2: {NEVER}", 2: "16500000002", 3: "16500000003", 4: "16500000004",
        }  # fmt: skip

    def test_quotes_that_are_20_000_lines_apart(self, columnar: bool) -> None:
        lines = [f"1650{n:07},name {n}" for n in range(20_000)]
        for broken in (10, 15_000):
            lines[broken] = lines[broken].replace(",", ',"')
        rows = read("phone,name\n" + "\n".join(lines), columnar=columnar)
        assert [row.row for row in rows] == list(range(1, 20_001))
        bad = {row.row: row.error for row in rows if isinstance(row, UnsentRow)}
        assert bad == {11: f"line 12: {NEVER}", 15_001: f"line 15002: {NEVER}"}

    def test_quotes_that_are_10_megabytes_apart(self, columnar: bool) -> None:
        lines = [f"1650{n:07},{'x' * 90} {n}" for n in range(100_000)]
        lines[10] = lines[10].replace(",", ',"')
        lines[-1] += '"'
        rows = read("phone,name\n" + "\n".join(lines), columnar=columnar)
        assert [row.row for row in rows if isinstance(row, UnsentRow)] == [11]

    def test_text_behind_a_closing_quote(self, columnar: bool) -> None:
        data = 'phone,name\n16500000001,"Al" x\n16500000002,b\n'
        assert fates(read(data, columnar=columnar)) == {
            1: "line 2: row: has text after a closing quote",
            2: "16500000002",
        }

    def test_a_cell_with_line_breaks_is_one_cell(self, columnar: bool) -> None:
        data = (
            'phone,note,city\n16500000001,"a, b\n12 Main Street\r\n""x""",B\n16500000002,"a\n\nb",C\nn/a,"x\ny",z\n'
        )
        rows = read(data, columnar=columnar)
        assert fates(rows) == {
            1: "16500000001",
            2: "16500000002",
            3: "line 8: phone: contains 'n', which is no part of a phone number",
        }
        assert isinstance(rows[0], EncodedRow)
        assert b'"a, b\\n12 Main Street\\r\\n\\"x\\""' in rows[0].body

    def test_a_cell_of_lines_that_look_like_rows(self, columnar: bool) -> None:
        data = 'phone,name\n16500000001,"Ivan\n16500000002,Petr\n16500000003,Anna"\n16500000004,Oleg\n'
        why = "row: is in a quoted cell of lines 2 to 4, which look like rows; if meant, say --multiline"
        assert fates(read(data, columnar=columnar)) == {
            1: f"line 2: {why}", 2: f"line 3: {why}", 3: f"line 4: {why}", 4: "16500000004",
        }  # fmt: skip
        assert fates(read(data, columnar=columnar, multiline=True)) == {1: "16500000001", 2: "16500000004"}

    @pytest.mark.parametrize(
        "cell", ['phone\n"16500000001\n16500000002"\n', 'note,phone\n"x,16500000001\ny",16500000002\n']
    )
    def test_a_number_in_the_first_or_the_last_line_of_a_cell(self, cell: str, columnar: bool) -> None:
        assert all(isinstance(row, UnsentRow) for row in read(cell, columnar=columnar))
        assert len(read(cell, columnar=columnar)) == 2

    def test_a_row_with_a_delimiter_in_its_text_is_one_too(self, columnar: bool) -> None:
        data = 'phone,name\n16500000001,"TV 55""\n16500000002,""one, two"\n16500000003,c\n'
        rows = read(data, columnar=columnar)
        assert [row.row for row in rows if isinstance(row, UnsentRow)] == [1, 2]

    def test_a_phone_behind_or_before_the_cell_is_no_row_within_it(self, columnar: bool) -> None:
        for data in ('note,phone\n"one\ntwo",16500000002\n', 'phone,note\n16500000002,"one\ntwo"\n'):
            assert fates(read(data, columnar=columnar)) == {1: "16500000002"}

    def test_blank_lines(self, columnar: bool) -> None:
        told: list[str] = []
        data = '\n\n\nphone,name\n\n16500000001,Anna\n,\n , \n\t\u00a0\n"",""\n16500000002,Petr\n,x\n'
        rows = read(data, columnar=columnar, on_hint=told.append)
        assert fates(rows) == {1: "16500000001", 2: "16500000002", 3: "line 12: phone: is empty"}
        assert told == ["list.csv: 5 blank lines were passed over"]

    def test_cells_that_are_missing_at_the_end(self, columnar: bool) -> None:
        rows = read("phone,name,city\n16500000001,Anna\n16500000002,Petr,Omsk\n16500000003\n", columnar=columnar)
        assert fates(rows) == {1: "16500000001", 2: "16500000002", 3: "16500000003"}
        assert isinstance(rows[0], EncodedRow)
        assert rows[0].body.endswith(b'{"name":"Anna","city":""}}')

    def test_a_line_that_names_the_delimiter(self, columnar: bool) -> None:
        for first in ("sep=;\r\n", '"sep=;"\n'):
            assert fates(read(first + "phone;a,b\r\n16500000001;x,y\r\n", columnar=columnar)) == {1: "16500000001"}


BYTES = st.lists(
    st.sampled_from(
        [b"\n", b"\r\n", b"\r", b'"', b'""', b",", b'",', b',"', b'"\n', b'\n"', b" ", b"16500000001",
         b"16500000002,x", b'16500000003,"x', b'x"', b"name", b"\xd1\x8e", b"\xff", b"\0", b"12345\n"]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


def count_lines(data: bytes, blank: bytes) -> int:
    """How many lines of a file hold anything but what is `blank`."""
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return sum(bool(line.strip(blank)) for line in lines)


@given(data=BYTES, block_bytes=st.sampled_from([1, 7, 64, 2**19]), cell_bytes=st.sampled_from([10, 10**6]))
@example(data=b'16500000001,"a\nb\n"\n', block_bytes=1, cell_bytes=10)
@example(data=b'x\r"\n"', block_bytes=1, cell_bytes=10)
def test_the_lines_and_the_rows_account_for_each_other(data: bytes, block_bytes: int, cell_bytes: int) -> None:
    data = b"phone,name\n" + data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        patch.setattr(csv_records, "MAX_CELL_BYTES", cell_bytes)
        patch.setattr("calls_async.upload.sources.csv_columns.MAX_CELL_BYTES", cell_bytes)
        lanes = [read(data, columnar=columnar, encoding="utf-8") for columnar in (True, False)]
    assert lanes[0] == lanes[1]
    rows = lanes[0]
    assert [row.row for row in rows] == list(range(1, len(rows) + 1))
    # A line is a row, or a part of a cell of one; a line of nothing but quotes may be either, or blank.
    in_cells = sum(_count_breaks(row.body) for row in rows if isinstance(row, EncodedRow))
    wrong_cells = any(isinstance(row, UnsentRow) and "quote" not in row.error for row in rows) and b'"' in data
    assert len(rows) <= count_lines(data[11:], b" \t,")
    assert wrong_cells or count_lines(data[11:], b' \t,"') <= len(rows) + in_cells


def _count_breaks(body: bytes) -> int:
    return body.replace(b"\\r\\n", b"\\n").replace(b"\\r", b"\\n").count(b"\\n")


@given(
    quotes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoted=st.booleans(),
    columnar=st.booleans(),
    block_bytes=st.sampled_from([1, 50, 2**19]),
)
def test_no_number_is_lost(
    quotes: list[tuple[int, int]], end: str, quoted: bool, columnar: bool, block_bytes: int
) -> None:
    lines = [f'"1650000{n:04}","a{n}"' if quoted else f"1650000{n:04},a{n}" for n in range(30)]
    for line, place in quotes:
        if line < len(lines):
            lines[line] = lines[line][:place] + '"' + lines[line][place:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        rows = read(end.join(["phone,name", *lines]), columnar=columnar)
    # Row and line go together, for no cell has a line break that is meant.
    assert len(rows) == 30
    for row in rows:
        if isinstance(row, EncodedRow):
            assert row.phone == f"1650000{row.row - 1:04}"
        else:
            assert row.error.startswith(f"line {row.row + 1}: ")


class TestAListThatHasGrown:
    """A quote that was open at the end of a list, and that lines which have come since then close."""

    OLD = 'phone,name\n16500000001,a\n16500000002,"b\nhello\n'

    def consumed(self) -> Consumed:
        file = io.BytesIO(self.OLD.encode())
        *_, last = read_batches("list.csv", file, Reading(format="csv"))
        chunk = PastChunk(number=1, first_row=1, last_row=3, rows=[1], digest=b"", mark=last.mark)
        return Consumed(journal="j", rows=3, chunks=[chunk])

    @pytest.mark.parametrize("columnar", [True, False])
    def test_it_is_refused(self, columnar: bool) -> None:
        assert fates(read(self.OLD)) == {
            1: "16500000001",
            2: f"line 3: {NEVER}",
            3: "line 4: phone: contains 'h', which is no part of a phone number",
        }
        with pytest.raises(JournalRefusedError, match="a quote of line 3 was never closed, and is now"):
            read(self.OLD + 'world"\n16500000003,c\n', consumed=self.consumed(), columnar=columnar)

    @pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
    def test_a_cell_that_was_closed_by_the_last_line_is_fine(self, end: str) -> None:
        old = f'phone,name{end or chr(10)}16500000001,"a{end or chr(10)}b"{end}'
        *_, last = read_batches("list.csv", io.BytesIO(old.encode()), Reading(format="csv"))
        chunk = PastChunk(number=1, first_row=1, last_row=1, rows=[1], digest=b"", mark=last.mark)
        consumed = Consumed(journal="j", rows=1, chunks=[chunk])
        assert read(old, consumed=consumed) == []
        grown = old + ("" if end else "\n") + "16500000003,c\n"
        assert fates(read(grown, consumed=consumed)) == {2: "16500000003"}

    def test_a_list_that_was_read_in_several_steps_goes_on(self) -> None:
        import hashlib

        old = b"phone,name\n16500000001,a\n16500000002,b\n"
        marks = [
            Mark(24, hashlib.sha256(old[:24]).digest()),
            Mark(len(old), hashlib.sha256(old).digest(), ended=True),
        ]
        chunks = [
            PastChunk(number=row, first_row=row, last_row=row, rows=[row], digest=b"", mark=mark)
            for row, mark in enumerate(marks, start=1)
        ]
        consumed = Consumed(journal="j", rows=2, chunks=chunks)
        assert fates(read(old + b"16500000003,c\n", consumed=consumed, columnar=False)) == {3: "16500000003"}

    def test_it_goes_on_where_the_quote_stays_open(self) -> None:
        rows = read(self.OLD + "16500000003,c\n", consumed=self.consumed())
        assert fates(rows) == {4: "16500000003"}


def test_the_mark_says_where_the_list_ended(tmp_path: Path) -> None:
    *_, last = read_batches("list.csv", io.BytesIO(b"phone\n16500000001\n"), Reading(format="csv"))
    assert isinstance(last.mark, Mark)
    assert last.mark.ended is False  # nobody knew yet when these rows were handed over
