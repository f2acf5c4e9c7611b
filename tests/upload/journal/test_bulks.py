"""Chunks are written many in one statement: in whatever order they come together, each ends as it should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from calls_async.errors import JournalError
from calls_async.upload.chunks.chunk import Chunk, ChunkContent
from calls_async.upload.journal.settings import JournalOwner
from calls_async.upload.journal.store import Operation, Store
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.status import OutcomeStatus

MANY = 60
"""More than one statement takes."""


def make_chunk(number: int) -> Chunk:
    body = b'[{"phone":"1650000%04d"}]' % number
    content = ChunkContent(
        first_row=number, last_row=number, rows=[number], phones=[f"1650000{number:04}"], body=body
    )
    return Chunk.seal(content, number=number, upload_id="u")


def plan(number: int) -> Operation:
    return lambda store: store.plan(make_chunk(number), None, 1.0)


def send(number: int) -> Operation:
    return lambda store: store.chunks.note_sent(number, 2.0 + number, 0.5)


def answer(number: int, status: OutcomeStatus = OutcomeStatus.ACCEPTED) -> Operation:
    if status is OutcomeStatus.ACCEPTED:
        verdict = Verdict.accepted([f"id {number}"])
    else:
        verdict = Verdict.all(status, 1, "why")
    return lambda store: store.note_answered(make_chunk(number), verdict, 3.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "list.journal"
    path.touch()
    store = Store(path)
    store.begin(JournalOwner(token="t", host="h", source="s", identity="u"), at=0.0)
    store.commit([])
    yield store
    store.close()


def states(store: Store) -> dict[int, tuple[str, float | None]]:
    found = store.database.read("SELECT number, state, sent_at FROM chunk ORDER BY number")
    return {number: (state, sent_at) for number, state, sent_at in found}


def test_what_comes_together_is_written_in_its_order(store: Store) -> None:
    store.commit([plan(1), plan(2), send(1)])
    store.commit([answer(1), send(2), plan(3), send(3), plan(4), answer(2)])
    assert states(store) == {1: ("answered", 3.0), 2: ("answered", 4.0), 3: ("sent", 5.0), 4: ("planned", None)}
    assert [receipt.verdict.job_ids for receipt in store.chunks.receipts([1, 2])] == [["id 1"], ["id 2"]]
    assert [chunk.body for chunk in store.chunks.pending()] == [make_chunk(3).body, make_chunk(4).body]


def test_what_was_sent_in_vain_can_be_sent_in_the_same_commit(store: Store) -> None:
    store.commit([plan(1), send(1), lambda store: store.chunks.note_unsent(1)])
    assert states(store) == {1: ("planned", None)}
    store.commit([send(1), lambda store: store.chunks.note_unsent(1), send(1)])
    assert states(store) == {1: ("sent", 3.0)}


def test_more_than_one_statement_takes(store: Store) -> None:
    numbers = range(1, MANY + 1)
    store.commit([step(number) for step in (plan, send, answer) for number in numbers])
    assert states(store) == {number: ("answered", 2.0 + number) for number in numbers}
    assert [store.chunks.receipt(number).phones for number in numbers] == [[f"1650000{n:04}"] for n in numbers]


def test_bytes_of_what_is_unknown_stay(store: Store) -> None:
    store.commit([plan(number) for number in (1, 2, 3)])
    unknown = OutcomeStatus.UNKNOWN
    store.commit([send(1), send(2), send(3), answer(1), answer(2, unknown), answer(3)])
    assert store.chunks.with_unknown() == [2]
    assert store.chunks.chunk(2).body == make_chunk(2).body
    store.commit([answer(2)])
    assert store.chunks.with_unknown() == []


def test_nothing_of_a_commit_that_failed_is_in_the_next(store: Store) -> None:
    def fail(store: Store) -> None:
        raise OSError(28, "No space left on device")

    store.commit([plan(1)])
    with pytest.raises(JournalError, match="disk is full"):
        store.commit([send(1), plan(2), fail])
    store.commit([plan(3)])
    assert states(store) == {1: ("planned", None), 3: ("planned", None)}
