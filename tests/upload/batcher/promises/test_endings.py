"""How a batcher ends, and what it does beside its promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from calls_async import (
    Batcher,
    BatcherClosedError,
    CallsError,
    Campaign,
    ConfigurationError,
    ContactError,
    JournalError,
    OutcomeStatus,
    Receipt,
)
from calls_async.sandbox.api import Reply
from calls_async.testing import InProcessSandbox
from calls_async.upload.journal import overview as inspect
from calls_async.upload.journal.journal import FileJournal
from calls_async.upload.journal.settings import JournalSettings
from tests.helpers.promises import Slow, contact, until

# --- errors ---


class Awkward(Exception):  # noqa: N818  # as in other people's programs
    """Cannot be copied."""

    def __init__(self, message: str, *, request: int) -> None:
        super().__init__(message)


async def failing_batcher(campaign: Campaign, on_receipt: Callable[[Receipt], object]) -> tuple[Batcher, Exception]:
    batcher = campaign.batcher(linger_seconds=0.001, chunk_rows=2, on_receipt=on_receipt)
    try:
        async with batcher, asyncio.timeout(5):
            adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(20)]
            await asyncio.wait(adds)
            with pytest.raises((Awkward, CallsError)):
                await batcher.add(contact(50))
    except (Awkward, CallsError) as error:
        return batcher, error
    raise AssertionError("it did not fail")


async def test_an_error_that_cannot_be_copied(campaign: Campaign) -> None:
    def fail(receipt: Receipt) -> None:
        raise Awkward("500", request=1)

    batcher, error = await failing_batcher(campaign, fail)
    assert batcher.error is error


async def test_a_cancellation_out_of_on_receipt(campaign: Campaign) -> None:
    async def cancelled(receipt: Receipt) -> None:
        raise asyncio.CancelledError

    _, error = await failing_batcher(campaign, cancelled)
    assert "on_receipt was cancelled" in str(error)


async def test_a_journal_that_breaks_ends_the_batcher(
    campaign: Campaign, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JournalError, match="disk"):
        async with campaign.batcher(journal=path, linger_seconds=600) as batcher:
            await batcher.put(contact(0))

            def full(*_: object) -> None:
                raise JournalError(str(path), "the disk is full")

            assert isinstance(batcher._journal, FileJournal)
            monkeypatch.setattr(batcher._journal._store, "commit", full)
            with pytest.raises(JournalError, match="full"):
                await batcher.put(contact(1))
            await until(lambda: batcher.error)
            with pytest.raises(JournalError, match="full"):
                await batcher.add(contact(2))


async def test_refusals_take_no_memory(
    campaign: Campaign, sandbox: InProcessSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.api, "handle", lambda call: Reply.error(400, "no"))
    async with campaign.batcher(linger_seconds=0.001, chunk_rows=1) as batcher:
        for number in range(30):
            assert (await batcher.add(contact(number))).status is OutcomeStatus.REJECTED
        assert batcher._upload._pipeline is not None
        assert batcher._upload._pipeline._worker._guard._refused == []


# --- settings and neighbours ---


async def test_what_is_too_large_is_told_by_put_at_once(campaign: Campaign, path: Path) -> None:
    async with campaign.batcher(journal=path, chunk_bytes=200, linger_seconds=0.001) as batcher:
        with pytest.raises(ContactError, match="more than a chunk may have"):
            await batcher.put(contact(1, x="y" * 300))
        assert (await batcher.add(contact(1, x="y" * 300))).status is OutcomeStatus.REJECTED


async def test_settings_of_a_journal_are_a_batchers(campaign: Campaign, path: Path) -> None:
    settings = JournalSettings(path=path)
    for number in range(2):
        async with campaign.batcher(journal=settings, linger_seconds=0.001) as batcher:  # type: ignore[arg-type]
            assert await batcher.put(contact(number)) == number + 1


async def test_a_purged_journal_goes_on(campaign: Campaign, sandbox: InProcessSandbox, path: Path) -> None:
    async with campaign.batcher(journal=path, linger_seconds=0.001) as batcher:
        await batcher.put(contact(1), idempotence_key="k")
    inspect.purge(path, 1.0)
    assert b"16500000001" not in path.read_bytes()
    async with campaign.batcher(journal=path, linger_seconds=0.001) as batcher:
        assert await batcher.put(contact(2)) == 2
    assert len(sandbox.jobs) == 2


async def test_a_look_into_the_journal_counts_what_is_queued(campaign: Campaign, path: Path) -> None:
    async with campaign.batcher(journal=path, linger_seconds=600) as batcher:
        await batcher.put(contact(1))
        with closing(inspect.open_for_reading(path)) as store:
            seen = inspect.overview(store)
    assert (seen.kind, seen.queued_rows, seen.finished) == ("batcher", 1, False)


async def test_a_low_rate_makes_the_chunks_smaller(campaign: Campaign) -> None:
    async with campaign.batcher(rate=50, chunk_rows=500, linger_seconds=600) as batcher:
        assert batcher._inbox._chunk_rows == 5
        outcomes = await asyncio.gather(*(batcher.add(contact(n)) for n in range(5)))
    assert {one.status for one in outcomes} == {OutcomeStatus.ACCEPTED}


async def test_closing_waits_for_nobody_who_would_not_wait(campaign: Campaign, sandbox: InProcessSandbox) -> None:
    server = Slow(sandbox)
    batcher = server.campaign().batcher(buffer_rows=1, chunk_rows=1, concurrency=1, drain_seconds=5)
    async with batcher:
        adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(30)]
        await until(lambda: sandbox.jobs)
        batcher._inbox.close()
        with pytest.raises(BatcherClosedError):
            await batcher.add(contact(50), nowait=True)
        server.may.set()
    await asyncio.gather(*adds, return_exceptions=True)


async def test_it_does_not_run_twice(campaign: Campaign) -> None:
    batcher = campaign.batcher()
    async with batcher:
        pass
    with pytest.raises(ConfigurationError, match="once"):
        await batcher.__aenter__()
