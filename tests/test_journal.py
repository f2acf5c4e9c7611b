"""The journal: what it holds, when it is refused, what it survives, and how unknown rows are settled."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
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
    JobReport,
    JournalError,
    JournalRefusedError,
    Outcome,
    OutcomeStatus,
    RetryPolicy,
    SourceError,
)
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal import overview as inspect
from calls_async.upload.journal.bodies import read_body
from calls_async.upload.journal.schema import SCHEMA_VERSION
from calls_async.upload.journal.settings import Durability, JournalSettings
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.attribution import LATE_SECONDS
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.outcomes.results_file import to_jsonl
from calls_async.upload.reconcile import Finding, UnknownRow, settle_unknown
from tests.conftest import QUICK, HeldClock
from tests.test_upload import assert_each_once, contacts, only_this_task, outcomes_of

TWICE = RetryPolicy(max_attempts=2, backoff_seconds=0.001)


async def stopped_after(campaign: Campaign, source: Any, path: Path, chunks: int, **settings: Any) -> None:
    """An upload that dies after some receipts, by an error of its consumer."""
    with pytest.raises(ZeroDivisionError):
        async with campaign.upload(source, journal=path, **settings) as upload:
            async for receipt in upload:
                chunks -= receipt is not None
                if chunks <= 0:
                    raise ZeroDivisionError


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


@pytest.mark.parametrize("kind", ["csv", "list"])
@pytest.mark.parametrize("change", ["edited", "shorter", "removed"])
async def test_a_source_that_has_changed_is_refused(
    sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path, kind: str, change: str
) -> None:
    file = tmp_path / "list.csv"

    def source(rows: list[Contact]) -> Any:
        file.write_text("phone,n\n" + "".join(f"{c.phone},{c.payload['n']}\n" for c in rows))
        return file if kind == "csv" else list(rows)

    rows = list(contacts(20_000))
    await stopped_after(campaign, source(rows), path, 4, chunk_rows=100, concurrency=2)
    before = written(path)
    changed = {
        "edited": [*rows[:150], Contact(phone="19999999999", payload={"n": 150}), *rows[151:]],
        "shorter": rows[:50],
        "removed": rows[:150] + rows[151:],
    }[change]
    with pytest.raises(JournalRefusedError, match="the source has changed") as caught:
        await campaign.upload(source(changed), journal=path).run()
    assert "rows " in str(caught.value)
    assert written(path) == before
    assert {call.key for call in sandbox.calls} <= before
    grown = [*rows, *contacts(5, 17000000000)]  # what comes after the consumed part may change
    assert_each_once(sandbox, await outcomes_of(campaign.upload(source(grown), journal=path)))
    assert len(sandbox.jobs) == 20_005


def written(path: Path) -> set[str]:
    """The keys of all chunks that a journal holds."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as shell:
        keys = {key for (key,) in shell.execute("SELECT key FROM chunk")}
    shell.close()
    return keys


