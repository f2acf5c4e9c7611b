"""The pipeline against the sandbox, over real sockets."""

from __future__ import annotations

import asyncio
import json
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
    JournalRefusedError,
    OutcomeStatus,
    Receipt,
    RetryPolicy,
    UnreachableError,
)
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.asserts import assert_each_once, only_this_task, outcomes_of
from tests.helpers.clock import HeldClock
from tests.helpers.contacts import contacts
from tests.helpers.servers import QUICK


async def test_every_contact_arrives_once(sandbox: Sandbox, client: CallsClient) -> None:  # C-M-1, C-M-16, C-M-19
    upload = client.campaign(sandbox.token).upload(contacts(1234), chunk_rows=100, concurrency=4)
    outcomes = await outcomes_of(upload)
    assert_each_once(sandbox, outcomes)
    assert sandbox.contacts == [{"phone": c.phone, "payload": c.payload} for c in contacts(1234)] or Counter(
        job.phone for job in sandbox.jobs
    ) == Counter(c.phone for c in contacts(1234))
    summary = upload.summary
    assert (summary.rows, summary.accepted, summary.requests, summary.retries) == (1234, 1234, 13, 0)
    assert {len(json.loads(call.body)) for call in sandbox.calls} == {100, 34}


AFTER = [kind for kind in FaultKind if kind.value.endswith("after")]


@pytest.mark.parametrize("kind", list(FaultKind))
async def test_each_fault_alone(kind: FaultKind) -> None:  # C-IDEM-1, C-ERR-1
    faults = Faults(shares={kind: 0.3}, seed=5, delay_seconds=0.01, retry_after_seconds=0)
    async with Sandbox(faults=faults) as sandbox, CallsClient(sandbox.url, upload_retry=QUICK) as client:
        upload = client.campaign(sandbox.token).upload(contacts(300), chunk_rows=10)
        assert_each_once(sandbox, await outcomes_of(upload))
        assert upload.summary.accepted == 300
        if kind not in (FaultKind.DELAY_AFTER, FaultKind.SLOW_BODY_AFTER):
            assert upload.summary.retries > 0
            assert upload.summary.requests == 30 + upload.summary.retries


async def test_a_third_of_the_answers_is_lost() -> None:  # C-IDEM-1, C-IDEM-2
    faults = Faults(shares=dict.fromkeys(AFTER, 0.3 / len(AFTER)), delay_seconds=0.01)
    async with Sandbox(faults=faults) as sandbox, CallsClient(sandbox.url, upload_retry=QUICK) as client:
        upload = client.campaign(sandbox.token).upload(contacts(20_000), chunk_rows=100)
        assert_each_once(sandbox, await outcomes_of(upload))
        assert upload.summary.accepted == 20_000


async def test_bad_rows_are_outcomes(sandbox: Sandbox, client: CallsClient) -> None:
    source: list[dict[str, Any]] = [
        {"phone": "16500000000"},
        {"phone": "x"},
        {"phone": "16500000002", "gmtZone": "x"},
        {"phone": 16500000003},
    ]
    upload = client.campaign(sandbox.token).upload(source, chunk_rows=2)
    outcomes = sorted(await outcomes_of(upload), key=lambda outcome: outcome.row)
    assert [str(outcome.status) for outcome in outcomes] == ["accepted", "rejected", "rejected", "accepted"]
    assert outcomes[1].error is not None
    assert outcomes[1].error.startswith("phone: ")
    assert outcomes[1].phone == "x"
    assert_each_once(sandbox, outcomes)


async def test_nothing_but_bad_rows(sandbox: Sandbox, client: CallsClient) -> None:
    upload = client.campaign(sandbox.token).upload([{}] * 1000, chunk_rows=10)
    assert len(await outcomes_of(upload)) == 1000
    assert (upload.summary.rejected, upload.summary.requests) == (1000, 0)


async def test_nothing_at_all(sandbox: Sandbox, client: CallsClient) -> None:
    summary = await client.campaign(sandbox.token).upload([]).run()
    assert (summary.rows, summary.requests) == (0, 0)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
