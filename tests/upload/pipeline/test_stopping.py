"""Uploads that stop, fail, are left or cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from calls_async import (
    AccessError,
    CallsClient,
    Campaign,
    Contact,
    JournalError,
    Outcome,
    OutcomeStatus,
    RetryPolicy,
    SourceError,
    UnreachableError,
)
from calls_async.protocol.endpoints import Request, Response
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal.store import Store
from calls_async.upload.upload import Upload
from tests.helpers.asserts import assert_each_once, only_this_task
from tests.helpers.contacts import contacts
from tests.helpers.play import FIRST, Play, Server


async def test_an_error_in_the_source_surfaces_once_and_costs_nothing(sandbox: Sandbox, client: CallsClient) -> None:
    def failing() -> Iterator[Contact]:
        yield from contacts(950)
        raise RuntimeError("the database is gone")

    outcomes: list[Outcome] = []
    upload = client.campaign(sandbox.token).upload(failing(), chunk_rows=100)
    with pytest.raises(RuntimeError, match="the database is gone"):
        async with upload:
            async for receipt in upload:
                outcomes.extend(receipt.outcomes())
    assert_each_once(sandbox, outcomes)
    assert len(outcomes) == 950
    assert only_this_task()


async def test_an_async_source_that_fails(sandbox: Sandbox, client: CallsClient) -> None:
    async def failing() -> AsyncIterator[Contact]:
        for contact in contacts(5):
            yield contact
        raise SourceError("the queue", "is gone")

    with pytest.raises(SourceError, match="the queue: is gone"):
        await client.campaign(sandbox.token).upload(failing()).run()
    assert len(sandbox.jobs) == 5


async def test_an_error_in_the_consumer_surfaces_once(sandbox: Sandbox, client: CallsClient) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.campaign(sandbox.token).upload(contacts(100_000), chunk_rows=10) as upload:
            async for _ in upload:
                _ = 1 / 0
    assert only_this_task()


async def test_leaving_early_finishes_what_is_in_flight(sandbox: Sandbox, client: CallsClient) -> None:
    async with client.campaign(sandbox.token).upload(contacts(1_000_000), chunk_rows=10) as upload:
        async for _ in upload:
            break
    assert upload.summary.accepted == upload.summary.rows == len(sandbox.jobs)
    assert 10 <= len(sandbox.jobs) < 100_000
    assert only_this_task()


async def test_stop_ends_the_iteration(sandbox: Sandbox, client: CallsClient) -> None:
    async def endless() -> AsyncIterator[Contact]:
        for contact in contacts(10**9):
            yield contact
            await asyncio.sleep(0)

    upload = client.campaign(sandbox.token).upload(endless(), chunk_rows=10)
    outcomes: list[Outcome] = []
    async with upload:
        async for receipt in upload:
            outcomes.extend(receipt.outcomes())
            if len(outcomes) >= 100:
                upload.stop()
    assert_each_once(sandbox, outcomes)
    assert only_this_task()


async def test_cancelling_leaves_nothing_running(sandbox: Sandbox, client: CallsClient) -> None:
    for waits in range(40):
        task = asyncio.create_task(client.campaign(sandbox.token).upload(contacts(500), chunk_rows=10).run())
        for _ in range(waits):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert only_this_task()
        session = client._transport._session
        assert session is not None
        assert session.connector is not None
        assert not session.connector._acquired  # no connection is left in use


async def test_what_was_in_flight_is_reported_when_the_upload_fails(sandbox: Sandbox, client: CallsClient) -> None:
    answer, handled = sandbox.api.handle, 0

    def failing(call: Any) -> Any:
        nonlocal handled
        handled += 1
        return type(answer(call)).error(403, "no more") if handled == 6 else answer(call)

    sandbox.api.handle = failing  # type: ignore[method-assign]
    outcomes: list[Outcome] = []
    with pytest.raises(AccessError):
        async with client.campaign(sandbox.token).upload(contacts(1000), chunk_rows=10, concurrency=4) as upload:
            async for receipt in upload:
                outcomes.extend(receipt.outcomes())
    accepted = {outcome.phone for outcome in outcomes if outcome.status is OutcomeStatus.ACCEPTED}
    unknown = {outcome.phone for outcome in outcomes if outcome.status is OutcomeStatus.UNKNOWN}
    assert len(unknown) == 10  # a 403 proves nothing, and nobody is told to be rejected for it
    assert accepted | unknown == {job.phone for job in sandbox.jobs} | unknown
    assert len(outcomes) < 200
    assert upload.summary.rows == len(outcomes)


async def test_a_server_that_goes_away_is_not_said_to_have_had_nothing(client: CallsClient, sandbox: Sandbox) -> None:
    policy = RetryPolicy(max_attempts=None, give_up_seconds=0.2, backoff_seconds=0.01)
    async with Sandbox() as going, CallsClient(going.url, upload_retry=policy) as other:
        with pytest.raises(UnreachableError) as caught:
            async with other.campaign(going.token).upload(contacts(10_000), chunk_rows=10, concurrency=2) as upload:
                async for _ in upload:
                    await going.__aexit__()
        assert "Nothing was sent" not in str(caught.value)
        assert "This request was not sent" in str(caught.value)


async def test_a_source_that_is_cancelled_by_itself(sandbox: Sandbox, client: CallsClient) -> None:
    async def broken() -> AsyncIterator[Contact]:
        for contact in contacts(5):
            yield contact
        raise asyncio.CancelledError

    with pytest.raises(SourceError, match="was cancelled"):
        await client.campaign(sandbox.token).upload(broken()).run()
    assert len(sandbox.jobs) == 5
    assert only_this_task()


@pytest.mark.parametrize("ticks", range(12))
async def test_leaving_at_once_ends(sandbox: Sandbox, client: CallsClient, ticks: int) -> None:
    async with client.campaign(sandbox.token).upload(contacts(100_000)) as upload:
        for _ in range(ticks):
            await asyncio.sleep(0)
    assert upload.summary.accepted == len(sandbox.jobs)
    assert only_this_task()


async def test_cancelled_chunks_are_in_doubt(sandbox: Sandbox, client: CallsClient) -> None:
    sandbox.faults.delay_seconds = 30
    sandbox.fail_next("delay-after", 100)
    upload = client.campaign(sandbox.token).upload(contacts(1000), chunk_rows=10, concurrency=3)
    task = asyncio.create_task(upload.run())
    while len(sandbox.jobs) < 30:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    doubted = {outcome.phone for receipt in upload.in_doubt for outcome in receipt.outcomes()}
    assert doubted == {job.phone for job in sandbox.jobs}
    assert upload.summary.unknown == 30


async def test_an_error_of_all_requests_hides_behind_no_error_of_the_source(client: CallsClient) -> None:
    def source() -> Iterator[Contact]:
        yield from contacts(700)
        raise ValueError("row 701")

    upload = client.campaign("1.2.nobody").upload(source(), chunk_rows=500)
    with pytest.raises(AccessError):
        await upload.run()
    assert upload.summary.accepted == 0


async def test_a_summary_is_the_same_all_the_time(campaign: Campaign, tmp_path: Path) -> None:
    upload = campaign.upload(contacts(20), journal=tmp_path / "a.journal")
    summary, identity = upload.summary, upload.summary.upload_id
    assert identity
    assert await upload.run() is summary
    assert (summary.accepted, summary.upload_id) == (20, identity)
    with closing(Store(tmp_path / "a.journal", writing=False)) as store:
        assert store.upload.record().upload_id == identity


async def test_a_summary_tells_what_a_failed_opening_took(campaign: Campaign, tmp_path: Path) -> None:
    (tmp_path / "a.journal").write_bytes(b"no database" * 100)
    upload = campaign.upload(contacts(20), journal=tmp_path / "a.journal")
    with pytest.raises(JournalError):
        await upload.run()
    assert upload.summary.seconds > 0


def test_a_cancellation_after_a_failure_ends_it_at_once() -> None:
    """One chunk waits for what may be late, one has ended the upload, one has no answer; then all is cancelled."""

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if str(FIRST) in phones:
            return Response(status=418)
        return Response(status=401) if str(FIRST + 8) in phones else None

    class Silent(Server):
        async def exchange(self, request: Request) -> Response:
            if str(FIRST + 16).encode() in (request.body or b""):
                await asyncio.sleep(1e6)
            return await Server.exchange(self, request)

    async def leave(upload: Upload) -> None:
        await asyncio.sleep(1)
        await upload.__aexit__(ValueError, ValueError(), None)

    play = Play(Silent(says))
    error = play.run(24, chunk_rows=8, concurrency=3, act=leave)
    assert isinstance(error, AccessError), error
    assert play.loop.time() < 2


@pytest.mark.parametrize("seconds", [0.15, 0.35, 0.75, 1.55])
def test_everybody_stands_somewhere_when_a_slow_reader_is_cancelled(seconds: float) -> None:
    """In what was read, in what nobody has read, or in what has no answer."""
    play = Play(Server(lambda server, phones, before: None))

    async def leave(upload: Upload) -> None:
        await asyncio.sleep(seconds)
        await upload.__aexit__(ValueError, ValueError(), None)

    play.run(500, chunk_rows=10, concurrency=4, consumer_seconds=0.5, act=leave)
    upload = play.upload
    receipts = [*upload.unread, *upload.in_doubt]
    told = {one.phone for receipt in receipts for one in receipt.outcomes()} | {one.phone for one in play.outcomes}
    assert told >= set(play.server.jobs)
    assert len(told) == upload.summary.rows == len(play.outcomes) + sum(len(one.rows) for one in receipts)
