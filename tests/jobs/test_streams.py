"""Calls about any number of call jobs: reports, cancels, and watching the campaign."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from calls_async import (
    AccessError,
    Campaign,
    ConfigurationError,
    Event,
    JobsRefusedError,
    JobStatus,
    NoAnswerError,
    Outcome,
    OutcomeStatus,
    RetryPolicy,
    SourceError,
    Throttled,
)
from calls_async.sandbox.api import Call, Reply
from calls_async.sandbox.faults import FaultKind
from calls_async.testing import InProcessSandbox
from calls_async.upload.outcomes.results_file import to_csv, to_jsonl
from tests.helpers.contacts import FIRST
from tests.helpers.servers import QUICK


@pytest.fixture
async def filled() -> AsyncIterator[tuple[InProcessSandbox, Campaign, list[str]]]:
    """A sandbox with 2,300 jobs, its campaign, and their IDs."""
    sandbox = InProcessSandbox()
    async with sandbox.client(retry=QUICK, upload_retry=QUICK) as client:
        campaign = client.campaign(sandbox.token)
        yield sandbox, campaign, await campaign.add_phones([{"phone": FIRST + n} for n in range(2300)])


async def test_any_number_of_reports(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    # C-M-6, C-REP-3
    sandbox, campaign, ids = filled
    before = len(sandbox.calls)
    reports = [report async for report in campaign.stream_job_reports(iter(ids))]
    assert Counter(report.call_job_id for report in reports) == Counter(ids)
    assert {report.job_status for report in reports} == {JobStatus.PLANNED}
    assert 5 <= len(sandbox.calls) - before < 15  # a slow machine draws fewer at a time
    assert [one async for one in campaign.stream_attempt_reports(ids)] == []  # C-M-7
    assert [one async for one in campaign.stream_job_reports([])] == []


async def test_by_phone_and_by_id(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:  # C-REP-1
    _, campaign, ids = filled
    stream = campaign.stream_job_reports(map(int, ids[:10]), phones=[f"+{FIRST + 20}", FIRST + 21])
    assert [report.call_job_id async for report in stream] == [*ids[:10], ids[20], ids[21]]


async def test_an_async_iterable_that_is_slow_is_not_waited_for(
    filled: tuple[InProcessSandbox, Campaign, list[str]],
) -> None:
    _, campaign, ids = filled
    more = asyncio.Event()

    async def slowly() -> AsyncIterator[str]:
        yield ids[0]
        await more.wait()
        for one in ids[1:1000]:
            yield one

    seen = []
    async for report in campaign.stream_job_reports(slowly()):
        seen.append(report.call_job_id)
        more.set()
    assert seen == ids[:1000]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
async def test_a_results_file(
    filled: tuple[InProcessSandbox, Campaign, list[str]], tmp_path: Path, suffix: str
) -> None:
    sandbox, campaign, ids = filled
    path = tmp_path / f"results{suffix}"
    write = to_jsonl if suffix == ".jsonl" else to_csv
    head = b"" if suffix == ".jsonl" else b"row,phone,status,job_id,error\n"
    receipts = [receipt async for receipt in _receipts(campaign)]
    path.write_bytes(head + b"".join(map(write, receipts)))
    new = [job.id for job in sandbox.jobs[2300:]]
    assert [one.call_job_id async for one in campaign.stream_job_reports(path)] == new
    canceled = [one async for one in campaign.cancel_all(str(path))]  # C-M-5
    assert canceled == new
    assert [job.status for job in sandbox.jobs[2300:]] == ["canceled"] * 700
    assert {job.status for job in sandbox.jobs[:2300]} == {"planned"}
    assert ids[0] not in canceled


async def _receipts(campaign: Campaign) -> AsyncIterator[Any]:
    rows = [{"phone": FIRST + 5000 + n} for n in range(700)] + [{"phone": "bad"}]
    async with campaign.upload(rows) as upload:
        async for receipt in upload:
            yield receipt


async def test_outcomes_name_their_jobs(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    _, campaign, ids = filled
    outcomes = [
        Outcome(1, str(FIRST), OutcomeStatus.ACCEPTED, ids[0]),
        Outcome(2, str(FIRST + 7), OutcomeStatus.UNKNOWN),
        Outcome(3, str(FIRST + 8), OutcomeStatus.REJECTED),
    ]
    assert {one.call_job_id async for one in campaign.stream_job_reports(outcomes)} == {ids[0], ids[7]}


async def test_a_results_file_that_is_none(campaign: Campaign, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text('{"row": 1, "phone": "1", "status": "accepted", "job_id": "5"}\n{"a": 1}\n')
    with pytest.raises(SourceError, match=r"other\.jsonl, record 2: is not a line of a results file"):
        await anext(campaign.stream_job_reports(tmp_path / "other.jsonl"))
    with pytest.raises(SourceError, match="cannot be read"):
        await anext(campaign.stream_job_reports(tmp_path / "nothing.csv"))


@pytest.mark.parametrize("bad", [5, "5665330001", b"5665330001", None])
def test_what_names_nothing_is_refused_at_once(bad: Any) -> None:
    campaign = InProcessSandbox().client().campaign("token")
    with pytest.raises(ConfigurationError, match="list"):
        campaign.stream_job_reports(bad)
    with pytest.raises(ConfigurationError, match="list"):
        campaign.cancel_all(phones=bad)


@pytest.mark.parametrize("settings", [{"chunk_rows": 0}, {"concurrency": 0}])
def test_bad_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        InProcessSandbox().client().campaign("token").cancel_all([], **settings)


async def test_bad_names_cost_nobody_else_anything(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    _, campaign, ids = filled
    names: list[Any] = [*ids[:3], None, True, "  ", *ids[3:6]]
    seen = []
    with pytest.raises(JobsRefusedError, match=r"4 call jobs were refused: ids, item 4: None is no ID") as caught:
        async for report in campaign.stream_job_reports(names, phones=["12", FIRST + 10]):
            seen.append(report.call_job_id)
    assert seen == [*ids[:6], ids[10]]
    assert caught.value.refused == 4
    assert "phones, item 1" in str(caught.value)


async def test_what_the_server_refuses_is_isolated(
    filled: tuple[InProcessSandbox, Campaign, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, campaign, ids = filled
    refused = {ids[5], ids[777], ids[778]}
    handle = sandbox.api.handle

    def picky(call: Call) -> Reply:
        if call.path.endswith("cancel") and refused & set(json.loads(call.body)["ids"]):
            return Reply.error(400, "one of them is not mine")
        return handle(call)

    monkeypatch.setattr(sandbox.api, "handle", picky)
    canceled = []
    with pytest.raises(JobsRefusedError, match=r"3 call jobs.*item 6: refused with 400.*not mine"):
        async for job_id in campaign.cancel_all(ids):
            canceled.append(job_id)
    assert Counter(canceled) == Counter(set(ids) - refused)
    assert sandbox.key_conflicts == []  # C-IDEM-8


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER, FaultKind.UNAVAILABLE, FaultKind.GARBAGE_AFTER])
async def test_faults_are_retried_under_the_same_key(
    filled: tuple[InProcessSandbox, Campaign, list[str]], kind: FaultKind
) -> None:
    # C-IDEM-1: what was canceled by the request whose answer was lost is in the answer to its repetition.
    sandbox, campaign, ids = filled
    sandbox.faults.shares = {kind: 0.4}
    events: list[Event] = []
    canceled = [one async for one in campaign.cancel_all(ids, chunk_rows=50, on_event=events.append)]
    assert Counter(canceled) == Counter(ids)
    assert any(isinstance(event, Throttled) for event in events) == (kind is FaultKind.UNAVAILABLE)


async def test_what_concerns_every_request_surfaces(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    sandbox, _, ids = filled
    async with sandbox.client() as client:
        with pytest.raises(AccessError):
            await anext(client.campaign("another").stream_job_reports(ids))
    async with sandbox.client(upload_retry=RetryPolicy(max_attempts=2, backoff_seconds=0.001)) as client:
        sandbox.faults.shares = {FaultKind.SERVER_ERROR_AFTER: 1.0}
        with pytest.raises(NoAnswerError):
            await anext(client.campaign(sandbox.token).cancel_all(ids))


async def test_memory_is_bounded_and_an_early_end_leaves_nothing(
    filled: tuple[InProcessSandbox, Campaign, list[str]],
) -> None:
    sandbox, campaign, ids = filled
    drawn = 0

    def forever() -> Iterator[str]:
        nonlocal drawn
        while True:
            drawn += 1
            yield ids[drawn % len(ids)]

    before = asyncio.all_tasks()
    stream = campaign.stream_job_reports(forever(), chunk_rows=10, concurrency=2)
    async with aclosing(stream):
        async for _ in stream:
            if sandbox.calls and drawn:
                break
    assert asyncio.all_tasks() == before
    assert drawn <= 1500
    async for _ in campaign.stream_job_reports(ids):
        break


async def test_the_source_s_error_surfaces(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    _, campaign, ids = filled

    def failing() -> Iterator[str]:
        yield from ids[:30]
        raise RuntimeError("the database is away")

    seen = []
    with pytest.raises(RuntimeError, match="away"):
        async for report in campaign.stream_job_reports(failing()):
            seen.append(report.call_job_id)
    assert len(seen) <= 30


async def test_lists_of_answers(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    _, campaign, ids = filled
    sizes = [len(batch) async for batch in campaign.stream_job_reports(ids, chunk_rows=1000).batches()]
    assert sum(sizes) == 2300
    assert max(sizes) > 400


# --- failures in the middle ---


async def test_what_was_read_before_the_source_failed_is_answered(
    filled: tuple[InProcessSandbox, Campaign, list[str]], tmp_path: Path
) -> None:
    sandbox, campaign, ids = filled

    def failing() -> Iterator[str]:
        yield from ids[:1400]
        raise RuntimeError("the database is away")

    canceled = []
    with pytest.raises(RuntimeError, match="away"):
        async for one in campaign.cancel_all(failing()):
            canceled.append(one)
    assert Counter(canceled) == Counter(ids[:1400])
    assert sum(job.status == "canceled" for job in sandbox.jobs) == 1400
    path = tmp_path / "results.jsonl"
    line = '{"row": 1, "phone": "1", "status": "accepted", "job_id": "%s"}\n'
    path.write_text("".join(line % job_id for job_id in ids[1400:2000]) + "oops\n")
    with pytest.raises(SourceError, match="record 601"):
        async for one in campaign.cancel_all(path):
            canceled.append(one)
    assert Counter(canceled) == Counter(ids[:2000])


async def test_what_was_done_is_told_before_the_failure(
    filled: tuple[InProcessSandbox, Campaign, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, campaign, ids = filled
    handle, cancels = sandbox.api.handle, 0

    def closing(call: Call) -> Reply:
        nonlocal cancels
        cancels += 1
        return handle(call) if cancels < 6 else Reply.error(401, "the token is not good any more")

    monkeypatch.setattr(sandbox.api, "handle", closing)
    canceled = []
    with pytest.raises(AccessError):
        async for one in campaign.cancel_all(ids, chunk_rows=50, concurrency=4):
            canceled.append(one)
    assert len(canceled) == sum(job.status == "canceled" for job in sandbox.jobs) == 250
    assert cancels < 15


async def test_a_reader_that_is_cancelled_may_read_on(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    _, campaign, ids = filled
    go_on = asyncio.Event()

    async def slowly() -> AsyncIterator[str]:
        yield ids[0]
        await go_on.wait()
        yield ids[1]

    async with campaign.stream_job_reports(slowly()) as stream:
        assert (await anext(stream)).call_job_id == ids[0]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(stream)
        go_on.set()
        assert (await anext(stream)).call_job_id == ids[1]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_lists_begin_with_what_is_left(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    _, campaign, ids = filled
    stream = campaign.stream_job_reports(ids[:1000], chunk_rows=100)
    first = await anext(stream)
    rest = []
    async for batch in stream.batches():
        rest += batch
    assert Counter(one.call_job_id for one in [first, *rest]) == Counter(ids[:1000])


def test_leaving_early_is_quiet() -> None:
    program = """