async def test_a_file(sandbox: Sandbox, client: CallsClient, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"list{suffix}"
    if suffix == ".csv":
        path.write_text("phone,n\n" + "".join(f"{c.phone},{c.payload['n']}\n" for c in contacts(5000)))
    else:
        path.write_bytes(b"\n".join(c.to_bytes() for c in contacts(5000)))
    upload = client.campaign(sandbox.token).upload(path)
    outcomes = await outcomes_of(upload)
    assert_each_once(sandbox, outcomes)
    assert {outcome.row: outcome.phone for outcome in outcomes} == {n + 1: str(16500000000 + n) for n in range(5000)}


async def test_the_same_again_is_a_duplicate(sandbox: Sandbox, client: CallsClient) -> None:  # C-DUP-1
    campaign = client.campaign(sandbox.token)
    await campaign.upload(contacts(50), chunk_rows=20).run()
    outcomes = await outcomes_of(campaign.upload(contacts(60), chunk_rows=20))
    statuses = Counter(outcome.status for outcome in outcomes)
    assert statuses == {OutcomeStatus.DUPLICATE: 50, OutcomeStatus.ACCEPTED: 10}
    assert all((outcome.job_id is None) is (outcome.row <= 50) for outcome in outcomes)
    assert len(sandbox.jobs) == 60
    sandbox.advance(hours=24.1)
    summary = await campaign.upload(contacts(50)).run()
    assert summary.accepted == 50


async def test_a_duplicate_that_is_refused_is_found() -> None:  # C-DUP-2, C-ERR-1
    async with Sandbox(duplicates=DuplicateRule.ERROR) as sandbox, CallsClient(sandbox.url) as client:
        campaign = client.campaign(sandbox.token)
        await campaign.upload(contacts(5)).run()
        outcomes = await outcomes_of(campaign.upload(contacts(10), chunk_rows=5))
    assert [str(o.status) for o in sorted(outcomes, key=lambda o: o.row)] == ["duplicate"] * 5 + ["accepted"] * 5
    assert {o.error for o in outcomes if "duplicate phone at index 0" not in str(o.error)} == {None}


async def test_no_certain_answer_is_unknown(sandbox: Sandbox) -> None:
    policy = RetryPolicy(max_attempts=2, backoff_seconds=0.001)
    async with CallsClient(sandbox.url, upload_retry=policy) as client:
        sandbox.fail_next("500-after", 2)
        upload = client.campaign(sandbox.token).upload(contacts(20), chunk_rows=10, concurrency=1)
        outcomes = await outcomes_of(upload)
    assert Counter(str(o.status) for o in outcomes) == {"unknown": 10, "accepted": 10}
    assert all("no certain answer in 2 attempts" in str(o.error) for o in outcomes if o.row <= 10)
    assert len(sandbox.jobs) == 20


async def test_the_keys_day_ends_retries(held_clock: HeldClock) -> None:  # C-IDEM-7
    faults = Faults(shares={FaultKind.RESET_AFTER: 1.0})
    policy = RetryPolicy(max_attempts=None, give_up_seconds=1e9, backoff_seconds=3600, backoff_max_seconds=3600)
    started = held_clock.now
    async with (
        Sandbox(faults=faults, clock=Clock(lambda: held_clock.now)) as sandbox,
        CallsClient(sandbox.url, upload_retry=policy, clock=held_clock.clock()) as client,
    ):
        summary = await client.campaign(sandbox.token).upload(contacts(3), max_outage_seconds=1e9).run()
        assert summary.unknown == 3
        assert len(sandbox.jobs) == 3
    assert 20 * 3600 < held_clock.now - started < 23 * 3600


async def test_a_wrong_token_stops_at_once(sandbox: Sandbox, client: CallsClient) -> None:
    drawn = 0

    def counting() -> Iterator[Contact]:
        nonlocal drawn
        for contact in contacts(1_000_000):
            drawn += 1
            yield contact

    with pytest.raises(AccessError, match="404"):
        await client.campaign("wrong").upload(counting()).run()
    assert drawn < 50_000
    assert only_this_task()


async def test_an_unreachable_host_stops() -> None:
    policy = RetryPolicy(max_attempts=None, unreachable_seconds=0.05, backoff_seconds=0.01)
    async with CallsClient("http://127.0.0.1:9", upload_retry=policy) as client:
        with pytest.raises(UnreachableError):
            await client.campaign("t").upload(contacts(10)).run()


async def test_receipts_that_nobody_reads_hold_the_source_back(sandbox: Sandbox, client: CallsClient) -> None:
    drawn = 0

    def counting() -> Iterator[Contact]:
        nonlocal drawn
        for contact in contacts(1_000_000):
            drawn += 1
            yield contact

    async with client.campaign(sandbox.token).upload(counting(), chunk_rows=10, concurrency=2) as upload:
        await anext(upload)
        before = -1
        while drawn != before:  # until nothing moves any more
            before = drawn
            for _ in range(200):
                await asyncio.sleep(0)
        assert drawn < 2000


async def test_a_slow_source_is_flushed(sandbox: Sandbox, client: CallsClient) -> None:
    more = asyncio.Event()

    async def slow() -> AsyncIterator[Contact]:
        for contact in contacts(3):
            yield contact
        await more.wait()

    async with client.campaign(sandbox.token).upload(slow(), linger_seconds=0.01) as upload:
        receipt = await anext(upload)
        assert [outcome.row for outcome in receipt.outcomes()] == [1, 2, 3]
        more.set()


async def test_an_upload_keeps_its_rate(sandbox: Sandbox, held_clock: HeldClock) -> None:
    async with CallsClient(sandbox.url, clock=held_clock.clock()) as client:
        started = held_clock.now
        await client.campaign(sandbox.token).upload(contacts(1000), rate=100).run()
    assert 9.8 <= held_clock.now - started <= 10.2


async def test_a_report_that_fails_leaves_the_rows_unknown(sandbox: Sandbox, client: CallsClient) -> None:  # C-M-19
    answer = sandbox.api.handle

    def refusing(call: Any) -> Any:
        return type(answer(call)).error(404, "?") if call.path.endswith("getReport") else answer(call)

    sandbox.api.handle = refusing  # type: ignore[method-assign]
    outcomes = await outcomes_of(client.campaign(sandbox.token).upload([*contacts(9), *contacts(1)]))
    assert {str(outcome.status) for outcome in outcomes} == {"unknown"}
    assert all("10 rows were answered with 9 IDs" in str(outcome.error) for outcome in outcomes)


async def test_a_sync_source_leaves_the_event_loop_to_others(sandbox: Sandbox, client: CallsClient) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others(), name="others")
    await client.campaign(sandbox.token).upload(contacts(20_000), concurrency=1).run()
    task.cancel()
    assert turns > 40


