"""Looking into a journal, and taking the people out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calls_async import Campaign, JournalError, JournalRefusedError, OutcomeStatus
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal import overview as inspect
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.outcomes.results_file import to_jsonl
from tests.helpers.contacts import contacts
from tests.helpers.journals import outcomes_in, stopped_after, unknown_upload

# --- tools ---


async def test_looking_into_a_journal(sandbox: Sandbox, path: Path) -> None:
    await unknown_upload(sandbox, path, "500-after", rows=3)
    store = inspect.open_for_reading(path)
    seen = inspect.overview(store)
    unknown = [json.loads(line) for line in inspect.unknown_contacts(store)]
    store.close()
    assert seen.finished
    assert seen.rows == {"accepted": 0, "duplicate": 0, "rejected": 0, "unknown": 3}
    assert unknown == [{"phone": c.phone, "payload": c.payload} for c in contacts(3)]
    with pytest.raises(JournalRefusedError, match="unknown"):
        inspect.purge(path, 1.0)
    inspect.purge(path, 1.0, with_unknown=True)
    assert b"1650000" not in path.read_bytes()


async def test_purging(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    with pytest.raises(JournalError, match="no such file"):
        inspect.purge(path, 1.0)
    source: list[Any] = [*contacts(20), {"phone": "bad 99"}]
    await campaign.upload(source, journal=path, chunk_rows=6).run()
    inspect.purge(path, 1.0)
    data = path.read_bytes()
    assert b"1650000" not in data
    assert b"bad 99" not in data
    outcomes = outcomes_in(path)
    assert sorted(outcome.row for outcome in outcomes) == list(range(1, 22))
    assert {outcome.phone for outcome in outcomes} == {None}
    store = Store(path, writing=False)
    lines = b"".join(map(to_jsonl, inspect.all_receipts(store))).splitlines()
    store.close()
    assert {json.loads(line)["phone"] for line in lines} == {None}
    assert len(lines) == 21
    assert {outcome.job_id for outcome in outcomes} == {job.id for job in sandbox.jobs} | {None}
    with pytest.raises(JournalRefusedError, match="purged"):
        await campaign.upload(source, journal=path).run()


async def test_purging_what_is_not_finished(campaign: Campaign, path: Path) -> None:
    await stopped_after(campaign, list(contacts(100)), path, 1, chunk_rows=10)
    with pytest.raises(JournalRefusedError, match="not finished"):
        inspect.purge(path, 1.0)


def test_verdicts_of_no_rows() -> None:
    assert Verdict.all(OutcomeStatus.REJECTED, 0, None) == Verdict.accepted([])