async def test_a_missing_source_leaves_the_journal_as_it_is(campaign: Campaign, path: Path, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(SourceError, match="cannot be read"):
            await campaign.upload(tmp_path / "none.csv", journal=path).run()


async def test_a_wrong_campaign_is_refused(sandbox: Sandbox, client: CallsClient, path: Path) -> None:  # C-M-18
    await stopped_after(client.campaign(sandbox.token), list(contacts(100)), path, 1, chunk_rows=10)
    with pytest.raises(JournalRefusedError, match="another campaign"):
        await client.campaign("another").upload(list(contacts(100)), journal=path).run()


async def test_one_journal_belongs_to_one_upload_at_a_time(campaign: Campaign, path: Path) -> None:
    async with campaign.upload(contacts(100_000), journal=path, chunk_rows=10) as upload:
        await anext(upload)
        with pytest.raises(JournalError, match="in use"):
            await campaign.upload(contacts(10), journal=path).run()
        upload.stop()


async def test_again_begins_a_new_upload_and_keeps_the_old_journal(
    sandbox: Sandbox, campaign: Campaign, path: Path
) -> None:
    first = await campaign.upload(contacts(10), journal=path).run()
    sandbox.advance(hours=25)
    second = await campaign.upload(contacts(10), journal=path, again=True).run()
    assert first.upload_id != second.upload_id
    assert len(sandbox.jobs) == 20
    assert path.with_name("list.journal.1").exists()
    await stopped_after(campaign, list(contacts(100, 17000000000)), path.with_name("other"), 1, chunk_rows=10)
    # The same again after a death is no new upload.
    summary = await campaign.upload(
        list(contacts(100, 17000000000)), journal=path.with_name("other"), again=True
    ).run()
    assert summary.rows == 100
    assert len(sandbox.jobs) == 120


async def test_a_rehearsal_gives_way_to_the_real_upload(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    async with Sandbox() as stage, CallsClient(stage.url) as rehearsing:
        rehearsal = JournalSettings(path=path, rehearsal=True)
        await rehearsing.campaign(stage.token).upload(contacts(10), journal=rehearsal).run()
    await campaign.upload(contacts(10), journal=path).run()
    assert len(sandbox.jobs) == 10


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"not a database, but long enough to be one" * 100, "is not a journal"), (None, "another program")],
)
async def test_a_foreign_file_is_refused(campaign: Campaign, path: Path, content: bytes | None, said: str) -> None:
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE t (x)")
        other.close()
    else:
        path.write_bytes(content)
    with pytest.raises(JournalError, match=said):
        await campaign.upload(contacts(10), journal=path).run()
    assert content is None or path.read_bytes() == content


async def test_a_newer_schema_is_refused(campaign: Campaign, path: Path) -> None:
    await stopped_after(campaign, list(contacts(100)), path, 1, chunk_rows=10)
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(JournalError, match="newer version"):
        await campaign.upload(list(contacts(100)), journal=path).run()


async def test_an_empty_file_is_a_new_journal(campaign: Campaign, path: Path) -> None:
    path.touch()
    assert (await campaign.upload(contacts(10), journal=path).run()).accepted == 10


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


async def test_a_folder_that_cannot_be_written(campaign: Campaign, tmp_path: Path) -> None:
    for place in (tmp_path / "none" / "list.journal", Path("/proc/list.journal"), tmp_path):
        with pytest.raises(JournalError, match="cannot be written"):
            await campaign.upload(contacts(10), journal=place).run()


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
            raise store._wrong(error)
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
            store.begin(token="t", host="h", source="s", rehearsal=False, at=1.0)
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
    clock = Clock(lambda: held_clock.now)
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


# --- reconciling ---


async def unknown_upload(sandbox: Sandbox, path: Path, kind: str, rows: int = 10) -> None:
    """An upload whose answers all fail twice, in the given way."""
    sandbox.fail_next(kind, 2 * rows)
    async with CallsClient(sandbox.url, upload_retry=TWICE) as client:
        summary = await client.campaign(sandbox.token).upload(contacts(rows), journal=path, chunk_rows=1).run()
    assert summary.unknown == rows
    sandbox.faults._next.clear()


@pytest.mark.parametrize("resend", [False, True])
async def test_rows_that_have_a_job_are_adopted(sandbox: Sandbox, path: Path, resend: bool) -> None:
    await unknown_upload(sandbox, path, "500-after")
    async with CallsClient(sandbox.url) as client:
        found = await client.campaign(sandbox.token).reconcile(path, resend=resend)
    assert (found.unknown, found.adopted, found.without_job, found.unclear) == (10, 10, 0, 0)
    assert_each_once(sandbox, outcomes_in(path))


def outcomes_in(path: Path) -> list[Outcome]:
    store = inspect.open_for_reading(path)
    try:
        return [outcome for receipt in inspect.all_receipts(store) for outcome in receipt.outcomes()]
    finally:
        store.close()


