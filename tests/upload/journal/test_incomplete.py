"""A journal whose process has died belongs together with the files beside it; without them nothing is sent."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from calls_async import JournalError
from calls_async.upload.journal.bodies import bodies_path, read_commits
from calls_async.upload.journal.settings import JournalOwner
from calls_async.upload.journal.store import Store
from tests.helpers.chunks import CONTACT, chunk_of

FILES = ("", "-wal", "-bodies")


@pytest.fixture
def died(tmp_path: Path) -> Path:
    """A journal as a killed process leaves it: some chunks sent, the last of them only in the log."""
    alive = tmp_path / "alive"
    alive.mkdir()
    store = Store(alive / "journal")
    store.begin(JournalOwner(token="t", host="h", source="s", identity="upload"), at=0.0)
    for number in (1, 2, 3):
        chunk = chunk_of(number, CONTACT)
        store.commit([lambda it, chunk=chunk: it.plan(chunk, None, 1.0)])  # type: ignore[misc]
        store.commit([lambda it, number=number: it.chunks.note_sent(number, 2.0)])  # type: ignore[misc]
    dead = tmp_path / "dead"
    shutil.copytree(alive, dead)
    (dead / "journal-shm").unlink(missing_ok=True)
    store.close()
    return dead / "journal"


def beside(journal: Path, suffix: str) -> Path:
    return journal.with_name(journal.name + suffix)


def pending(journal: Path) -> list[int]:
    with closing(Store(journal)) as store:
        return [chunk.number for chunk in store.chunks.pending()]


def test_whole_it_is_gone_on_with(died: Path) -> None:
    assert all(beside(died, suffix).stat().st_size for suffix in FILES)
    assert pending(died) == [1, 2, 3]
    assert pending(died) == [1, 2, 3]  # closed meanwhile
    assert not beside(died, "-wal").exists()
    assert not beside(died, "-bodies").exists()


@pytest.mark.parametrize("lost", [("-wal",), ("-bodies",), ("-wal", "-bodies")])
@pytest.mark.parametrize("writing", [True, False])
def test_without_a_file_that_belongs_to_it_it_is_refused(died: Path, lost: tuple[str, ...], writing: bool) -> None:
    kept = {suffix: beside(died, suffix).read_bytes() for suffix in FILES}
    for suffix in lost:
        beside(died, suffix).unlink()
    with pytest.raises(JournalError, match="bring them back") as caught:
        Store(died, writing=writing)
    assert "Nothing was sent" in str(caught.value)
    for suffix in FILES:
        beside(died, suffix).write_bytes(kept[suffix])
    beside(died, "-shm").unlink(missing_ok=True)
    assert pending(died) == [1, 2, 3]  # the cure that it names


def test_a_log_that_was_cut_short_is_refused(died: Path) -> None:
    log = beside(died, "-wal")
    log.write_bytes(log.read_bytes()[: 32 + 2 * (24 + 4096)])
    with pytest.raises(JournalError, match="journal-wal, which belongs beside it"):
        Store(died)


def test_an_older_copy_of_the_file_with_the_newer_bodies_is_refused(died: Path) -> None:
    bodies = beside(died, "-bodies").read_bytes()
    with closing(Store(died)):
        pass
    beside(died, "-bodies").write_bytes(bodies)
    with closing(sqlite3.connect(died, isolation_level=None)) as connection:
        connection.execute("UPDATE upload SET closed = 0")
        connection.execute("DELETE FROM chunk WHERE number = 3")
    with pytest.raises(JournalError, match="bring them back"):
        Store(died)


def test_looking_into_it_with_another_program_costs_nothing(died: Path) -> None:
    """SQLite folds the log into the file when the last program that has it open closes it."""
    with closing(sqlite3.connect(died)) as shell:
        assert shell.execute("SELECT count(*) FROM chunk").fetchone() == (3,)
    assert not beside(died, "-wal").exists()
    assert pending(died) == [1, 2, 3]


def test_a_reader_that_outlives_the_upload_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    store = Store(path)
    store.begin(JournalOwner(token="t", host="h", source="s", identity="upload"), at=0.0)
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chunk").fetchall()
        store.close()
    assert pending(path) == []


def test_the_file_beside_it_knows_how_many_commits_there_were(died: Path) -> None:
    with closing(sqlite3.connect(died)) as shell:
        assert shell.execute("SELECT max(at_commit), closed FROM chunk, upload").fetchone() == (6, 0)
    assert read_commits(died) == 6
    bodies_path(died).write_bytes(b"short")
    assert read_commits(died) is None


@pytest.mark.parametrize(
    "step", ["Bodies.begin", "Database.begin_log", "Database.fold_log", "Bodies.remove", "Database.close"]
)
def test_a_crash_while_it_is_opened_or_closed_costs_nothing(died: Path, step: str) -> None:
    """Whatever step of opening or closing is the last one of a process, the next one goes on."""
    script = (
        "import os, sys, pathlib\n"
        "from calls_async.upload.journal.bodies import Bodies\n"
        "from calls_async.upload.journal.database import Database\n"
        "from calls_async.upload.journal.store import Store\n"
        f"{step} = lambda *_: os._exit(9)\n"
        "Store(pathlib.Path(sys.argv[1])).close()\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(died)], check=False).returncode == 9
    assert pending(died) == [1, 2, 3]
