"""The file beside the journal that holds the bytes of what is under way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async.errors import JournalError
from calls_async.upload.journal.bodies import Bodies, bodies_path, read_body
from calls_async.upload.journal.settings import JournalOwner
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.status import OutcomeStatus
from tests.helpers.chunks import CONTACT, chunk_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "journal")
    store.begin(JournalOwner(token="t", host="h", source="s", identity="upload"), at=0.0)
    return store


@given(steps=st.lists(st.one_of(st.integers(0, 300), st.none()), max_size=60))
def test_places_are_used_again_and_never_shared(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | None]
) -> None:
    journal = tmp_path_factory.mktemp("bodies") / "journal"
    bodies = Bodies(journal, synced=False)
    live: dict[int, tuple[int, bytes]] = {}
    most = 0
    for number, size in enumerate(steps):
        if size is None:
            if live:
                oldest = next(iter(live))
                bodies.free(oldest)
                del live[oldest]
            continue
        body = bytes([number % 256]) * size
        live[number] = (bodies.write(number, body), body)
        most = max(most, sum(len(one) for _, one in live.values()))
        for at, one in live.values():
            assert read_body(journal, at, len(one)) == one
    if most:
        # First fit: a gap may be too small, but then what stands behind it is larger.
        assert bodies_path(journal).stat().st_size <= 2 * most + 300
    bodies.remove()
    assert not bodies_path(journal).exists()


def test_a_body_is_found_after_a_crash_and_then_taken_into_the_journal(store: Store) -> None:
    chunk = chunk_of(1, CONTACT)
    store.commit([lambda it: it.plan(chunk, None, 1.0)])
    beside = bodies_path(store.path)
    assert beside.stat().st_mode & 0o777 == 0o600
    assert store.database.read("SELECT count(*) FROM body") == [(0,)]
    reader = Store(store.path, writing=False)  # as a second process sees it
    (found,) = reader.chunks.pending()
    assert found.body == chunk.body
    reader.close()
    store.close()
    assert not beside.exists()
    again = Store(store.path)
    assert [one.body for one in again.chunks.pending()] == [chunk.body]
    again.close()


def test_the_place_of_an_answered_chunk_is_free_only_when_that_is_on_disk(store: Store) -> None:
    # C-IDEM-1
    first, second, third = (chunk_of(number, CONTACT) for number in (1, 2, 3))
    store.commit([lambda it: it.plan(first, None, 1.0)])
    accepted = Verdict.accepted(["1"])
    store.commit([lambda it: it.note_answered(first, accepted, 2.0), lambda it: it.plan(second, None, 2.0)])
    store.commit([lambda it: it.plan(third, None, 3.0)])
    places = dict(store.database.read("SELECT number, body_at FROM chunk"))
    assert places == {1: None, 2: 16 + len(first.body), 3: 16}
    store.close()


def test_the_bytes_of_unknown_rows_are_kept(store: Store) -> None:
    chunk = chunk_of(1, CONTACT)
    store.commit([lambda it: it.plan(chunk, None, 1.0)])
    store.commit([lambda it: it.note_answered(chunk, Verdict.all(OutcomeStatus.UNKNOWN, 1, "?"), 2.0)])
    assert store.chunks.chunk(1).body == chunk.body
    store.settle(1, Verdict.accepted(["1"]))
    assert store.database.read("SELECT count(*) FROM body") == [(0,)]
    store.close()


def test_a_file_that_cannot_be_read_is_not_removed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = chunk_of(1, CONTACT)
    store.commit([lambda it: it.plan(chunk, None, 1.0)])
    with monkeypatch.context() as patch:
        patch.setattr("os.pread", lambda *_: b"")
        store.close()
    beside = bodies_path(store.path)
    moved = beside.rename(store.path.with_name("elsewhere"))
    for _ in range(2):
        with pytest.raises(JournalError, match="journal-bodies"):
            Store(store.path)
    moved.rename(beside)
    again = Store(store.path)
    assert [one.body for one in again.chunks.pending()] == [chunk.body]
    again.close()


def test_a_journal_has_one_file_of_bodies_by_whatever_name_it_is_opened(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (link := tmp_path / "other" / "link").symlink_to(store.path)
    assert bodies_path(link) == bodies_path(store.path)
    store.close()


def test_bytes_that_are_gone_are_not_made_up(store: Store) -> None:
    store.commit([lambda it: it.plan(chunk_of(1, CONTACT), None, 1.0)])
    bodies_path(store.path).write_bytes(b"")
    with pytest.raises(JournalError, match="damaged"):
        store.chunks.pending()
    store.close()


@pytest.mark.parametrize(("synchronous", "waits"), [("FULL", True), ("NORMAL", False)])
def test_the_bytes_are_on_disk_before_the_database_says_that_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str, waits: bool
) -> None:
    store = Store(tmp_path / "journal", synchronous=synchronous)
    store.begin(JournalOwner(token="t", host="h", source="s", identity="upload"), at=0.0)
    known: list[int] = []

    def look(descriptor: int) -> None:
        with closing(sqlite3.connect(store.path)) as other:
            known.extend(count for (count,) in other.execute("SELECT count(*) FROM chunk"))

    monkeypatch.setattr("calls_async.upload.journal.bodies.os.fdatasync", look)
    store.commit([lambda it: it.plan(chunk_of(1, CONTACT), None, 1.0)])
    assert known == ([0] if waits else [])
    monkeypatch.undo()
    store.close()
