"""The batcher: single adds from many tasks in chunks, each with its own outcome, none lost and none twice."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest

from calls_async import (
    AccessError,
    BatcherClosedError,
    BatcherFullError,
    CallsClient,
    Campaign,
    ChunkDone,
    ConfigurationError,
    Contact,
    Event,
    Outcome,
    OutcomeStatus,
    Receipt,
    UnreachableError,
)
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal.overview import set_host
from tests.helpers.batching import FIRST, contact, settle, stopped
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

# --- adding ---


async def test_everybody_gets_the_outcome_of_their_own_contact(campaign: Campaign, sandbox: Sandbox) -> None:
    # C-M-1, C-M-19
    async with campaign.batcher(linger_seconds=0.01, chunk_rows=50) as batcher:
        outcomes = await asyncio.gather(*(batcher.add(contact(n)) for n in range(1020)))
    jobs = {job.id: job.phone for job in sandbox.jobs}
    assert len(jobs) == 1020
    for number, outcome in enumerate(outcomes):
        assert outcome.status is OutcomeStatus.ACCEPTED
        assert outcome.phone == str(FIRST + number) == jobs.pop(outcome.job_id or "")
    assert len(sandbox.calls) == 21
    assert batcher.summary.accepted == 1020
    assert not batcher.remaining
    assert batcher.under_way == batcher.waiting == 0


async def test_a_chunk_is_sealed_when_it_is_full_or_old(sandbox: Sandbox, held_clock: HeldClock) -> None:
    clock, go_on = stopped(held_clock)
    client = CallsClient(sandbox.url, clock=clock)
    async with client, client.campaign(sandbox.token).batcher(linger_seconds=5, chunk_rows=3) as batcher:
        full = [asyncio.create_task(batcher.add(contact(n))) for n in range(3)]
        assert [one.status for one in await asyncio.gather(*full)] == ["accepted"] * 3
        late = [asyncio.create_task(batcher.add(contact(n))) for n in range(3, 5)]
        await settle()
        assert batcher.waiting == 2
        assert len(sandbox.jobs) == 3
        go_on.set()
        assert [one.status for one in await asyncio.gather(*late)] == ["accepted"] * 2
    assert len(sandbox.calls) == 2


async def test_a_bad_contact_is_an_outcome_and_costs_nobody_else_anything(campaign: Campaign) -> None:
    async with campaign.batcher(linger_seconds=0.01) as batcher:
        good, bad, worse = await asyncio.gather(
            batcher.add(contact(1)),
            batcher.add({"phone": "nonsense"}),
            batcher.add(5),  # type: ignore[arg-type]
        )
    assert good.status is OutcomeStatus.ACCEPTED
    assert bad.status is worse.status is OutcomeStatus.REJECTED
    assert "phone" in (bad.error or "")
    assert "give a Contact" in (worse.error or "")


async def test_refused_contacts_are_isolated(client: CallsClient, sandbox: Sandbox) -> None:
    # The server refuses these itself; the library lets them through.
    async with client.campaign(sandbox.token).batcher(linger_seconds=0.01) as batcher:
        first = [batcher.add(contact(n)) for n in range(30)]
        odd = batcher.add(Contact(phone=FIRST + 99, allowed_time={"default": []}, payload={"a": 1}))
        outcomes = await asyncio.gather(*first, odd)
    assert {one.status for one in outcomes} == {OutcomeStatus.ACCEPTED}


async def test_isolation_of_duplicates_that_are_errors() -> None:  # C-DUP-2
    async with Sandbox(duplicates=DuplicateRule.ERROR) as sandbox, CallsClient(sandbox.url) as client:
        async with client.campaign(sandbox.token).batcher(linger_seconds=0.01) as batcher:
            await batcher.add(contact(0))
            outcomes = await asyncio.gather(*(batcher.add(contact(n)) for n in range(20)))
        assert [one.status for one in outcomes] == ["duplicate"] + ["accepted"] * 19
        assert sandbox.key_conflicts == []


async def test_trouble_neither_loses_nor_doubles(tmp_path: Path) -> None:  # C-IDEM-1, C-IDEM-2, C-IDEM-8
    shares = {FaultKind.RESET_AFTER: 0.2, FaultKind.SERVER_ERROR_AFTER: 0.1, FaultKind.UNAVAILABLE: 0.1}
    faults = Faults(shares=shares, seed=3)
    async with Sandbox(duplicates=DuplicateRule.OFF, faults=faults) as sandbox:
        async with CallsClient(sandbox.url, upload_retry=QUICK) as client:
            batcher = client.campaign(sandbox.token).batcher(
                linger_seconds=0.001, chunk_rows=7, journal=tmp_path / "j", durability="process"
            )
            async with batcher:
                outcomes = await asyncio.gather(*(batcher.add(contact(n)) for n in range(300)))
        assert {one.status for one in outcomes} == {OutcomeStatus.ACCEPTED}
        assert Counter(job.phone for job in sandbox.jobs) == Counter(str(FIRST + n) for n in range(300))
        assert sandbox.key_conflicts == []


async def test_events_are_those_of_an_upload(campaign: Campaign) -> None:
    events: list[Event] = []
    async with campaign.batcher(linger_seconds=0.001, on_event=events.append) as batcher:
        await batcher.add(contact(1))
    done = [event for event in events if isinstance(event, ChunkDone)]
    assert [event.accepted for event in done] == [1]


async def test_excluded_numbers(campaign: Campaign, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "dnc.txt").write_text(f"{FIRST}\n")
    async with campaign.batcher(linger_seconds=0.001, exclude=[tmp_path / "dnc.txt"]) as batcher:
        outcome = await batcher.add(contact(0))
    assert outcome.status is OutcomeStatus.REJECTED
    assert "excluded by" in (outcome.error or "")
    assert sandbox.jobs == []
    with pytest.raises(Exception, match=r"nowhere\.txt"):
        async with campaign.batcher(exclude=[tmp_path / "nowhere.txt"]):
            raise AssertionError("it must not be entered")


# --- bounds and cancellation ---


def stuck(sandbox: Sandbox) -> None:
    """The server takes everything, and answers nothing for a long time."""
    sandbox.faults.delay_seconds = 30
    sandbox.faults.shares = {FaultKind.DELAY_AFTER: 1.0}


async def test_the_buffer_is_bounded(sandbox: Sandbox, held_clock: HeldClock) -> None:
    clock, go_on = stopped(held_clock)
    client = CallsClient(sandbox.url, clock=clock)
    async with client, client.campaign(sandbox.token).batcher(buffer_rows=5, chunk_rows=100) as batcher:
        adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(20)]
        await settle()
        assert batcher.waiting == 5
        with pytest.raises(BatcherFullError, match="buffer_rows"):
            await batcher.add(contact(50), nowait=True)
        adds[7].cancel()  # waits for room
        adds[2].cancel()  # waits for its chunk
        await settle()
        assert batcher.waiting == 5
        go_on.set()
        outcomes = await asyncio.gather(*adds, return_exceptions=True)
    left = set(range(20)) - {2, 7}
    assert {number for number, one in enumerate(outcomes) if isinstance(one, Outcome)} == left
    assert Counter(job.phone for job in sandbox.jobs) == Counter(str(FIRST + n) for n in left)


async def test_who_is_cancelled_after_the_seal_is_called_all_the_same(
    campaign: Campaign, sandbox: Sandbox, path: Path
) -> None:
    receipts: list[Receipt] = []
    sandbox.faults.delay_seconds = 0.1
    sandbox.fail_next(FaultKind.DELAY_AFTER)
    async with campaign.batcher(chunk_rows=2, journal=path, on_receipt=receipts.append) as batcher:
        adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(2)]
        while not sandbox.jobs:
            await asyncio.sleep(0.001)
        adds[0].cancel()
        assert (await adds[1]).status is OutcomeStatus.ACCEPTED
        assert adds[0].cancelled()
    assert len(sandbox.jobs) == 2
    assert [one.status for receipt in receipts for one in receipt.outcomes()] == ["accepted"] * 2
    assert not batcher.remaining


async def test_a_batcher_that_is_not_running_says_so(campaign: Campaign) -> None:
    batcher = campaign.batcher()
    with pytest.raises(ConfigurationError, match="async with"):
        await batcher.add(contact(1))
    async with batcher:
        pass
    with pytest.raises(BatcherClosedError, match="not sent"):
        await batcher.add(contact(1))


@pytest.mark.parametrize(
    "settings",
    [
        {"linger_seconds": 0},
        {"buffer_rows": 0},
        {"drain_seconds": -1},
        {"keep_seconds": 3600},
        {"keep_seconds": "long"},
        {"chunk_rows": 0},
        {"durability": "none", "journal": "j"},
        {"region": "XX"},
        {"on_receipt": 5},
    ],
)
async def test_bad_settings_are_refused_at_once(campaign: Campaign, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        campaign.batcher(**settings)


# --- closing ---


async def test_closing_drains(campaign: Campaign, sandbox: Sandbox) -> None:
    async with campaign.batcher(linger_seconds=600) as batcher:
        adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(10)]
        await settle()
    assert [one.status for one in await asyncio.gather(*adds)] == ["accepted"] * 10
    assert len(sandbox.jobs) == 10


async def test_closing_says_what_remains_without_a_journal(
    campaign: Campaign, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    stuck(sandbox)
    with caplog.at_level(logging.WARNING, "calls_async"):
        async with campaign.batcher(linger_seconds=0.001, chunk_rows=2, concurrency=1, drain_seconds=0.1) as batcher:
            adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(40)]
            while not sandbox.jobs:
                await asyncio.sleep(0.001)
    found = await asyncio.gather(*adds, return_exceptions=True)
    unknown = [one for one in found if isinstance(one, Outcome)]
    closed = [one for one in found if isinstance(one, BatcherClosedError)]
    assert {one.status for one in unknown} == {OutcomeStatus.UNKNOWN}
    assert {one.phone for one in unknown} == {job.phone for job in sandbox.jobs}
    assert len(unknown) + len(closed) == 40
    assert not any(one.kept for one in closed)
    assert attrs.astuple(batcher.remaining) == (0, len(closed), len(unknown))
    assert "were not sent" in caplog.text
    assert str(FIRST) not in caplog.text


async def test_closing_says_what_remains_with_a_journal(client: CallsClient, sandbox: Sandbox, path: Path) -> None:
    campaign = client.campaign(sandbox.token)
    stuck(sandbox)
    async with campaign.batcher(
        linger_seconds=0.001, chunk_rows=2, concurrency=1, drain_seconds=0.1, journal=path, durability="process"
    ) as batcher:
        for number in range(40):
            await batcher.put(contact(number))
        while not sandbox.jobs:
            await asyncio.sleep(0.001)
        adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(40, 60)]
        await settle()
    found = await asyncio.gather(*adds, return_exceptions=True)
    gone = {40 + index for index, one in enumerate(found) if isinstance(one, BatcherClosedError) and not one.kept}
    assert all(isinstance(one, BatcherClosedError) for one in found)
    assert attrs.astuple(batcher.remaining) == (60 - len(gone), len(gone), 0)
    sandbox.faults.shares = {}
    receipts: list[Receipt] = []
    async with campaign.batcher(journal=path, on_receipt=receipts.append) as again:
        assert again.under_way == 60 - len(gone)
    assert again.under_way == 0
    phones = Counter(job.phone for job in sandbox.jobs)
    assert phones == Counter(str(FIRST + n) for n in range(60) if n not in gone)
    assert sum(receipt.counts().total() for receipt in receipts) == 60 - len(gone)


async def test_an_error_in_the_block_stops_at_once(campaign: Campaign, sandbox: Sandbox) -> None:
    stuck(sandbox)
    adds = []
    with pytest.raises(RuntimeError, match="the service dies"):
        async with campaign.batcher(linger_seconds=0.001) as batcher:
            adds = [asyncio.create_task(batcher.add(contact(n))) for n in range(3)]
            while not sandbox.jobs:
                await asyncio.sleep(0.001)
            raise RuntimeError("the service dies")
    assert [one.status for one in await asyncio.gather(*adds)] == ["unknown"] * 3


async def test_what_concerns_every_request_ends_it(sandbox: Sandbox, client: CallsClient) -> None:
    with pytest.raises(AccessError):
        async with client.campaign("wrong-token").batcher(linger_seconds=0.001) as batcher:
            first = await batcher.add(contact(1))
            assert first.status is OutcomeStatus.UNKNOWN  # a 404 proves nothing, and is no word about the contact
            assert "404" in (first.error or "")
            errors = await asyncio.gather(*(batcher.add(contact(n)) for n in (2, 3)), return_exceptions=True)
            assert {type(error) for error in errors} == {AccessError}
            assert errors[0] is not errors[1]
            assert "wrong-token" not in f"{first} {errors}"


async def test_a_server_that_was_never_reached(path: Path, sandbox: Sandbox) -> None:
    """Without a journal it is told soon; what was put waits for it."""
    quick = attrs.evolve(QUICK, unreachable_seconds=0.05)
    async with CallsClient("http://127.0.0.1:9", upload_retry=quick) as client:
        with pytest.raises(UnreachableError):
            async with client.campaign(sandbox.token).batcher(linger_seconds=0.001) as batcher:
                assert (await batcher.add(contact(1))).status is OutcomeStatus.REJECTED
                with pytest.raises(UnreachableError):
                    await batcher.add(contact(1))
        async with client.campaign(sandbox.token).batcher(
            linger_seconds=0.001, journal=path, drain_seconds=0.2
        ) as patient:
            await patient.put(contact(1))
            await asyncio.sleep(0.1)
    assert patient.remaining.kept == 1
    set_host(path, sandbox.url)
    async with CallsClient(sandbox.url) as client, client.campaign(sandbox.token).batcher(journal=path):
        pass
    assert [job.phone for job in sandbox.jobs] == [str(FIRST + 1)]


# --- receipts ---


async def test_receipts_may_be_awaited(campaign: Campaign, path: Path) -> None:
    seen: list[int] = []

    async def write(receipt: Receipt) -> None:
        await asyncio.sleep(0)
        seen.extend(outcome.row for outcome in receipt.outcomes())

    async with campaign.batcher(linger_seconds=0.001, journal=path, on_receipt=write) as batcher:
        rows = [await batcher.put(contact(n)) for n in range(5)]
    assert sorted(seen) == rows == [1, 2, 3, 4, 5]


async def test_a_receipt_that_was_not_taken_comes_again(campaign: Campaign, sandbox: Sandbox, path: Path) -> None:
    def fail(receipt: Receipt) -> None:
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError, match="away"):
        async with campaign.batcher(linger_seconds=0.001, journal=path, on_receipt=fail) as batcher:
            await batcher.put(contact(1))
            while batcher.under_way:
                await asyncio.sleep(0.001)
            await settle()
            with pytest.raises(RuntimeError, match="away"):
                await batcher.add(contact(2))
    again: list[Receipt] = []
    async with campaign.batcher(linger_seconds=0.001, journal=path, on_receipt=again.append) as batcher:
        assert batcher.under_way == 0
    assert [(one.replayed, one.rows) for one in again] == [(True, range(1, 2))]
    async with campaign.batcher(linger_seconds=0.001, journal=path, on_receipt=again.append):
        pass
    assert len(again) == 1
    assert len(sandbox.jobs) == 1