import asyncio
from calls_async.testing import InProcessSandbox

async def main():
    sandbox = InProcessSandbox()
    async with sandbox.client() as client:
        campaign = client.campaign(sandbox.token)
        ids = await campaign.add_phones([{"phone": 16500000000 + n} for n in range(3000)])
        async for _ in campaign.stream_job_reports(ids):
            break
        async for _ in campaign.cancel_all(iter(ids)):
            break
        try:
            async for _ in campaign.stream_job_reports(ids):
                raise ValueError
        except ValueError:
            pass
        kept = campaign.stream_job_reports(ids)
        await anext(kept)
        reading = asyncio.create_task(anext(campaign.stream_job_reports(ids)))
        await asyncio.sleep(0)
        reading.cancel()
        return kept

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_names_that_cannot_travel(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    _, campaign, ids = filled
    with pytest.raises(JobsRefusedError, match="2 call jobs"):
        async for report in campaign.stream_job_reports([ids[0], "\ud800", "a\nb"]):
            assert report.call_job_id == ids[0]
    with pytest.raises(ConfigurationError, match="list"):
        campaign.stream_job_reports(bytearray(b"123"))


async def test_a_slow_source_shares_requests(filled: tuple[InProcessSandbox, Campaign, list[str]]) -> None:
    sandbox, campaign, ids = filled

    async def slowly() -> AsyncIterator[str]:
        for one in ids[:60]:
            await asyncio.sleep(0)
            yield one

    before = len(sandbox.calls)
    assert len([one async for one in campaign.stream_job_reports(slowly(), concurrency=8)]) == 60
    assert len(sandbox.calls) - before < 40
