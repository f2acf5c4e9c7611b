"""Which failure means what, and how long a call is tried; time is held."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import AccessError, ConfigurationError, NoAnswerError, RetryPolicy, UnreachableError
from calls_async.protocol import endpoints
from calls_async.protocol.endpoints import Request, Response
from calls_async.protocol.keys import chunk_key, digest, last_attempt_at
from calls_async.transport.answers import retry_after_seconds
from calls_async.transport.attempts import CallContext, CallPlan, Retry, Runtime
from calls_async.transport.caller import Caller
from calls_async.transport.exchange import ExchangeFailed
from tests.helpers.clock import HeldClock
from tests.helpers.servers import TOKEN

REQUEST = endpoints.add_phones(TOKEN, b"[]", "key")
PLAN = CallPlan(request=REQUEST)


def playing(*answers: Response | Exception, then: Response | Exception) -> Callable[[Request], Awaitable[Response]]:
    waiting = list(answers)

    async def exchange(request: Request) -> Response:
        assert request is REQUEST
        answer = waiting.pop(0) if waiting else then
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return exchange


def caller(clock: HeldClock, *answers: Any, then: Any, **policy: Any) -> Caller:
    settings = {"max_attempts": None, "give_up_seconds": 600} | policy
    runtime = Runtime(exchange=playing(*answers, then=then), clock=clock.clock(), rng=random.Random(1))
    return Caller(CallContext(runtime=runtime, policy=RetryPolicy(**settings)))


def failing(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(status=status, headers={name.replace("_", "-"): v for name, v in headers.items()}, body=body)


BROKEN = ExchangeFailed("the connection broke", reached=True)
CLOSED = ExchangeFailed("no connection", reached=False)


async def test_a_call_is_given_up_by_time(held_clock: HeldClock) -> None:
    started = held_clock.now
    with pytest.raises(NoAnswerError) as caught:
        await caller(held_clock, then=failing(500), backoff_max_seconds=30).call(PLAN, endpoints.read_ids)
    assert 570 <= held_clock.now - started <= 600
    assert caught.value.attempts > 20
    assert not isinstance(caught.value, UnreachableError)


async def test_a_server_that_never_answers_is_given_up_early(held_clock: HeldClock) -> None:
    started = held_clock.now
    with pytest.raises(UnreachableError, match="was not sent"):
        await caller(held_clock, then=CLOSED, unreachable_seconds=30).call(PLAN, endpoints.read_ids)
    assert held_clock.now - started <= 30


async def test_an_outage_of_a_known_server_is_outlasted(held_clock: HeldClock) -> None:
    one = caller(
        held_clock, Response(status=200, body=b"[]"), *[CLOSED] * 25, then=Response(status=200, body=b'["1"]')
    )
    await one.call(PLAN, endpoints.read_ids)
    started = held_clock.now
    assert await one.call(PLAN, endpoints.read_ids) == ["1"]
    assert held_clock.now - started > 30


async def test_a_request_that_may_have_arrived_is_never_called_unreachable(held_clock: HeldClock) -> None:
    one = caller(held_clock, BROKEN, then=CLOSED)
    with pytest.raises(NoAnswerError) as caught:
        await one.call(PLAN, endpoints.read_ids)
    assert not isinstance(caught.value, UnreachableError)
    with pytest.raises(NoAnswerError) as caught:
        await caller(held_clock, then=CLOSED).call(attrs.evolve(PLAN, sent_before=True), endpoints.read_ids)
    assert not isinstance(caught.value, UnreachableError)


@pytest.mark.parametrize("reached", [True, False])
async def test_what_lasts_is_not_repeated(held_clock: HeldClock, reached: bool) -> None:
    lasting = ExchangeFailed("the certificate", reached=reached, lasting=True)
    with pytest.raises(NoAnswerError) as caught:
        await caller(held_clock, then=lasting).call(PLAN, endpoints.read_ids)
    assert caught.value.attempts == 1
    assert isinstance(caught.value, UnreachableError) is not reached


async def test_no_attempt_starts_after_the_keys_day(held_clock: HeldClock) -> None:  # C-IDEM-7
    not_after = last_attempt_at(held_clock.now)
    one = caller(held_clock, then=failing(503, retry_after="300"), give_up_seconds=1e9)
    attempts: list[float] = []
    first = held_clock.now

    async def prepare() -> float:
        return not_after

    plan = attrs.evolve(PLAN, prepare=prepare, on_attempt=lambda number: attempts.append(held_clock.now))
    with pytest.raises(NoAnswerError):
        await one.call(plan, endpoints.read_ids)
    held_clock.now = not_after
    assert first + 22 * 3600 < max(attempts) < not_after < first + 24 * 3600
    with pytest.raises(NoAnswerError, match="0 attempts") as caught:
        await one.call(attrs.evolve(plan, sent_before=True), endpoints.read_ids)
    assert not isinstance(caught.value, UnreachableError)
    with pytest.raises(UnreachableError, match="was not sent"):
        await one.call(plan, endpoints.read_ids)


async def test_retry_after_is_kept_and_capped(held_clock: HeldClock) -> None:
    date = formatdate(held_clock.now + 60 + 20, usegmt=True)
    answers = [failing(429, retry_after="20"), failing(503, retry_after="100000"), failing(429, retry_after=date)]
    one = caller(held_clock, *answers, then=Response(status=200, body=b"[]"), backoff_seconds=0.001,
                 retry_after_max_seconds=60)  # fmt: skip
    await one.call(PLAN, endpoints.read_ids)
    waits = [round(seconds) for seconds in held_clock.slept]
    assert waits == [20, 60, 0]  # by the third answer the date has passed


@given(st.text(max_size=40))
def test_any_retry_after_is_survived(wish: str) -> None:
    assert retry_after_seconds({"retry-after": wish}, 1.8e9) >= 0


def test_retry_after_as_a_date() -> None:
    assert retry_after_seconds({"retry-after": formatdate(1000.0, usegmt=True)}, 990.0) == 10
    assert retry_after_seconds({"retry-after": formatdate(1000.0, usegmt=True)}, 2000.0) == 0


@pytest.mark.parametrize("now", [0.0, 990.0, 1e9])
def test_retry_after_as_a_date_counts_from_the_servers_own(now: float) -> None:
    headers = {"retry-after": formatdate(1000.0, usegmt=True), "date": formatdate(970.0, usegmt=True)}
    assert retry_after_seconds(headers, now) == 30
    assert retry_after_seconds(headers | {"date": "?"}, 995.0) == 5
    assert retry_after_seconds({}, 0.0) == 0


async def test_full_jitter(held_clock: HeldClock) -> None:
    with pytest.raises(NoAnswerError):
        await caller(held_clock, then=failing(500), max_attempts=200, give_up_seconds=1e9, backoff_seconds=1,
                     backoff_max_seconds=8).call(PLAN, endpoints.read_ids)  # fmt: skip
    for attempt, waited in enumerate(held_clock.slept):
        assert 0 <= waited <= min(8, 2**attempt)
    late = held_clock.slept[3:]
    assert 3.5 < sum(late) / len(late) < 4.5  # uniform between 0 and 8


async def test_concurrent_calls_have_counts_of_their_own(held_clock: HeldClock) -> None:
    one = caller(held_clock, then=failing(500), max_attempts=3)
    errors = await asyncio.gather(*(one.call(PLAN, endpoints.read_ids) for _ in range(20)), return_exceptions=True)
    assert [error.attempts for error in errors if isinstance(error, NoAnswerError)] == [3] * 20


async def test_retries_are_told(held_clock: HeldClock) -> None:
    told: list[Retry] = []
    one = caller(held_clock, failing(503), BROKEN, then=Response(status=200, body=b"[]"))
    await one.call(attrs.evolve(PLAN, on_retry=told.append), endpoints.read_ids)
    assert [(retry.attempt, retry.reason) for retry in told] == [
        (1, "503 Service Unavailable"),
        (2, "the connection broke"),
    ]
    assert [retry.wait_seconds for retry in told] == held_clock.slept


async def test_an_error_refers_to_nothing_of_the_last_attempt(held_clock: HeldClock) -> None:  # C-M-18
    with pytest.raises(NoAnswerError) as caught:
        await caller(held_clock, then=BROKEN, max_attempts=2).call(PLAN, endpoints.read_ids)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    with pytest.raises(AccessError) as refused:
        await caller(held_clock, then=failing(403)).call(PLAN, endpoints.read_ids)
    assert refused.value.__context__ is None


async def test_a_409_by_its_words(held_clock: HeldClock) -> None:
    for body in (
        b"key in progress",
        b"duplicate phone",
        b"",
    ):  # whatever it says, the key is known
        one = caller(held_clock, failing(409, body), then=Response(status=200, body=b"[]"))
        await one.call(PLAN, endpoints.read_ids)


@pytest.mark.parametrize("field", ["max_attempts", "give_up_seconds", "backoff_seconds", "unreachable_seconds"])
def test_policies_that_cannot_work(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        RetryPolicy(**{field: 0})


words = st.text(st.characters(codec="utf-8"))


@given(words, words, st.binary())
def test_keys_of_chunks(upload_id: str, place: str, body: bytes) -> None:  # C-IDEM-6, C-IDEM-8
    key = chunk_key(upload_id, place, digest(body))
    assert key == chunk_key(upload_id, place, digest(body))
    assert len(key) == 36
    assert key != chunk_key(upload_id + "x", place, digest(body))
    assert key != chunk_key(upload_id, place + "x", digest(body))
    assert key != chunk_key(upload_id, place, digest(body + b"x"))
