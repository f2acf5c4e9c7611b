"""The gate that every attempt of every upload passes; time is held, or the loop's own is virtual."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from calls_async import (
    CallsClient,
    Event,
    NoAnswerError,
    OutageBegan,
    OutageEnded,
    RetryPolicy,
    Throttled,
    UnreachableError,
)
from calls_async.protocol.endpoints import Request, Response
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.server.server import Sandbox
from calls_async.transport.clock import Clock
from calls_async.transport.exchange import ExchangeFailed
from calls_async.transport.pacing.budget import RetryBudget
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.pacing.limiter import RateLimiter
from calls_async.transport.pacing.signals import AttemptResult, Sign
from calls_async.transport.patience import Halt
from tests.helpers.asserts import assert_each_once, outcomes_of
from tests.helpers.contacts import contacts
from tests.helpers.line import Setting, answer, call, many
from tests.helpers.servers import QUICK

OK = Response(status=200, body=b'["1"]')
CLOSED = ExchangeFailed("no connection", reached=False)


# --- Retry-After ---


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_back_everything(status: int) -> None:
    one = Setting()
    said = iter([OK, OK, answer(status, retry_after="20")])

    async def act() -> None:
        caller = one.caller()
        await many(caller, 60)

    one.play(lambda now, request: next(said, OK), act)
    held_from = min(event.at for event in one.told if isinstance(event, Throttled)) - 1.8e9
    # What was in flight when the server said so is not concerned; then nothing came for 20 seconds.
    assert [at for at in one.line.came if held_from < at < held_from + 20] == []
    assert len(one.line.came) == 61
    (throttled,) = [event for event in one.told if isinstance(event, Throttled) and event.hold_seconds]
    assert throttled.hold_seconds == 20
    assert f"{status}" in str(throttled)


def test_a_hold_concerns_the_other_uploads_of_the_client_too() -> None:
    one = Setting()
    said = iter([answer(429, retry_after="30")])

    async def act() -> None:
        await asyncio.gather(call(one.caller(), 1), _later(0.5, lambda: call(one.caller(), 2)))

    one.play(lambda now, request: next(said, OK), act)
    assert sorted(one.line.came)[1] >= 30


async def _later(seconds: float, act: Callable[[], Awaitable[Any]]) -> Any:
    await asyncio.sleep(seconds)
    return await act()


# --- the window ---


def test_no_more_at_once_than_the_uploads_may_have() -> None:
    one = Setting()
    one.play(lambda now, request: OK, lambda: many(one.caller(), 500), at_most=7)
    assert one.line.most_at_once == 7


def test_uploads_of_a_client_share_the_window() -> None:
    one = Setting()

    async def act() -> None:
        with one.pace.shared_by(8, one.told.append):
            await asyncio.gather(many(one.caller(), 300), many(one.caller(), 300))

    one.play(lambda now, request: OK, act, at_most=8)
    assert one.line.most_at_once == 16


def test_pressure_makes_the_window_small() -> None:
    one = Setting()
    one.play(lambda now, request: answer(429) if one.line.at_once >= 3 else OK, lambda: many(one.caller(), 400))
    assert one.pace.slowed
    assert one.pace.window <= 5
    assert any(isinstance(event, Throttled) for event in one.told)


def test_a_cancelled_wait_gives_its_place_to_the_next() -> None:
    one = Setting()

    async def act() -> None:
        caller = one.caller()
        tasks = [asyncio.create_task(call(caller, n)) for n in range(50)]
        await asyncio.sleep(0.05)
        for task in tasks[5:30]:
            task.cancel()
        await asyncio.wait(tasks)
        assert sum(not task.cancelled() for task in tasks) == 25

    one.play(lambda now, request: OK, act, at_most=2)


# --- outages ---


def outage(start: float, end: float) -> Callable[[float, Request], Response | Exception]:
    return lambda now, request: CLOSED if start <= now < end else OK


def test_an_outage_is_probed_by_one_and_outlasted() -> None:
    one = Setting()

    async def act() -> None:
        caller = one.caller(max_outage_seconds=4000)
        await many(caller, 20)
        assert await many(caller, 100) == [["1"]] * 100

    one.play(outage(0.5, 3600.0), act)
    began, ended = one.told
    assert isinstance(began, OutageBegan)
    assert isinstance(ended, OutageEnded)
    assert 3595 < ended.seconds < 3635  # the longest pause between two probes is 30 s
    during = [at for at in one.line.came if began.at - 1.8e9 < at < 3600]
    assert len(during) < 3600 / 15 + 20
    pauses = [later - earlier for earlier, later in pairwise(during)]
    assert all(15 < pause < 31 for pause in pauses[20:])
    assert len(set(pauses)) > len(pauses) / 2  # with jitter


def test_an_outage_longer_than_allowed_stops() -> None:
    one = Setting()

    async def act() -> list[Any]:
        caller = one.caller(max_outage_seconds=120)
        await call(caller)
        return await many(caller, 10)

    errors = one.play(outage(0.15, 1e9), act)
    assert one.loop.time() < 160
    assert all(isinstance(error, NoAnswerError) for error in errors)
    assert {error.outage for error in errors} == {True}


def test_a_server_that_was_never_there_is_given_up_early() -> None:
    one = Setting()
    errors = one.play(outage(0.0, 1e9), lambda: many(one.caller(), 10))
    assert one.loop.time() <= 31
    assert {type(error) for error in errors} == {UnreachableError}


def test_patience_with_a_chunk_does_not_count_the_outage() -> None:
    one = Setting()

    async def act() -> Any:
        caller = one.caller(give_up_seconds=10)
        await call(caller)
        return await many(caller, 10)

    assert one.play(outage(0.15, 1000.0), act) == [["1"]] * 10


def test_a_few_failures_are_no_outage() -> None:
    one = Setting()
    rng = random.Random(1)
    one.play(lambda now, request: answer(500) if rng.random() < 0.3 else OK, lambda: many(one.caller(), 500))
    assert not [event for event in one.told if isinstance(event, OutageBegan)]


def test_halting_wakes_those_that_wait() -> None:
    one = Setting()

    async def act() -> list[Any]:
        caller = one.caller()
        await call(caller)
        asyncio.get_running_loop().call_later(60, lambda: caller.halt(Halt.NO_ATTEMPTS))
        return await many(caller, 10)

    errors = one.play(outage(0.15, 1e9), act)
    assert one.loop.time() < 61
    assert all(isinstance(error, NoAnswerError) for error in errors)


# --- the budget ---


def test_retries_do_not_become_the_load() -> None:
    one = Setting()
    keys: set[str | None] = set()

    def failing(now: float, request: Request) -> Response:
        new = request.idempotence_key not in keys
        keys.add(request.idempotence_key)
        return OK if new and len(keys) % 5 == 0 else answer(500)

    async def act() -> None:
        caller = one.caller(give_up_seconds=100, backoff_max_seconds=0.01)
        await asyncio.wait([asyncio.create_task(call(caller, n)) for n in range(400)], timeout=90)
        caller.halt(Halt.NO_ATTEMPTS)
        await asyncio.sleep(1)

    one.play(failing, act, seconds=0.01)
    # Without the budget, 400 callers would make thousands of attempts; with it, the bucket and what trickles into it.
    most = RetryBudget.CAPACITY / RetryBudget.COST + 90 * RetryBudget.TRICKLE / RetryBudget.COST
    assert len(one.line.came) < 400 + most + 100


def test_a_budget_refills_with_answers() -> None:
    budget = RetryBudget(0.0)
    for _ in range(100):
        budget.take(0.0)
    assert budget.wait_seconds(0.0) > 0
    for _ in range(5):
        budget.refund(retry=False)
    assert budget.wait_seconds(0.0) == 0
    budget.take(0.0)
    budget.refund(retry=True)
    assert budget.wait_seconds(0.0) == 0
    assert budget.wait_seconds(1000.0) == 0


# --- the rate ---


def test_the_rate_holds_over_any_10_seconds_retries_and_outages_included() -> None:
    one = Setting()
    rng = random.Random(5)

    def says(now: float, request: Request) -> Response | Exception:
        if 40 <= now < 60:
            return CLOSED
        return answer(500) if rng.random() < 0.1 else OK

    async def act() -> None:
        caller = one.caller(limiter=RateLimiter(1000, one.clock))
        await many(caller, 900, contacts=100)

    one.play(says, act)
    came = one.line.came
    for at in came:
        assert sum(100 for other in came if at <= other < at + 10) <= 10_200
    for start in range(1, 28):  # before the outage
        assert sum(100 for other in came if start <= other < start + 10) >= 9_800


# --- in an upload ---


async def test_after_an_outage_that_was_too_long_it_can_be_resumed(path: Path) -> None:
    faults = Faults()
    async with Sandbox(faults=faults) as sandbox, CallsClient(sandbox.url, upload_retry=QUICK) as client:
        campaign = client.campaign(sandbox.token)
        upload = campaign.upload(contacts(3000), chunk_rows=10, journal=path, max_outage_seconds=2.5)
        with pytest.raises(NoAnswerError) as caught:
            async with upload:
                async for _ in upload:
                    if len(sandbox.jobs) > 500:
                        faults.shares = {FaultKind.UNAVAILABLE: 1.0}
        assert caught.value.outage
        faults.shares = {}
        outcomes = await outcomes_of(campaign.upload(contacts(3000), chunk_rows=10, journal=path))
        assert_each_once(sandbox, outcomes)
        assert {str(outcome.status) for outcome in outcomes} == {"accepted"}


async def test_two_uploads_of_a_client_share_what_they_learn(client: CallsClient) -> None:
    async with Sandbox(max_request_bytes=3000) as sandbox, CallsClient(sandbox.url, upload_retry=QUICK) as shared:
        first = shared.campaign(sandbox.token).upload(contacts(1000))
        second = shared.campaign(sandbox.token).upload(contacts(1000, 16600000000))
        assert first.pace is second.pace
        await first.run()
        handled = len(sandbox.calls)
        await second.run()
        assert second.summary.requests == len(sandbox.calls) - handled
        assert second.summary.accepted == 1000


def test_a_straggler_does_not_end_the_pause_that_the_server_wants() -> None:
    now = [0.0]
    clock = Clock(wall=lambda: now[0], monotonic=lambda: now[0], sleep=asyncio.sleep)
    pace = Pace(policy=RetryPolicy(), clock=clock, rng=random.Random(1))
    for _ in range(8):
        now[0] += 1
        pace.leave(AttemptResult(sign=Sign.ABSENT, started=now[0] - 0.5, retry=False, key="a"))
    assert pace.outage is not None
    pace.leave(AttemptResult(sign=Sign.OVERLOADED, started=now[0], retry=False, key="a", hold_seconds=300))
    pace.leave(AttemptResult(sign=Sign.ANSWERED, started=now[0], retry=False, key="b"))
    assert pace.outage is None
    assert pace.hold_seconds == 300


def test_pace_is_given_back_whatever_a_callback_does() -> None:
    clock = Clock(wall=lambda: 0.0, monotonic=lambda: 0.0, sleep=asyncio.sleep)
    pace = Pace(policy=RetryPolicy(), clock=clock, rng=random.Random(1))

    def leaving(event: Event) -> None:
        raise SystemExit

    async def main() -> None:
        with pace.shared_by(4, leaving):
            assert await pace.enter(retry=False, too_late=lambda seconds: False, sleep=asyncio.sleep)
            with pytest.raises(SystemExit):
                pace.leave(AttemptResult(sign=Sign.BUSY, started=1.0, retry=False, reason="429"))
            assert pace.in_flight == 0

    asyncio.run(main())
