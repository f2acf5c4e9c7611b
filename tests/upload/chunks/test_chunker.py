"""Rows become chunks; places become keys."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import JobReport, OutcomeStatus
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.outcomes.attribution import settle_by_report
from calls_async.upload.outcomes.outcome import Receipt, Summary, Verdict
from calls_async.upload.rows.row import EncodedRow, EncodedRows, Row, UnsentRow, group_into_runs

sizes = st.lists(st.one_of(st.none(), st.integers(0, 60)), max_size=60)


def make_rows(sizes: list[int | None]) -> list[Row]:
    """A row of that many letters, or a rejected one."""
    return [
        UnsentRow(number, None, OutcomeStatus.REJECTED, "phone: is empty")
        if size is None
        else EncodedRow(number, str(number), json.dumps("x" * size).encode())
        for number, size in enumerate(sizes, start=1)
    ]


def chunked(rows: list[Row], chunk_rows: int, chunk_bytes: int) -> list[Chunk]:
    chunker = Chunker(upload_id="u", chunk_rows=chunk_rows, chunk_bytes=chunk_bytes)
    chunks: list[Chunk] = []
    position = 0
    rng = random.Random(len(rows))
    while position < len(rows):  # fed in pieces of any size
        step = rng.randint(1, 10)
        chunks += chunker.feed(group_into_runs(rows[position : position + step]))
        position += step
    return [*chunks, *chunker.flush(), *chunker.flush()]


@given(sizes, st.integers(1, 7), st.integers(10, 90))
def test_every_row_is_in_one_chunk_within_the_limits(
    given: list[int | None], chunk_rows: int, chunk_bytes: int
) -> None:
    # C-M-16: any number of phones; the limits are ours
    rows = make_rows(given)
    chunks = chunked(rows, chunk_rows, chunk_bytes)
    covered = sorted(row for chunk in chunks for row in [*chunk.rows, *(r.row for r in chunk.unsent)])
    assert covered == [row.row for row in rows]
    assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert len({chunk.key for chunk in chunks}) == len(chunks)
    after = 0
    for chunk in chunks:
        assert chunk.first_row == after + 1
        after = chunk.last_row
        assert len(chunk.rows) <= chunk_rows
        assert len(chunk.unsent) <= chunk_rows + chunk.last_row - chunk.first_row
        assert len(chunk.body) <= chunk_bytes or not chunk.rows
        assert len(json.loads(chunk.body)) == len(chunk.rows) == len(chunk.phones)
    too_large = {row.row for row in rows if isinstance(row, EncodedRow) and len(row.body) + 2 > chunk_bytes}
    sent = {row for chunk in chunks for row in chunk.rows}
    assert sent == {row.row for row in rows if isinstance(row, EncodedRow)} - too_large


@given(sizes, st.integers(1, 7), st.integers(10, 90))
def test_chunks_do_not_depend_on_how_rows_are_handed_over(
    given: list[int | None], chunk_rows: int, chunk_bytes: int
) -> None:
    rows = make_rows(given)
    chunker = Chunker(upload_id="u", chunk_rows=chunk_rows, chunk_bytes=chunk_bytes)
    one_by_one = [chunk for row in rows for chunk in chunker.feed(group_into_runs([row]))]
    assert [*one_by_one, *chunker.flush()] == chunked(rows, chunk_rows, chunk_bytes)


@given(sizes, st.integers(1, 7), st.integers(10, 90))
def test_outcomes_are_in_the_order_of_the_source(given: list[int | None], chunk_rows: int, chunk_bytes: int) -> None:
    summary = Summary(upload_id="u")
    seen = []
    for chunk in chunked(make_rows(given), chunk_rows, chunk_bytes):
        receipt = Receipt.of(chunk, Verdict.accepted([str(row) for row in chunk.rows]))
        summary.add(receipt)
        for outcome in receipt.outcomes():
            seen.append(outcome.row)
            if outcome.status is OutcomeStatus.ACCEPTED:
                assert outcome.job_id == str(outcome.row)
            else:
                assert outcome.error
    assert seen == list(range(1, len(given) + 1))
    assert summary.rows == len(given) == summary.accepted + summary.rejected


def test_a_row_over_the_limit_says_so() -> None:
    (chunk,) = chunked(make_rows([5, 50, 5]), 10, 40)
    (alone,) = chunk.unsent
    assert alone.error == "row: needs 54 bytes as JSON, more than a chunk may have (40)"


def test_equal_chunks_have_different_keys() -> None:  # C-IDEM-2
    one, other = chunked(make_rows([3, 3]), 1, 100)
    assert one.body == other.body
    assert one.key != other.key


A, D, U = OutcomeStatus.ACCEPTED, OutcomeStatus.DUPLICATE, OutcomeStatus.UNKNOWN


@pytest.mark.parametrize(
    ("rows", "ids", "jobs", "expected"),
    [
        # C-DUP-1, C-M-19: an ignored duplicate has no ID, and its phone has an older job
        ([("p", "x"), ("q", "y")], ["2"], [("1", "p"), ("2", "q")], [(D, None), (A, "2")]),
        ([("p", "x"), ("q", "y")], [], [("1", "p"), ("2", "q")], [(D, None), (D, None)]),
        ([("p", "x"), ("q", "y")], [], [], [(U, None), (U, None)]),
        ([("p", "x"), ("p", "x")], ["1"], [("1", "p")], [(A, "1"), (D, None)]),
        ([("p", "x"), ("p", "y")], ["1"], [("1", "p")], [(U, None), (U, None)]),
        ([("p", "x"), ("p", "y"), ("q", "z")], ["1", "2"], [("1", "p"), ("2", "p")], [(A, "1"), (A, "2"), (U, None)]),
        ([("p", "x"), ("q", "y")], ["1"], [("1", "+p")], [(A, "1"), (U, None)]),
        ([("p", "x"), ("q", "y")], ["1"], [("1", "r")], [(U, None), (U, None)]),
        ([("p", "x"), ("q", "y")], ["1"], [], [(U, None), (U, None)]),
        ([("p", "x")], ["1", "2"], [("1", "p"), ("2", "p")], [(A, "1")]),
    ],
)
def test_ids_go_to_rows_only_when_that_is_certain(rows: Any, ids: Any, jobs: Any, expected: Any) -> None:
    reports = [JobReport(call_job_id=job, phone=phone, created_at=1_000) for job, phone in jobs]
    contents = [content.encode() for _, content in rows]
    verdict = settle_by_report([p for p, _ in rows], contents, ids, reports, first_sent_at=2.0)
    assert list(zip(verdict.statuses, verdict.job_ids, strict=True)) == expected
    for status, error in zip(verdict.statuses, verdict.errors, strict=True):
        doubtful = status is U or (status is A and len({p for p, _ in rows}) < len({*rows}))
        assert (error is not None) is doubtful


@given(
    sizes=st.integers(2, 9),
    first_number=st.integers(1, 1000),
    picks=st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_a_key_comes_from_the_place_and_the_bytes_alone(sizes: int, first_number: int, picks: list[bool]) -> None:
    # C-IDEM-1, C-IDEM-8: whatever order answers came in, the same rows in the same place have the same key.
    def parts(number: int) -> dict[str, str]:
        chunker = Chunker(upload_id="u", chunk_rows=sizes, chunk_bytes=10_000, next_number=number)
        (chunk,) = chunker.feed([EncodedRows.of(range(1, sizes + 1), ["16500000000"] * sizes, [b"{}"] * sizes)])
        assert chunk.place == f"1-{sizes}"
        stays = [index for index in range(sizes) if picks[index]]
        group = [index for index in range(sizes) if not picks[index]]
        rest, made = chunk.divide(stays, [group] if group else [], take_number=chunker.take_number, upload_id="u")
        assert rest.key == chunk.key
        assert all(part.place == f"1-{sizes}>{part.first_row}-{part.last_row}" for part in made)
        again = [one for part in made for one in part.divide((), [range(len(part.rows))],
                 take_number=chunker.take_number, upload_id="u")[1]]  # fmt: skip
        return {one.place: one.key for one in (chunk, *made, *again)}

    keys = parts(1)
    assert keys == parts(first_number)
    assert len(set(keys.values())) == len(keys)  # sent anew, the same rows have another key