async def test_a_low_rate_makes_small_chunks(sandbox: Sandbox, client: CallsClient) -> None:
    await client.campaign(sandbox.token).upload(contacts(30), rate=500).run()
    assert max(len(json.loads(call.body)) for call in sandbox.calls) <= 50


async def test_several_campaigns_share_a_client() -> None:  # C-IDEM-6
    async with Sandbox(tokens=["one", "two"]) as sandbox, CallsClient(sandbox.url) as client:
        await asyncio.gather(
            *(client.campaign(token).upload(contacts(500), chunk_rows=50).run() for token in ("one", "two"))
        )
        assert [len(campaign.jobs) for campaign in sandbox.account.campaigns.values()] == [500, 500]
        assert sandbox.key_conflicts == []


@pytest.mark.parametrize(
    "settings",
    [
        {"chunk_rows": 0},
        {"chunk_bytes": -1},
        {"concurrency": 0},
        {"rate": 0},
        {"concurrency": 1.5},
        {"linger_seconds": 0},
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        CallsClient("jaicp").campaign("t").upload([], **settings)


async def test_an_upload_runs_once(sandbox: Sandbox, client: CallsClient) -> None:
    upload = client.campaign(sandbox.token).upload(contacts(1))
    with pytest.raises(ConfigurationError, match="async with"):
        await anext(upload)
    await upload.run()
    with pytest.raises(ConfigurationError, match="once"):
        await upload.run()


async def test_a_receipt_tells_its_place(sandbox: Sandbox, client: CallsClient) -> None:
    receipts: list[Receipt] = []
    async with client.campaign(sandbox.token).upload(contacts(25), chunk_rows=10) as upload:
        receipts = sorted([receipt async for receipt in upload], key=lambda receipt: receipt.chunk)
    assert [(r.chunk, r.first_row, r.last_row) for r in receipts] == [(1, 1, 10), (2, 11, 20), (3, 21, 25)]
    assert "1650" not in repr(receipts)


async def test_receipts_in_lists(campaign: Campaign, tmp_path: Path) -> None:
    contacts = [{"phone": 16500000000 + n} for n in range(1000)]
    rows: list[int] = []
    sizes: list[int] = []
    async with campaign.upload(contacts, chunk_rows=10, journal=tmp_path / "journal") as upload:
        async for receipts in upload.batches():
            sizes.append(len(receipts))
            rows += [outcome.row for receipt in receipts for outcome in receipt.outcomes()]
            await asyncio.sleep(0.001)
    assert sorted(rows) == list(range(1, 1001))
    assert max(sizes) > 1
    assert upload.complete
    with pytest.raises(JournalRefusedError, match="finished"):
        await campaign.upload(contacts, journal=tmp_path / "journal").run()
