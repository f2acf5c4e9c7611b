"""Journals of schema 4, as 0.1.0 left them: they are brought to today's schema, and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import attrs
import pytest

from calls_async import CallsClient, JournalError, JournalRefusedError, OutcomeStatus
from calls_async.sandbox import DuplicateRule
from calls_async.testing import InProcessSandbox
from calls_async.upload.journal.overview import open_for_reading, overview, purge
from calls_async.upload.journal.schema import SCHEMA_VERSION
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

FROZEN = Path(__file__).parents[2] / "fixtures" / "schema_4"
TOKEN = "8231.7056.sandbox"
FIRST = 16500000000


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """A copy of the frozen files, which are never opened themselves."""
    folder = tmp_path / "schema_4"
    shutil.copytree(FROZEN, folder)
    return folder


@attrs.define
class System:
    """The system of then: a sandbox that knows no key of before, at the time when the journals were written."""

    clock: HeldClock = attrs.field(factory=HeldClock)
    sandbox: InProcessSandbox = attrs.field(factory=lambda: InProcessSandbox(duplicates=DuplicateRule.OFF))

    def client(self) -> CallsClient:
        return self.sandbox.client(clock=self.clock.clock(), upload_retry=QUICK)

    def phones(self) -> Counter[int]:
        return Counter(int(job.phone) - FIRST for job in self.sandbox.jobs)

    def keys(self) -> dict[str, list[int]]:
        """The rows of each key, from the requests."""
        added = [call for call in self.sandbox.calls if call.path.endswith("addPhones")]
        return {str(call.key): [int(one["phone"]) - FIRST for one in json.loads(call.body)] for call in added}


def keys_in(journal: Path) -> dict[str, tuple[int, int]]:
    with closing(sqlite3.connect(journal)) as connection:
        found = connection.execute("SELECT key, first_row, last_row FROM chunk WHERE state <> 'answered'")
        return {key: (first, last) for key, first, last in found}


@pytest.mark.parametrize("name", ["half-done", "killed"])
async def test_what_was_pending_goes_under_its_old_keys(journals: Path, name: str) -> None:  # C-IDEM-1, C-IDEM-7
    pending = keys_in_copy(journals / name)
    system = System()
    async with system.client() as client:
        upload = client.campaign(TOKEN).upload(journals / "list.csv", journal=journals / name, chunk_rows=5)
        summary = await upload.run()
    assert pending.keys() <= system.keys().keys()
    for key, (first, last) in pending.items():
        assert system.keys()[key] == list(range(first, last + 1))
    assert summary.rows == 60
    assert max(system.phones().values()) == 1
    with closing(open_for_reading(journals / name)) as store:
        assert store.finished()
        assert store.database.read("SELECT count(*) FROM chunk WHERE place = ''") == [(0,)]
        places = [place for (place,) in store.database.read("SELECT place FROM chunk WHERE number > 16")]
    assert all("-" in place for place in places)  # new chunks have a place of their own


def keys_in_copy(journal: Path) -> dict[str, tuple[int, int]]:
    """As `keys_in`, of a copy: SQLite folds the log of what it opens."""
    folder = journal.parent / "copy"
    folder.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):
        if (file := journal.with_name(journal.name + suffix)).exists():
            shutil.copy(file, folder / file.name)
    return keys_in(folder / journal.name)


@pytest.mark.parametrize("name", ["half-done", "killed"])
async def test_a_copy_of_before_is_kept(journals: Path, name: str) -> None:
    before = keys_in_copy(journals / name)
    async with System().client() as client:
        await client.campaign(TOKEN).upload(journals / "list.csv", journal=journals / name).run()
    copy = journals / f"{name}.schema-4"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert keys_in(copy) == before
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (4,)
    if name == "killed":
        bodies = journals / f"{name}.schema-4-bodies"
        assert bodies.read_bytes() == (FROZEN / "killed-bodies").read_bytes()
        assert bodies.stat().st_mode & 0o777 == 0o600


async def test_a_finished_journal_stays_finished(journals: Path) -> None:
    system = System()
    async with system.client() as client:
        with pytest.raises(JournalRefusedError, match="finished"):
            await client.campaign(TOKEN).upload(journals / "finished.csv", journal=journals / "finished").run()
    assert not system.sandbox.calls


def test_looking_changes_nothing(journals: Path) -> None:
    with closing(open_for_reading(journals / "half-done")) as store:
        seen = overview(store)
    assert (seen.finished, seen.pending_rows, seen.rows["unknown"]) == (False, 19, 10)
    assert (journals / "half-done").read_bytes() == (FROZEN / "half-done").read_bytes()


async def test_unknown_rows_are_settled(journals: Path) -> None:
    system = System()
    async with system.client() as client:
        campaign = client.campaign(TOKEN)
        found = await campaign.reconcile(journals / "half-done")
        assert (found.unknown, found.adopted, found.without_job) == (10, 0, 10)  # this server never had them
    assert max(system.phones().values()) == 1


async def test_a_batcher_goes_on(journals: Path) -> None:  # C-IDEM-1
    system = System()
    (key,) = keys_in_copy(journals / "batcher")
    told: list[int] = []
    async with (
        system.client() as client,
        client.campaign(TOKEN).batcher(
            journal=journals / "batcher",
            chunk_rows=5,
            linger_seconds=0.01,
            on_receipt=lambda receipt: told.extend(one.row for one in receipt.outcomes()),
        ) as batcher,
    ):
        again = {"phone": FIRST + 11, "payload": {"n": 11}}
        assert await batcher.put(again, idempotence_key="put-11") == 11  # promised before
        outcome = await batcher.add({"phone": FIRST + 99})
        assert outcome.row > 12  # no number of before is given again
        assert outcome.status is OutcomeStatus.ACCEPTED
    assert system.keys()[key] == [6, 7, 8, 9, 10]
    assert system.phones() == Counter([6, 7, 8, 9, 10, 11, 12, 99])
    assert sorted(told) == [*range(3, 13), outcome.row]


@pytest.mark.parametrize(("version", "said"), [(3, "older version"), (SCHEMA_VERSION + 1, "newer version")])
async def test_other_schemas_are_refused(journals: Path, version: int, said: str) -> None:
    with closing(sqlite3.connect(journals / "half-done", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    async with System().client() as client:
        with pytest.raises(JournalError, match=said):
            await client.campaign(TOKEN).upload(journals / "list.csv", journal=journals / "half-done").run()


async def test_a_copy_that_cannot_be_made_leaves_all_as_it_was(
    journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("calls_async.upload.journal.database.os.fsync", full)
    system = System()
    async with system.client() as client:
        with pytest.raises(JournalError, match="disk is full"):
            await client.campaign(TOKEN).upload(journals / "list.csv", journal=journals / "half-done").run()
        assert not system.sandbox.calls
        monkeypatch.undo()
        await client.campaign(TOKEN).upload(journals / "list.csv", journal=journals / "half-done").run()
    assert max(system.phones().values()) == 1


def people_in(folder: Path) -> set[str]:
    """The files beside the finished journal that hold a phone."""
    files = [file for file in folder.iterdir() if file.name.startswith("finished") and file.suffix != ".csv"]
    return {file.name for file in files if str(FIRST)[:8].encode() in file.read_bytes()}


def test_purging_leaves_no_copy_of_the_people(journals: Path) -> None:
    assert people_in(journals) == {"finished"}
    purge(journals / "finished", 0.0, with_unknown=True)
    assert people_in(journals) == set()
    assert {file.name for file in journals.iterdir() if "schema" in file.name} == set()


def test_a_journal_that_may_not_be_purged_is_not_migrated(journals: Path) -> None:
    with pytest.raises(JournalRefusedError, match="not finished"):
        purge(journals / "half-done", 0.0)
    assert (journals / "half-done").read_bytes() == (FROZEN / "half-done").read_bytes()


@pytest.mark.parametrize("name", ["half-done", "finished"])
async def test_a_refused_run_migrates_nothing(journals: Path, name: str) -> None:  # C-M-18
    async with System().client() as client:
        with pytest.raises(JournalRefusedError):
            await client.campaign("another.token").upload(journals / "list.csv", journal=journals / name).run()
    assert (journals / name).read_bytes() == (FROZEN / name).read_bytes()
    assert not list(journals.glob("*.schema-4"))


async def test_the_copy_is_its_owners_from_the_first_byte(journals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    copy = shutil.copyfileobj

    def watch(source: BinaryIO, target: BinaryIO) -> None:
        modes.append(os.fstat(target.fileno()).st_mode & 0o777)
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfileobj", watch)
    async with System().client() as client:
        await client.campaign(TOKEN).upload(journals / "list.csv", journal=journals / "killed").run()
    assert modes == [0o600]
