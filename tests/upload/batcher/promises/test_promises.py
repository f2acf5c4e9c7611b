"""Batchers under attack: each test is a way in which a contact was lost, called twice, or lied about."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from calls_async import (
    AccessError,
    CallsClient,
    Campaign,
    ContactError,
    JournalRefusedError,
    OutcomeStatus,
    Receipt,
    RetryPolicy,
    TooManyRefusalsError,
)
from calls_async.protocol.endpoints import Request, Response
from calls_async.sandbox.api import Reply
from calls_async.sandbox.faults import FaultKind
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.model.clock import Clock as SandboxClock
from calls_async.testing import InProcessSandbox
from calls_async.transport.clock import Clock
from calls_async.transport.exchange import ExchangeFailed
from tests.helpers.clock import HeldClock
from tests.helpers.promises import FIRST, HOUR, Slow, contact, phones, promises_of, until
from tests.helpers.servers import QUICK

# --- nobody is lost ---


async def test_a_mistyped_token_does_not_take_the_journal(
    campaign: Campaign, sandbox: InProcessSandbox, path: Path
) -> None:
    with pytest.raises(RuntimeError):
        async with campaign.batcher(journal=path, linger_seconds=600) as batcher:
            for number in range(10):
                await batcher.put(contact(number))
            raise RuntimeError("it dies")
    with pytest.raises(JournalRefusedError, match="another campaign"):
        async with sandbox.client().campaign("mistyped").batcher(journal=path):
            raise AssertionError("it must not be entered")
    async with campaign.batcher(journal=path):
        pass
    assert phones(sandbox) == Counter(str(FIRST + n) for n in range(10))


@pytest.mark.parametrize("excluding", [False, True])
async def test_what_is_said_to_be_kept_is_kept(
    campaign: Campaign, sandbox: InProcessSandbox, path: Path, tmp_path: Path, excluding: bool
) -> None:
    (tmp_path / "excluded").write_text("999000000000\n")
    server = Slow(sandbox)
    batcher = server.campaign().batcher(
        journal=path,
        chunk_bytes=1000,
        concurrency=1,
        linger_seconds=0.001,
        exclude=[tmp_path / "excluded"] if excluding else [],
    )
    adds = []
    with pytest.raises(RuntimeError):
        async with batcher:
            adds = [asyncio.create_task(batcher.add(contact(n, x="y" * 400))) for n in range(100)]
            await until(lambda: sandbox.jobs)
            adds += [asyncio.create_task(batcher.add(contact(n, x="y" * 400))) for n in range(100, 200)]
            await asyncio.sleep(0.02)
            raise RuntimeError("it dies")
    kept, gone = await promises_of(adds)
    assert len(kept) + len(gone) == 200
    assert attrs.astuple(batcher.remaining) == (len(kept), len(gone), 0)
    async with campaign.batcher(journal=path, chunk_bytes=1000):
        pass
    assert phones(sandbox) == Counter(str(FIRST + n) for n in kept)


async def test_a_server_that_is_out_for_more_than_a_day(held_clock: HeldClock, path: Path) -> None:  # C-IDEM-7
    sandbox = InProcessSandbox(duplicates=DuplicateRule.OFF)
    back = held_clock.now + 26 * HOUR

    async def exchange(request: Request) -> Response:
        if held_clock.now < back:
            raise ExchangeFailed("no connection", reached=False)
        return await sandbox.exchange(request)

    sleeps = 0

    async def sleep(seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        held_clock.now += min(seconds, 60.0)
        await asyncio.sleep(0)

    clock = Clock(wall=lambda: held_clock.now, monotonic=lambda: held_clock.now, sleep=sleep)
    client = CallsClient("https://out", exchange=exchange, clock=clock)
    batcher = client.campaign(sandbox.token).batcher(journal=path, drain_seconds=1e9)
    async with batcher:
        put = [await batcher.put(contact(n)) for n in range(3)]
        outcome = await batcher.add(contact(3))
        assert outcome.status is OutcomeStatus.ACCEPTED
        while batcher.under_way:
            await asyncio.sleep(0)
    assert len(put) == 3
    assert phones(sandbox) == Counter(str(FIRST + n) for n in range(4))
    assert sandbox.key_conflicts == []


# --- nobody is lied to, and so called twice ---


@pytest.mark.parametrize("journal", [False, True])
async def test_who_was_called_is_not_told_otherwise(sandbox: InProcessSandbox, path: Path, journal: bool) -> None:
    async def slow(receipt: Receipt) -> None:
        await asyncio.sleep(0.5)

    campaign = sandbox.client(upload_retry=QUICK).campaign(sandbox.token)
    batcher = campaign.batcher(
        journal=path if journal else None,
        linger_seconds=0.001,
        chunk_rows=2,
        concurrency=4,
        on_receipt=slow,
        drain_seconds=0.1,
    )
    async with batcher:
        adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(100)]
        await asyncio.sleep(0.1)
    kept, gone = await promises_of(adds)
    assert not {str(FIRST + n) for n in gone} & phones(sandbox).keys()
    told = [task.result() for task in adds if task.exception() is None]
    assert {one.status for one in told} == {OutcomeStatus.ACCEPTED}
    assert len(told) + len(kept) + len(gone) == 100
    assert len(told) >= 20
    if not journal:
        assert {one.phone for one in told} == phones(sandbox).keys()


async def test_an_error_of_on_receipt_is_not_told_to_who_was_called(
    campaign: Campaign, sandbox: InProcessSandbox
) -> None:
    def fail(receipt: Receipt) -> None:
        raise RuntimeError("the database is away")

    adds = []
    with pytest.raises(RuntimeError, match="away"):
        async with campaign.batcher(linger_seconds=0.001, chunk_rows=2, on_receipt=fail) as batcher:
            adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(40)]
            await asyncio.wait(adds)
    told = [task.result() for task in adds if task.exception() is None]
    assert phones(sandbox).keys() <= {one.phone for one in told}
    assert {one.phone for one in told if one.status is OutcomeStatus.ACCEPTED} <= phones(sandbox).keys()
    assert batcher.remaining.not_sent == 40 - len(told)


async def test_who_was_told_to_be_rejected_is_not_called_later(
    sandbox: InProcessSandbox, campaign: Campaign, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = sandbox.api.handle
    monkeypatch.setattr(sandbox.api, "handle", lambda call: Reply.error(400, "not now"))
    receipts: list[Receipt] = []
    with pytest.raises(TooManyRefusalsError):
        async with campaign.batcher(
            journal=path, linger_seconds=0.001, max_refusals=3, on_receipt=receipts.append
        ) as batcher:
            outcomes = [await batcher.add(contact(n)) for n in range(3)]
            await batcher.put(contact(3))
            await until(lambda: batcher.error)
    assert [one.status for one in outcomes] == ["rejected"] * 3
    monkeypatch.setattr(sandbox.api, "handle", handle)
    async with campaign.batcher(journal=path, on_receipt=receipts.append):
        pass
    told = [(one.phone, one.status) for receipt in receipts for one in receipt.outcomes()]
    assert len(told) == len(set(told)) == 4
    assert phones(sandbox).keys() <= {str(FIRST + 3)}


async def test_wrong_access_is_told_as_what_it_is(sandbox: InProcessSandbox, path: Path) -> None:
    """Not as a rejection of the contact, and not as a journal that is closed."""
    wrong = sandbox.client().campaign("mistyped")
    with pytest.raises(AccessError):
        async with wrong.batcher(linger_seconds=0.001) as batcher:
            outcomes = await asyncio.gather(*(batcher.add(contact(n)) for n in range(3)))
            assert {outcome.status for outcome in outcomes} == {OutcomeStatus.UNKNOWN}  # they were sent
            with pytest.raises(AccessError):
                await batcher.add(contact(3))
    with pytest.raises(AccessError):
        async with wrong.batcher(linger_seconds=0.001, chunk_rows=10, journal=path) as batcher:
            for number in range(300):
                try:
                    await batcher.put(contact(number))
                except AccessError:
                    break
            else:
                raise AssertionError("it was never told")
    assert isinstance(batcher.error, AccessError)
    assert batcher.remaining.kept == number


# --- idempotence keys of put ---


async def test_a_clock_that_jumps_does_not_make_keys_old(sandbox: InProcessSandbox, path: Path) -> None:
    wall = 1_800_000_000.0
    clock = Clock(wall=lambda: wall)
    campaign = sandbox.client(clock=clock).campaign(sandbox.token)
    async with campaign.batcher(journal=path, linger_seconds=0.001) as batcher:
        first = await batcher.put(contact(1), idempotence_key="k")
        await until(lambda: not batcher.under_way)
        wall += 10 * 86_400
        batcher._forget_at = 0.0
        await batcher.put(contact(2))
        await until(lambda: not batcher.under_way)
        wall -= 10 * 86_400
        assert await batcher.put(contact(1), idempotence_key="k") == first
    assert phones(sandbox) == {str(FIRST + 1): 1, str(FIRST + 2): 1}


async def test_what_is_under_way_or_unknown_or_untold_is_not_forgotten(path: Path) -> None:
    now = 1_800_000_000.0
    sandbox = InProcessSandbox(clock=SandboxClock(lambda: now))
    clock = Clock(wall=lambda: now, monotonic=lambda: now)
    strict = RetryPolicy(max_attempts=2, backoff_seconds=0.001)
    campaign = sandbox.client(clock=clock, upload_retry=strict).campaign(sandbox.token)

    def fail(receipt: Receipt) -> None:
        if "7" in str(receipt.phones[0])[-1]:
            raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError):
        async with campaign.batcher(journal=path, chunk_rows=1, on_receipt=fail) as batcher:
            sandbox.fail_next(FaultKind.SERVER_ERROR_AFTER, times=2)
            assert (await batcher.add(contact(0))).status is OutcomeStatus.UNKNOWN
            for number in range(1, 4):
                await batcher.add(contact(number))
            await batcher.put(contact(7), idempotence_key="seven")
            await until(lambda: batcher.error)
    now += 10 * 86_400
    receipts: list[Receipt] = []
    async with campaign.batcher(journal=path, chunk_rows=1, on_receipt=receipts.append) as batcher:
        await batcher.add(contact(8))
        await until(lambda: _numbers(path) != [1, 2, 3, 4, 5, 6])
        assert batcher.under_way == 0
    # The unknown row, and the last: no number may be given again.
    assert _numbers(path) == [1, 6] or _numbers(path) == [1, 5, 6]
    assert {str(receipt.phones[0]) for receipt in receipts} == {str(FIRST + 7), str(FIRST + 8)}


def _numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
        return [number for (number,) in journal.execute("SELECT number FROM chunk ORDER BY number")]


async def test_a_cancelled_put_stays_away_after_a_restart(
    campaign: Campaign, sandbox: InProcessSandbox, path: Path
) -> None:
    with pytest.raises(RuntimeError):
        async with campaign.batcher(journal=path, linger_seconds=600) as batcher:
            putting = asyncio.create_task(batcher.put(contact(1), idempotence_key="k"))
            await asyncio.sleep(0)
            putting.cancel()
            await asyncio.wait([putting])
            assert batcher.under_way == 0
            adding = asyncio.create_task(batcher.add(contact(2)))
            await asyncio.sleep(0.01)
            adding.cancel()
            await asyncio.wait([adding])
            assert batcher.under_way == 0
            raise RuntimeError("it dies")
    assert not batcher.remaining
    async with campaign.batcher(journal=path):
        pass
    assert sandbox.jobs == []


async def test_the_order_of_a_payload_does_not_count(campaign: Campaign, path: Path) -> None:
    async with campaign.batcher(journal=path, linger_seconds=0.001) as batcher:
        first = await batcher.put(contact(1, a=1, b=2), idempotence_key="k")
        assert await batcher.put(contact(1, b=2, a=1), idempotence_key="k") == first
        for key in ("", " ", "k ", "\tk"):  # C-IDEM-3: a header has none at its ends
            with pytest.raises(ContactError, match="is empty, or begins or ends with a space"):
                await batcher.put(contact(1), idempotence_key=key)
