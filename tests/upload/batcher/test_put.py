"""Contacts that are kept on disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from calls_async import (
    BatcherFullError,
    CallsClient,
    Campaign,
    ConfigurationError,
    ContactError,
    JournalError,
    JournalRefusedError,
    OutcomeStatus,
    Receipt,
)
from calls_async.sandbox.faults import FaultKind
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.model.clock import Clock as SandboxClock
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal.schema import BATCHER
from calls_async.upload.journal.settings import JournalOwner
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.rows.row import EncodedRow
from tests.helpers.batching import DAY, FIRST, contact, settle
from tests.helpers.chunks import CONTACT, chunk_of
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

# --- with a journal ---


async def test_put_promises_only_what_a_journal_keeps(campaign: Campaign) -> None:
    async with campaign.batcher() as batcher:
        with pytest.raises(ConfigurationError, match="journal"):
            await batcher.put(contact(1))


async def test_put_says_at_once_what_is_wrong(campaign: Campaign, path: Path, sandbox: Sandbox) -> None:
    async with campaign.batcher(journal=path, linger_seconds=0.001) as batcher:
        with pytest.raises(ContactError) as caught:
            await batcher.put({"phone": "12"})
        assert caught.value.field == "phone"
        assert await batcher.put(contact(1)) == 1
    assert len(sandbox.jobs) == 1


async def test_what_was_put_is_on_disk(campaign: Campaign, path: Path) -> None:
    async with campaign.batcher(journal=path, linger_seconds=600) as batcher:
        assert await batcher.put({**contact(1), "payload": {"name": "Alex"}}) == 1
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as other:
            assert other.execute("SELECT row, phone, body FROM queued").fetchall() == [
                (1, str(FIRST + 1), b'{"phone":"16500000001","payload":{"name":"Alex"}}')
            ]
        other.close()


async def test_who_repeats_a_put_under_its_key_is_not_called_twice(
    campaign: Campaign, sandbox: Sandbox, path: Path
) -> None:
    async with campaign.batcher(journal=path, linger_seconds=0.001) as batcher:
        first = await batcher.put(contact(1), idempotence_key="order 17")
        assert await batcher.put(contact(1), idempotence_key="order 17") == first
        assert await batcher.put(contact(1)) == first + 2
        with pytest.raises(ContactError, match="idempotence_key"):
            await batcher.put(contact(2), idempotence_key="order 17")
    async with campaign.batcher(journal=path, linger_seconds=0.001) as batcher:
        assert await batcher.put(contact(1), idempotence_key="order 17") == first
        both = await asyncio.gather(*(batcher.put(contact(3), idempotence_key="same") for _ in range(10)))
        assert len(set(both)) == 1
    assert Counter(job.phone for job in sandbox.jobs) == {str(FIRST + 1): 1, str(FIRST + 3): 1}
    assert sandbox.account.duplicates is DuplicateRule.IGNORE  # the third put was a duplicate to the server


async def test_a_put_that_is_cancelled_is_taken_out(campaign: Campaign, sandbox: Sandbox, path: Path) -> None:
    async with campaign.batcher(journal=path, linger_seconds=0.05, buffer_rows=3) as batcher:
        for turns in range(6):
            putting = asyncio.create_task(batcher.put(contact(turns), idempotence_key=str(turns)))
            await settle(turns)
            putting.cancel()
            await asyncio.wait([putting])
            assert putting.cancelled() or putting.result()
            if not putting.cancelled():
                break
        known = await batcher.put(contact(100), idempotence_key="0")
        assert known  # the key is free again
    assert [job.phone for job in sandbox.jobs][-1] == str(FIRST + 100)
    taken = [job.phone for job in sandbox.jobs if job.phone == str(FIRST)]
    assert taken == []


@pytest.mark.parametrize("turns", range(1, 8))
async def test_a_put_that_somebody_else_has_repeated_stays(
    campaign: Campaign, sandbox: Sandbox, path: Path, turns: int
) -> None:
    async with campaign.batcher(journal=path, linger_seconds=0.01) as batcher:
        first, second = (asyncio.create_task(batcher.put(contact(1), idempotence_key="k")) for _ in range(2))
        await settle(turns)
        first.cancel()
        assert await second  # it was promised that the contact is kept
    assert [job.phone for job in sandbox.jobs] == [str(FIRST + 1)]
    assert not batcher.remaining


async def test_the_journal_forgets_what_is_old(held_clock: HeldClock, path: Path) -> None:
    async with (
        Sandbox(clock=SandboxClock(lambda: held_clock.now)) as sandbox,
        CallsClient(sandbox.url, clock=held_clock.clock()) as client,
    ):
        campaign = client.campaign(sandbox.token)
        async with campaign.batcher(journal=path, chunk_rows=1, keep_seconds=DAY) as batcher:
            for number in range(5):
                await batcher.put(contact(number), idempotence_key=str(number))
            while batcher.under_way:
                await asyncio.sleep(0.001)
            held_clock.now += 2 * DAY
            await batcher.put(contact(5), idempotence_key="5")
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as other:
                while other.execute("SELECT count(*) FROM chunk").fetchone() != (1,) or batcher.under_way:
                    await asyncio.sleep(0.001)
        with sqlite3.connect(path) as journal:
            ((last,),) = journal.execute("SELECT max(number) FROM chunk").fetchall()
            assert journal.execute("SELECT count(*) FROM chunk").fetchone() == (1,)
            assert journal.execute("SELECT key FROM put_key").fetchall() == [("5",)]
        journal.close()
        async with campaign.batcher(journal=path, chunk_rows=1, keep_seconds=DAY) as batcher:
            assert await batcher.put(contact(6)) == 7
            while batcher.under_way:
                await asyncio.sleep(0.001)
        with sqlite3.connect(path) as journal:
            assert journal.execute("SELECT max(number) FROM chunk").fetchone() == (last + 1,)
        journal.close()
    assert len(sandbox.jobs) == 7


async def test_unknown_rows_are_settled_and_told(campaign: Campaign, sandbox: Sandbox, path: Path) -> None:
    strict = attrs.evolve(QUICK, give_up_seconds=0.02)
    sandbox.faults.shares = {FaultKind.SERVER_ERROR_AFTER: 1.0}
    receipts: list[Receipt] = []
    async with CallsClient(sandbox.url, upload_retry=strict) as client:
        other = client.campaign(sandbox.token)
        async with other.batcher(journal=path, linger_seconds=0.001, on_receipt=receipts.append) as batcher:
            outcome = await batcher.add(contact(1))
    assert outcome.status is OutcomeStatus.UNKNOWN
    sandbox.faults.shares = {}
    found = await campaign.reconcile(path)
    assert (found.unknown, found.adopted) == (1, 1)
    async with campaign.batcher(journal=path, on_receipt=receipts.append):
        pass
    assert [one.status for receipt in receipts for one in receipt.outcomes()] == ["unknown", "accepted"]
    assert len(sandbox.jobs) == 1


async def test_a_batchers_journal_is_no_uploads(campaign: Campaign, sandbox: Sandbox, tmp_path: Path) -> None:
    mine, other = tmp_path / "batcher.journal", tmp_path / "list.journal"
    async with campaign.batcher(journal=mine, linger_seconds=0.001) as batcher:
        await batcher.put(contact(1))
        with pytest.raises(JournalError, match="another"):
            async with campaign.batcher(journal=mine):
                raise AssertionError("two at once")
    with pytest.raises(JournalRefusedError, match=r"campaign\.batcher"):
        await campaign.upload([contact(2)], journal=mine).run()
    with pytest.raises(JournalRefusedError, match=r"campaign\.batcher"):
        await campaign.upload(None, journal=mine).run()
    await campaign.upload([contact(3)], journal=other).run()
    with pytest.raises(JournalRefusedError, match="of a list"):
        async with campaign.batcher(journal=other):
            raise AssertionError("it must not be entered")
    assert len(sandbox.jobs) == 2


async def test_restored_contacts_count_for_the_buffer(sandbox: Sandbox, path: Path) -> None:
    async with CallsClient("http://127.0.0.1:9", upload_retry=QUICK) as client:
        campaign = client.campaign(sandbox.token)
        with pytest.raises(RuntimeError, match="dies"):
            async with campaign.batcher(journal=path, linger_seconds=600) as batcher:
                for number in range(8):
                    await batcher.put(contact(number))
                raise RuntimeError("the service dies")
        assert batcher.remaining.kept == 8
    async with CallsClient(sandbox.url, upload_retry=QUICK) as client:
        campaign = client.campaign(sandbox.token)
        async with campaign.batcher(journal=path, buffer_rows=3, chunk_rows=9, linger_seconds=0.1) as batcher:
            assert batcher.waiting == batcher.under_way == 8
            with pytest.raises(BatcherFullError):
                await batcher.put(contact(8), nowait=True)
            for number in range(8, 11):
                await batcher.put(contact(number))
            assert batcher.waiting == 3
    assert Counter(job.phone for job in sandbox.jobs) == Counter(str(FIRST + n) for n in range(11))


def test_the_keys_of_what_has_no_answer_are_not_forgotten(path: Path) -> None:
    """Put again under its key, a contact whose chunk waits through a long outage would be called twice."""
    body = b'{"phone":"16500000000"}'
    with closing(Store(path)) as store:
        store.begin(JournalOwner(token="t", host="h", identity="upload"), kind=BATCHER, at=0.0)
        for number in (1, 2):
            row = EncodedRow(number, "16500000000", body)
            store.commit([lambda it, row=row, key=str(number): it.enqueue(row, key, 1.0)])  # type: ignore[misc]
        chunks = [attrs.evolve(chunk_of(number, CONTACT), number=number) for number in (1, 2)]
        for chunk in chunks:
            store.commit([lambda it, chunk=chunk: it.plan(chunk, None, 5.0)])  # type: ignore[misc]
        assert store.batcher.find_old(100.0).keys == []
        store.commit([lambda it: it.note_answered(chunks[0], Verdict.accepted(["1"]), 6.0)])
        assert store.batcher.find_old(100.0).keys == [("1",)]