@pytest.mark.parametrize("resend", [False, True])
async def test_rows_without_a_job_are_sent_again_if_the_user_says_so(
    sandbox: Sandbox, path: Path, resend: bool, held_clock: HeldClock
) -> None:
    await unknown_upload(sandbox, path, "503")
    keys = {call.key for call in sandbox.calls}
    held_clock.now = sandbox.clock()
    async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
        found = await client.campaign(sandbox.token).reconcile(path, resend=resend)
    assert (found.unknown, found.adopted, found.without_job, found.resent) == (10, 0, 10, resend)
    outcomes = outcomes_in(path)
    assert sorted(outcome.row for outcome in outcomes) == list(range(1, 11))
    if resend:
        assert held_clock.slept  # a late request had time to arrive
        assert max(held_clock.slept) > 100
        assert_each_once(sandbox, outcomes)
        assert len(sandbox.jobs) == 10
        assert not keys & {call.key for call in sandbox.calls if call.path.endswith("addPhones")}
    else:
        assert sandbox.jobs == []
        assert {str(outcome.status) for outcome in outcomes} == {"unknown"}
        assert "--resend" in str(outcomes[0].error)


def row(index: int, phone: str, content: str = "c") -> UnknownRow:
    return UnknownRow(1, index, phone, content.encode(), 1_000_000.0)


def job(job_id: str, phone: str | None, seconds_after: float | None = 1.0) -> JobReport:
    created = None if seconds_after is None else int((1_000_000 + seconds_after) * 1000)
    return JobReport(call_job_id=job_id, phone=phone, created_at=created)


@pytest.mark.parametrize(
    ("rows", "jobs", "found"),
    [
        ([row(0, "p")], [job("1", "p")], ["1"]),
        ([row(0, "p")], [job("1", "+p")], ["1"]),
        ([row(0, "p")], [], [None]),
        ([row(0, "p")], [job("1", "q")], ["?"]),  # nobody asked for q: whose is it?
        ([row(0, "p")], [job("1", None)], ["?"]),  # C-REP-4
        ([row(0, "p")], [job("taken", "p")], [None]),
        ([row(0, "p")], [job("1", "p", -26 * 3600)], [None]),  # long before it was first sent
        ([row(0, "p")], [job("1", "p", -200)], ["1"]),  # the server's clock may be behind
        ([row(0, "p")], [job("1", "p", -1800)], ["?"]),  # or not so much
        ([row(0, "p")], [job("1", "p", None)], ["?"]),
        ([row(0, "p")], [job("1", "p"), job("2", "p")], ["?"]),
        ([row(0, "p")], [job("1", "p"), job("1", "p")], ["1"]),
        ([row(0, "p", "a"), row(1, "p", "b")], [job("1", "p")], ["?", "?"]),
        ([row(0, "p", "a"), row(1, "p", "b")], [job("1", "p"), job("2", "p")], ["?", "?"]),
        ([row(0, "p", "a"), row(1, "p", "b")], [], [None, None]),
        ([row(0, "p"), row(1, "p")], [job("1", "p"), job("2", "p")], ["1", "2"]),
    ],
)
def test_what_a_report_says_of_unknown_rows(rows: Any, jobs: Any, found: Any) -> None:
    findings = settle_unknown(rows, jobs, frozenset({"taken"}), 2_000_000.0)
    said = ["?" if findings[one].unclear else findings[one].job_id for one in rows]
    assert said == found
    assert Finding() == Finding(None, None)


async def test_a_refusal_after_a_lost_answer_is_not_believed(sandbox: Sandbox, held_clock: HeldClock) -> None:
    # C-IDEM-1: the first attempt was accepted; a gateway says no to the second
    answer = sandbox.api.handle
    attempts: Counter[str] = Counter()

    def refusing(call: Any) -> Any:
        attempts[call.key] += 1
        reply = answer(call)
        if call.path.endswith("addPhones") and attempts[call.key] > 1:
            return type(reply).error(400, "no")
        return reply

    sandbox.api.handle = refusing  # type: ignore[method-assign]
    sandbox.fail_next("reset-after", 1)
    held_clock.now = time.time()
    async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
        outcomes = await outcomes_of(client.campaign(sandbox.token).upload(contacts(5)))
    assert {str(outcome.status) for outcome in outcomes} == {"unknown"}
    assert max(held_clock.slept) == LATE_SECONDS  # what was lost may have been late
    assert len(sandbox.jobs) == 5


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


def test_verdicts_of_no_rows() -> None:
    assert Verdict.all(OutcomeStatus.REJECTED, 0, None) == Verdict.accepted([])
