"""The journal: what it holds, when it is refused, what it survives, and how unknown rows are settled."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from calls_async import (
    AccessError,
    CallsClient,
    Campaign,
    ConfigurationError,
    Contact,
    JournalError,
    JournalRefusedError,
    OutcomeStatus,
    RetryPolicy,
)
from calls_async.sandbox.model.clock import Clock as SandboxClock
from calls_async.sandbox.server.server import Sandbox
from calls_async.transport.clock import Clock
from calls_async.upload.journal.bodies import read_body
from calls_async.upload.journal.journal import Journal
from calls_async.upload.journal.opening import open_journal
from calls_async.upload.journal.settings import Durability, JournalOwner, JournalSettings
from calls_async.upload.journal.store import Store
from calls_async.upload.journal.upload_table import UploadTable
from tests.helpers.asserts import assert_each_once, only_this_task, outcomes_of
from tests.helpers.clock import HeldClock
from tests.helpers.contacts import contacts
from tests.helpers.journals import outcomes_in, stopped_after
from tests.helpers.servers import QUICK


async def test_a_journal_tells_everything(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    source: list[Any] = [*contacts(10), {"phone": "x"}]
    await campaign.upload(source, journal=path, chunk_rows=4).run()
    assert path.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as shell:
        rows = shell.execute("SELECT row, phone, status, job_id, error FROM outcome ORDER BY row").fetchall()
        assert shell.execute("SELECT count(*) FROM body").fetchone() == (0,)
    shell.close()
    assert [row[:3] for row in rows] == [
        *((n + 1, str(16500000000 + n), "accepted") for n in range(10)),
        (11, "x", "rejected"),
    ]
    assert {row[3]: row[1] for row in rows[:10]} == {job.id: job.phone for job in sandbox.jobs}
    assert rows[10][4].startswith("phone: ")
    assert sandbox.token.encode() not in path.read_bytes()  # C-M-18


async def test_intent_is_written_before_the_first_attempt(sandbox: Sandbox, client: CallsClient, path: Path) -> None:
    seen: list[tuple[str, str, bytes]] = []
    answer = sandbox.api.handle

    def looking(call: Any) -> Any:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as shell:
            query = "SELECT state, key, body_at, body_bytes FROM chunk WHERE key = ?"
            ((state, key, at, size),) = shell.execute(query, (call.key,)).fetchall()
            seen.append((state, key, read_body(path, at, size)))
        shell.close()
        assert seen[-1] == ("sent", call.key, call.body)
        return answer(call)

    sandbox.api.handle = looking  # type: ignore[method-assign]
    await client.campaign(sandbox.token).upload(contacts(50), journal=path, chunk_rows=10).run()
    assert len(seen) == 5


@pytest.mark.parametrize("kind", ["csv", "jsonl", "list", "generator", "async"])
async def test_resuming(sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path, kind: str) -> None:
    # C-IDEM-1
    def source() -> Any:
        if kind == "csv":
            file = tmp_path / "list.csv"
            file.write_text("phone,n\n" + "".join(f"{c.phone},{c.payload['n']}\n" for c in contacts(3000)))
            return file
        if kind == "jsonl":
            file = tmp_path / "list.jsonl"
            file.write_bytes(b"\n".join(c.to_bytes() for c in contacts(3000)))
            return file
        if kind == "async":
            return slowly(contacts(3000))
        return list(contacts(3000)) if kind == "list" else contacts(3000)

    await stopped_after(campaign, source(), path, 3, chunk_rows=50, concurrency=3)
    await stopped_after(campaign, source(), path, 20, chunk_rows=30, concurrency=1)
    upload = campaign.upload(source(), journal=path, chunk_rows=77)
    outcomes = await outcomes_of(upload)
    assert_each_once(sandbox, outcomes)
    assert upload.summary.accepted == upload.summary.rows == 3000
    assert {outcome.row: outcome.phone for outcome in outcomes} == {n + 1: str(16500000000 + n) for n in range(3000)}
    with pytest.raises(JournalRefusedError, match="finished"):
        await campaign.upload(source(), journal=path).run()


async def slowly(items: Iterator[Contact]) -> AsyncIterator[Contact]:
    for number, item in enumerate(items):
        if number % 10 == 0:
            await asyncio.sleep(0)
        yield item


async def test_an_upload_is_finished_when_its_reader_has_had_every_receipt(
    sandbox: Sandbox, campaign: Campaign, path: Path
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with campaign.upload(contacts(30), journal=path, chunk_rows=10) as upload:
            receipts = [await anext(upload) for _ in range(3)]
            raise ZeroDivisionError  # before the last one is worked upon
    assert sum(len(receipt.rows) for receipt in receipts) == len(sandbox.jobs) == 30
    outcomes = await outcomes_of(campaign.upload(contacts(30), journal=path))
    assert_each_once(sandbox, outcomes)
    with pytest.raises(JournalRefusedError, match="finished"):
        await campaign.upload(contacts(30), journal=path).run()


async def test_receipts_of_before_come_again_marked(campaign: Campaign, path: Path) -> None:
    await stopped_after(campaign, list(contacts(100)), path, 2, chunk_rows=10, concurrency=1)
    async with campaign.upload(list(contacts(100)), journal=path) as upload:
        receipts = [receipt async for receipt in upload]
    assert sum(receipt.replayed for receipt in receipts) >= 2
    assert sorted(o.row for receipt in receipts for o in receipt.outcomes()) == list(range(1, 101))


async def test_what_was_in_flight_is_sent_again_as_it_was(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    # C-IDEM-1: the same key and the same bytes, whatever the settings are now
    sandbox.fail_next("500-after", 10_000)
    task = asyncio.create_task(campaign.upload(contacts(40), journal=path, chunk_rows=10).run())
    while len(sandbox.calls) < 8:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only_this_task()
    first = {(call.key, call.body) for call in sandbox.calls}
    sandbox.faults._next.clear()
    sandbox.api.calls.clear()
    assert_each_once(sandbox, await outcomes_of(campaign.upload(contacts(40), journal=path, chunk_rows=7)))
    assert {(call.key, call.body) for call in sandbox.calls} == first


async def test_without_its_source_a_journal_sends_what_it_holds(
    sandbox: Sandbox, campaign: Campaign, path: Path
) -> None:
    drawn = []

    def once() -> Iterator[Contact]:
        for contact in contacts(10_000):
            drawn.append(contact)
            yield contact

    await stopped_after(campaign, once(), path, 1, chunk_rows=10)
    upload = campaign.upload(None, journal=path)
    outcomes = await outcomes_of(upload)
    assert_each_once(sandbox, outcomes)
    assert len(outcomes) >= 10
    with pytest.raises(ConfigurationError, match="journal"):
        campaign.upload(None)


@pytest.mark.parametrize("damage", ["'nonsense'", "CAST(replace(body, '165', '167') AS BLOB)"])
async def test_damaged_bytes_are_not_sent(sandbox: Sandbox, client: CallsClient, path: Path, damage: str) -> None:
    async with CallsClient(sandbox.url, upload_retry=QUICK) as other:
        task = asyncio.create_task(other.campaign(sandbox.token).upload(contacts(10), journal=path).run())
        sandbox.fail_next("503", 10_000)
        store = path
        while not store.exists() or not _states(store):
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    with sqlite3.connect(path) as shell:
        shell.execute(f"UPDATE body SET body = {damage}")
    shell.close()
    sandbox.faults._next.clear()
    with pytest.raises(JournalError, match="damaged"):
        await client.campaign(sandbox.token).upload(contacts(10), journal=path).run()
    assert sandbox.jobs == []


def _states(path: Path) -> list[Any]:
    try:
        shell = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return shell.execute("SELECT state FROM chunk WHERE state = 'sent'").fetchall()
        finally:
            shell.close()
    except sqlite3.OperationalError:
        return []


async def test_nothing_is_sent_that_is_not_written_down(
    sandbox: Sandbox, campaign: Campaign, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, commits = Store.commit, 0

    def filling(store: Store, operations: Any) -> None:
        nonlocal commits
        commits += 1
        if commits > 6:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise store.database._explain(error)
        commit(store, operations)

    monkeypatch.setattr(Store, "commit", filling)
    with pytest.raises(JournalError, match="disk is full"):
        await campaign.upload(list(contacts(1000)), journal=path, chunk_rows=10, concurrency=1).run()
    assert 0 < len(sandbox.jobs) < 1000
    assert only_this_task()
    monkeypatch.undo()
    assert_each_once(sandbox, await outcomes_of(campaign.upload(list(contacts(1000)), journal=path)))


def test_a_really_full_disk(tmp_path: Path) -> None:
    import resource

    pid = os.fork()
    if pid == 0:  # a process of its own, for its limit on files stays
        code = 1
        try:
            import signal

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
            store = Store(tmp_path / "list.journal")
            store.begin(JournalOwner(token="t", host="h", source="s"), at=1.0)
        except JournalError as error:
            code = 0 if "disk" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("durability", list(Durability))
async def test_durability(campaign: Campaign, path: Path, durability: Durability) -> None:
    assert (await campaign.upload(contacts(100), journal=path, durability=str(durability)).run()).accepted == 100
    with pytest.raises(ConfigurationError, match="durability"):
        campaign.upload(contacts(1), journal=path, durability="none")


async def test_an_access_error_leaves_the_upload_resumable(sandbox: Sandbox, client: CallsClient, path: Path) -> None:
    sandbox.account.campaigns["other"] = sandbox.account.campaigns.pop(sandbox.token)
    with pytest.raises(AccessError):
        await client.campaign(sandbox.token).upload(list(contacts(50)), journal=path, chunk_rows=10).run()
    sandbox.account.campaigns[sandbox.token] = sandbox.account.campaigns.pop("other")
    outcomes = await outcomes_of(client.campaign(sandbox.token).upload(list(contacts(50)), journal=path))
    assert_each_once(sandbox, outcomes)
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.ACCEPTED}


# --- the key's clock ---


async def test_a_key_past_its_day_is_not_sent(path: Path, held_clock: HeldClock) -> None:  # C-IDEM-7
    clock = SandboxClock(lambda: held_clock.now)
    policy = RetryPolicy(max_attempts=None, give_up_seconds=1e9, backoff_seconds=600, backoff_max_seconds=600)
    async with (
        Sandbox(clock=clock) as sandbox,
        CallsClient(sandbox.url, upload_retry=policy, clock=held_clock.clock()) as client,
    ):
        campaign = client.campaign(sandbox.token)
        sandbox.fail_next("500-after", 5)
        task = asyncio.create_task(campaign.upload(contacts(10), journal=path, chunk_rows=5, concurrency=1).run())
        while len(sandbox.calls) < 2:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        sandbox.faults._next.clear()
        held_clock.now += 23.5 * 3600
        sandbox.api.calls.clear()
        outcomes = await outcomes_of(campaign.upload(contacts(10), journal=path))
        unknown = [outcome for outcome in outcomes if outcome.status is OutcomeStatus.UNKNOWN]
        assert [outcome.row for outcome in unknown] == [1, 2, 3, 4, 5]
        assert all("expiry" in str(outcome.error) for outcome in unknown)
        assert len(sandbox.jobs) == 10
        found = await campaign.reconcile(path)
        assert (found.unknown, found.adopted, found.unclear, found.without_job) == (5, 5, 0, 0)
        assert found.summary is not None
        assert found.summary.accepted == 10


async def test_cancelling_with_a_journal_at_every_moment(
    sandbox: Sandbox, client: CallsClient, tmp_path: Path
) -> None:
    for waits in range(0, 120, 3):
        path = tmp_path / f"{waits}.journal"
        campaign = client.campaign(sandbox.token)
        source = list(contacts(60, 16500000000 + 1000 * waits))
        task = asyncio.create_task(campaign.upload(source, journal=path, chunk_rows=10).run())
        for _ in range(waits):
            await asyncio.sleep(0.0001)
        task.cancel()
        await asyncio.wait([task])
        assert only_this_task()
        try:
            await campaign.upload(source, journal=path).run()
        except JournalRefusedError as error:
            assert "finished" in str(error)  # the cancellation came after the last answer
        assert Counter(outcome.status for outcome in outcomes_in(path)) == {OutcomeStatus.ACCEPTED: 60}
    assert len(sandbox.jobs) == 60 * 40
    assert sandbox.key_conflicts == []


async def test_a_write_that_fails_in_an_unforeseen_way_is_told(
    sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = JournalSettings(path=path)
    journal: Journal = await open_journal(settings, JournalOwner(token="t", host="h", source="s"), Clock())

    def broken(table: UploadTable) -> None:
        raise TypeError("what is this?")

    monkeypatch.setattr(UploadTable, "note_source_done", broken)
    with pytest.raises(JournalError, match="what is this"):
        await journal.note_source_done()
    await journal.close()
