"""What reviewers broke in the journal: locks taken away, parts gone, sources swapped, wrong clocks, damage."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from calls_async import CallsClient, Campaign, ConfigurationError, Contact, JournalError, OutcomeStatus
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal import overview as inspect
from calls_async.upload.journal.settings import JournalOwner
from calls_async.upload.journal.store import Store
from tests.helpers.asserts import outcomes_of
from tests.helpers.clock import HeldClock
from tests.helpers.contacts import contacts
from tests.helpers.journals import stopped_after, unknown_upload


async def test_a_refused_second_upload_takes_no_lock_away(campaign: Campaign, path: Path) -> None:
    look = f"import sqlite3; sqlite3.connect({str(path)!r}).execute('SELECT count(*) FROM chunk').fetchone()"
    async with campaign.upload(contacts(100_000), journal=path, chunk_rows=10) as upload:
        await anext(upload)
        with pytest.raises(JournalError, match="in use"):
            await campaign.upload(contacts(10), journal=path).run()
        # The last to close a database without locks on it would delete the log that is still being written.
        looking = await asyncio.create_subprocess_exec(sys.executable, "-c", look)
        assert await looking.wait() == 0
        assert path.with_name("list.journal-wal").exists()
        upload.stop()


def test_a_new_journal_says_in_its_own_file_what_it_is(path: Path) -> None:
    store = Store(path)
    store.begin(JournalOwner(token="t", host="h", source="s"), at=1.0)
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())  # without the files beside it, as after a careless move
    store.close()
    with pytest.raises(JournalError, match="copy-bodies, which belongs beside it"):
        Store(copy)
    with pytest.raises(JournalError, match="copy-bodies, which belongs beside it"):
        Store(copy, writing=False)


async def test_a_file_that_holds_nothing_is_no_new_journal(campaign: Campaign, path: Path) -> None:
    with sqlite3.connect(path) as blank:
        blank.execute("PRAGMA journal_mode = WAL")
        blank.execute("PRAGMA user_version = 0")
        blank.execute("CREATE TABLE t (x)")
        blank.execute("DROP TABLE t")
    blank.close()
    assert path.stat().st_size > 0
    with pytest.raises(JournalError, match="-wal file"):
        await campaign.upload(contacts(10), journal=path).run()


async def die_without_an_answer(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    """An upload whose only chunk was accepted, but never answered, ends."""
    sandbox.fail_next("500-after", 10_000)
    task = asyncio.create_task(campaign.upload(contacts(10), journal=path).run())
    while not sandbox.jobs:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])


async def test_a_first_send_in_the_future_tells_nothing_of_the_keys_day(
    sandbox: Sandbox, campaign: Campaign, path: Path
) -> None:  # C-IDEM-7
    await die_without_an_answer(sandbox, campaign, path)
    with sqlite3.connect(path) as shell:
        shell.execute("UPDATE chunk SET sent_at = sent_at + 864000")
    shell.close()
    calls = len(sandbox.calls)
    outcomes = await outcomes_of(campaign.upload(contacts(10), journal=path))
    assert {outcome.status for outcome in outcomes} == {OutcomeStatus.UNKNOWN}
    # What time it is may be asked, where the first answer had not come yet.
    assert not [call for call in sandbox.calls[calls:] if call.path.endswith("addPhones")]


async def test_a_wrong_clock_sends_nothing_again(sandbox: Sandbox, path: Path, held_clock: HeldClock) -> None:
    await unknown_upload(sandbox, path, "503")
    held_clock.now = sandbox.clock() + 7200
    async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
        with pytest.raises(ConfigurationError, match=r"clock is \+72\d\d s off"):
            await client.campaign(sandbox.token).reconcile(path, resend=True)
    assert sandbox.jobs == []


async def test_a_clock_that_was_wrong_then_is_not_believed(
    sandbox: Sandbox, path: Path, held_clock: HeldClock
) -> None:
    await unknown_upload(sandbox, path, "500-after")
    with sqlite3.connect(path) as shell:
        shell.execute("UPDATE chunk SET sent_at = sent_at + 7200")  # it was two hours ahead
    shell.close()
    held_clock.now = sandbox.clock()
    async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
        await client.campaign(sandbox.token).reconcile(path, resend=True)
    assert len(sandbox.jobs) == 10


@pytest.mark.parametrize(
    "damage",
    ["chunk SET verdict = '{'", "chunk SET verdict = NULL", "chunk SET phones = '[1'", "upload SET upload_id = NULL"],
)
async def test_damaged_contents_are_said(campaign: Campaign, path: Path, damage: str) -> None:
    await stopped_after(campaign, list(contacts(100)), path, 3, chunk_rows=10, concurrency=1)
    with sqlite3.connect(path) as shell:
        shell.execute("PRAGMA ignore_check_constraints = ON")
        try:
            shell.execute(f"UPDATE {damage}")
        except sqlite3.IntegrityError:
            return  # SQLite itself does not let it be damaged so
    shell.close()
    with pytest.raises(JournalError, match="damaged"):
        await campaign.upload(list(contacts(100)), journal=path).run()
    store = inspect.open_for_reading(path)
    with pytest.raises(JournalError, match="damaged"):
        inspect.overview(store)
    store.close()


async def test_a_damaged_key_is_not_sent(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:  # C-IDEM-2
    await die_without_an_answer(sandbox, campaign, path)
    with sqlite3.connect(path) as shell:
        shell.execute("UPDATE chunk SET key = replace(key, '-', '_')")
    shell.close()
    with pytest.raises(JournalError, match="key of chunk 1 is damaged"):
        await campaign.upload(contacts(10), journal=path).run()


async def test_a_journal_without_its_source_can_be_finished(campaign: Campaign, path: Path) -> None:
    def once() -> Iterator[Contact]:
        yield from contacts(40)
        raise RuntimeError("the queue is gone")

    with pytest.raises(RuntimeError):
        await campaign.upload(once(), journal=path, chunk_rows=10).run()
    upload = campaign.upload(None, journal=path)
    summary = await upload.run()
    assert summary.accepted == 40
    assert upload.complete
    inspect.purge(path, 1.0)
