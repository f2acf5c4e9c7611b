"""Journals of the later schemas: they are brought to today's, and gone on with."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from calls_async import JournalError, JournalRefusedError
from calls_async.sandbox import DuplicateRule
from calls_async.testing import InProcessSandbox
from calls_async.upload.journal.overview import open_for_reading
from calls_async.upload.journal.schema import SCHEMA_VERSION
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

FROZEN = Path(__file__).parents[2] / "fixtures"
TOKEN = "8231.7056.sandbox"
FIRST = 16500000000


@pytest.fixture(params=[5, 6, 7, 8])
def schema(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def journals(tmp_path: Path, schema: int) -> Path:
    """A copy of the frozen files, which are never opened themselves."""
    return shutil.copytree(FROZEN / f"schema_{schema}", tmp_path / "frozen")


@pytest.fixture
def sandbox() -> InProcessSandbox:
    return InProcessSandbox(duplicates=DuplicateRule.OFF)


def answered_in(journal: Path) -> set[int]:
    """The rows that were answered before."""
    with closing(open_for_reading(journal)) as store:
        return {row for receipt in store.chunks.receipts(store.chunks.answered()) for row in receipt.rows}


@pytest.mark.parametrize("name", ["half-done", "killed"])
async def test_what_was_left_is_sent_and_nothing_else(
    journals: Path, schema: int, sandbox: InProcessSandbox, name: str
) -> None:
    before = answered_in(journals / name)
    assert before
    async with sandbox.client(clock=HeldClock().clock(), upload_retry=QUICK) as client:
        upload = client.campaign(TOKEN).upload(journals / "list.csv", journal=journals / name, chunk_rows=7)
        summary = await upload.run()
    assert summary.rows == 60
    called = Counter(int(job.phone) - FIRST for job in sandbox.jobs)
    assert max(called.values()) == 1
    assert not called.keys() & before
    with closing(sqlite3.connect(journals / name)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("SELECT closed FROM upload").fetchone() == (1,)
    with closing(sqlite3.connect(journals / f"{name}.schema-{schema}")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema,)


async def test_killed_and_moved_without_its_log_it_is_refused(journals: Path, sandbox: InProcessSandbox) -> None:
    before = (journals / "killed").read_bytes()
    (journals / "killed-wal").unlink()
    async with sandbox.client(clock=HeldClock().clock(), upload_retry=QUICK) as client:
        with pytest.raises(JournalError, match="killed-wal, which belongs beside it"):
            await client.campaign(TOKEN).upload(journals / "list.csv", journal=journals / "killed").run()
    assert not sandbox.calls
    assert (journals / "killed").read_bytes() == before


async def test_a_finished_one_stays_finished(journals: Path, sandbox: InProcessSandbox) -> None:
    async with sandbox.client(clock=HeldClock().clock()) as client:
        with pytest.raises(JournalRefusedError, match="finished"):
            await client.campaign(TOKEN).upload(journals / "finished.csv", journal=journals / "finished").run()
    assert not sandbox.calls


async def test_a_batcher_goes_on(journals: Path, sandbox: InProcessSandbox) -> None:
    told: list[int] = []
    async with (
        sandbox.client(clock=HeldClock().clock(), upload_retry=QUICK) as client,
        client.campaign(TOKEN).batcher(
            journal=journals / "batcher",
            chunk_rows=1,
            on_receipt=lambda receipt: told.extend(one.row for one in receipt.outcomes()),
        ) as batcher,
    ):
        again = {"phone": FIRST + 11, "payload": {"n": 11}}
        assert await batcher.put(again, idempotence_key="put-11") == 11  # promised before
        outcome = await batcher.add({"phone": FIRST + 99})
        assert outcome.row > 12  # no number of before is given again
    assert [int(job.phone) - FIRST for job in sandbox.jobs] == [99]
    assert told == [outcome.row]
