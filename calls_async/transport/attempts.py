"""One call's attempts: each passes the limiter and the gate, is sent, and is judged. The loop is in `caller.py`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TypeVar

import attrs

from calls_async.errors import NoAnswerError, RefusedError
from calls_async.protocol.endpoints import Request, Response, UnreadableAnswer
from calls_async.transport.answers import Judgement, TryAgain, judge, judge_unreadable
from calls_async.transport.clock import Clock
from calls_async.transport.evidence import Evidence, Trace
from calls_async.transport.exchange import Exchange, ExchangeFailed
from calls_async.transport.pacing.gate import Gate
from calls_async.transport.pacing.limiter import Limiter
from calls_async.transport.pacing.signals import AttemptResult, Sign
from calls_async.transport.patience import (
    GiveUp,
    Halt,
    Standing,
    explain_no_attempt,
    make_error,
    reason_to_give_up,
)
from calls_async.transport.policy import RetryPolicy
from calls_async.transport.telemetry import NoTelemetry, Telemetry

Answer = TypeVar("Answer")
Read = Callable[[Response], Answer]
"""Reads an answer; raises `UnreadableAnswer`."""


@attrs.frozen(slots=True, kw_only=True)
class Retry:
    """A failed attempt that will be repeated."""

    attempt: int
    reason: str
    wait_seconds: float


@attrs.frozen(kw_only=True)
class Runtime:
    """What every call needs of the world, injected so that tests hold it."""

    exchange: Exchange
    clock: Clock = attrs.field(factory=Clock)
    rng: random.Random = attrs.field(factory=random.Random, repr=False)
    telemetry: Telemetry = attrs.field(factory=NoTelemetry, repr=False)


@attrs.define(slots=True, kw_only=True)
class CallContext:
    """What all calls of one caller share. `max_outage_seconds` is how long the server may answer nothing at all;
    `server_answered` tells whether it has ever answered any of them, or is believed to be there."""

    runtime: Runtime
    policy: RetryPolicy
    gate: Gate = attrs.field(factory=Gate)
    limiter: Limiter = attrs.field(factory=Limiter)
    max_outage_seconds: float = math.inf
    server_answered: bool = False
    created_at: float = attrs.field(default=-math.inf, init=False)
    """When a request that creates was last answered as it should be; monotonic seconds."""
    halt: Halt = attrs.field(default=Halt.RUNNING, init=False)
    _last_date: str = attrs.field(default="", init=False, repr=False)
    _naps: set[asyncio.Future[None]] = attrs.field(factory=set, init=False, repr=False)

    def note_answer(self) -> None:
        """Note that the server is there."""
        self.server_answered = True

    def note_date(self, date: str) -> None:
        """Note what time it is at the server, by an answer's `Date`: once a second."""
        if date == self._last_date:
            return
        self._last_date = date
        with contextlib.suppress(ValueError, OverflowError):
            self.gate.note_server_time(parsedate_to_datetime(date).timestamp(), self.runtime.clock)

    def note_read(self, *, creates: bool) -> None:
        """Note that an answer was one of the API's."""
        self.gate.note_recognised()
        if creates:
            self.created_at = self.runtime.clock.monotonic()

    def stop(self, halt: Halt) -> None:
        """Allow no more than `halt` says, and wake all that wait to try."""
        self.halt = max(self.halt, halt)
        for nap in self._naps:
            nap.cancel()
        self.gate.wake_all()

    async def nap(self, seconds: float) -> None:
        """Sleep, but no longer than until `stop`."""
        if self.halt is not Halt.RUNNING:
            return
        sleeping = asyncio.ensure_future(self.runtime.clock.sleep(seconds))
        self._naps.add(sleeping)
        try:
            await asyncio.wait([sleeping])
        finally:
            self._naps.discard(sleeping)
            if not sleeping.done():
                sleeping.cancel()
                await asyncio.wait([sleeping])


async def _prepare_nothing() -> float:
    return math.inf


async def do_nothing() -> None:
    """Do nothing."""


async def _vouch_not() -> bool:
    return False


@attrs.frozen(slots=True, kw_only=True)
class CallPlan:
    """What is to be sent, and what its owner wants to be asked and told."""

    request: Request
    prepare: Callable[[], Awaitable[float]] = _prepare_nothing
    """Awaited before the first attempt, once that may start; returns the time (Unix time, seconds) after which none
    may. Awaited again if that time comes and no attempt can have reached the server."""
    before_attempt: Callable[[], Awaitable[None]] = do_nothing
    """Awaited before each attempt, as a part of it, and before `prepare`."""
    key_ends_at: Callable[[], float] = lambda: math.inf
    """Asked before each attempt: the time, as what `prepare` returns, by what is known now."""
    vouch: Callable[[], Awaitable[bool]] = _vouch_not
    """Awaited where the server fails again and again at this request and nobody else is there to be answered;
    returns whether it is this request's own fault."""
    contacts: int = 0
    """How many the request carries, for the limiter."""
    isolates: bool = False
    """Whether it is given up where the server fails at it alone: its owner sends its parts by themselves."""
    sent_before: bool = False
    """Whether an earlier process may have sent it."""
    on_attempt: Callable[[int], None] = lambda number: None
    """Hears the number of each attempt as it begins."""
    on_retry: Callable[[Retry], None] = lambda retry: None


LARGE_ANSWER_BYTES = 128 * 1024
"""A larger answer is read by a thread: one of 50 MB, a report of 100,000 jobs, takes seconds."""
FAILURES_OF_ITS_OWN = 6
"""So many 5xx answers to one request, while others are answered, and it is taken for its own fault: where the server
fails at three of ten requests by chance, one in 1,400 is taken for that wrongly, and costs requests, not calls."""
OTHERS_SECONDS = 60.0
"""Others are answered where one was up to this long before the request's first attempt, or since."""


class Attempts:
    """The attempts of one call."""

    def __init__(self, context: CallContext, plan: CallPlan) -> None:
        self._context = context
        self._plan = plan
        self._clock = context.runtime.clock
        self._count = 0
        self._failures = 0
        """How many attempts the server has answered with a 5xx."""
        self._vouched = False
        self._evidence = Evidence.sent_before() if plan.sent_before else Evidence()
        self._not_after: float | None = None
        """When the key ends; Unix time, None before it is prepared."""
        self._not_after_monotonic = math.inf
        """The same by the monotonic clock, for the other may be set."""
        self._started = self._clock.monotonic()
        self._out_before = context.gate.out_seconds
        self._last: TryAgain | None = None

    async def attempt(self, read: Read[Answer]) -> Answer:
        """Make one attempt. Raises `TryAgain`, `RefusedError`, and `NoAnswerError` where none may be made."""
        gate = self._context.gate
        if self._fails_again_and_again() and not self._own_fault():
            self._vouched = await self._plan.vouch()
        if gate.calm and self._plan.before_attempt is do_nothing:
            await self._prepare()
        if not await self._enter():
            raise self.give_up(self._last)
        retry, started = self._count > 0, None
        sign, failure = Sign.NOTHING, None
        try:
            await self._plan.before_attempt()
            await self._prepare()
            if self._reason_to_give_up(0.0) is not None or self._key_seconds() <= 0:
                raise self.give_up(self._last)  # only now is it known how long the key is good
            started = self._clock.monotonic()
            answer = await self._send(read)
            sign = Sign.ANSWERED
        except TryAgain as again:
            sign, failure = again.sign, again
            raise
        except RefusedError:
            sign = Sign.ANSWERED
            raise
        except NoAnswerError as error:
            if started is not None:
                sign = Sign.ANSWERED if error.refused else Sign.FAILED
            raise
        finally:
            request = self._plan.request
            gate.leave(
                AttemptResult(
                    sign=sign,
                    started=started or 0.0,
                    retry=retry,
                    key=request.idempotence_key,
                    reason="" if failure is None else failure.reason,
                    hold_seconds=0.0 if failure is None else self._hold_seconds(failure),
                    chunk_bytes=len(request.body or b"") if request.creates else None,
                )
            )
        return answer

    async def _prepare(self) -> None:
        """Do what must be done before the first attempt. Not long before it may start: the key's clock begins here.
        And not only then, if all is calm: a place in flight would wait for the disk."""
        if self._not_after is None or (self._key_seconds() <= 0 and self._may_renew_key()):
            self._not_after = await self._plan.prepare()
            self._not_after_monotonic = self._clock.monotonic() + self._not_after - self._clock.wall()

    async def _enter(self) -> bool:
        """Wait for the limiter and the gate; return False where it would be too late."""
        nap = self._context.nap

        def too_late(delay_seconds: float) -> bool:
            return self._reason_to_give_up(delay_seconds) is not None

        async def enter() -> bool:
            return await self._context.gate.enter(retry=self._count > 0, too_late=too_late, sleep=nap)

        return await self._context.limiter.take(self._plan.contacts, enter, too_late=too_late, sleep=nap)

    async def _send(self, read: Read[Answer]) -> Answer:
        if self._count == 0:
            self._started, self._out_before = self._clock.monotonic(), self._context.gate.out_seconds
        self._count += 1
        self._plan.on_attempt(self._count)
        try:
            response = await self._context.runtime.exchange(self._plan.request)
        except ExchangeFailed as failure:
            self._evidence = self._evidence.seen(Trace.UNCERTAIN if failure.reached else Trace.NEVER_ARRIVED)
            failed = failure
        else:
            self._context.note_answer()
            return await self._judge(response, read)
        again = TryAgain(failed.reason, sign=Sign.OVERLOADED if failed.timed_out else Sign.ABSENT)
        raise self.give_up(again) if failed.lasting else again

    async def _judge(self, response: Response, read: Read[Answer]) -> Answer:
        self._context.note_date(response.headers.get("date", ""))
        request, now, recognised = self._plan.request, self._clock.wall(), self._context.gate.recognised
        judgement = judge(response, request, self._evidence, now, recognised=recognised)
        if judgement.failure is None:
            try:
                large = len(response.body) > LARGE_ANSWER_BYTES
                answer = await asyncio.to_thread(read, response) if large else read(response)
            except UnreadableAnswer as unreadable:
                judgement = judge_unreadable(response, unreadable, request, now, recognised=recognised)
            else:
                self._evidence = self._evidence.seen(judgement.trace)
                self._context.note_read(creates=request.creates)
                return answer
        self._failures += response.status >= 500
        conflict = response.status == HTTPStatus.CONFLICT
        self._evidence = self._evidence.seen(judgement.trace, conflict=conflict)
        raise self._fail(judgement)

    def _fail(self, judgement: Judgement) -> Exception:
        failure = judgement.failure
        if judgement.doubtful and isinstance(failure, TryAgain):
            return self.give_up(failure, refused=True)
        if failure is None:
            raise TypeError("a failure must say what failed")
        return failure

    # --- patience ---

    def give_up(self, last: TryAgain | None, *, refused: bool = False) -> NoAnswerError:
        """Return the error that tells why the call ends here; `last` is its last failure, None without an attempt."""
        standing, outage = self._standing(), self._context.gate.outage
        words = last or TryAgain(explain_no_attempt(standing, outage.reason if outage is not None else None))
        reason = None if refused else self._reason_to_give_up(0.0)
        if reason is GiveUp.FAILS_ALONE:
            self._context.gate.note_own_fault()
        return make_error(self._plan.request, standing, words, reason=reason, refused=refused)

    def must_stop(self, attempt: int, wait_seconds: float) -> bool:
        """Return whether no attempt may follow attempt number `attempt` after so long a wait."""
        most = self._context.policy.max_attempts
        return (most is not None and attempt >= most) or self._reason_to_give_up(wait_seconds) is not None

    def backoff_seconds(self, attempt: int, failure: TryAgain) -> float:
        """Return how long to wait after attempt number `attempt`: jitter, and what the server asked for."""
        policy, hold = self._context.policy, self._hold_seconds(failure)
        if self._context.gate.outage is not None:
            return hold  # the probes have a rhythm of their own
        most = min(policy.backoff_max_seconds, policy.backoff_seconds * 2 ** min(attempt - 1, 30))
        return self._context.runtime.rng.uniform(0, most) + hold

    def note_retry(self, attempt: int, failure: TryAgain, wait_seconds: float) -> None:
        """Note that attempt number `attempt` has failed and another will be made."""
        self._last = failure
        self._plan.on_retry(Retry(attempt=attempt, reason=failure.reason, wait_seconds=wait_seconds))

    def _hold_seconds(self, failure: TryAgain) -> float:
        return min(failure.wait_seconds, self._context.policy.retry_after_max_seconds)

    def _key_seconds(self) -> float:
        """Return how long the key may still be sent; infinite before it is prepared."""
        if self._not_after is None:
            return math.inf
        by_wall = min(self._not_after, self._plan.key_ends_at()) - self._clock.wall()
        return min(by_wall, self._not_after_monotonic - self._clock.monotonic())

    def _may_renew_key(self) -> bool:
        """Return whether the key's day may begin anew: no attempt can have used it."""
        return self._plan.prepare is not _prepare_nothing and not self._evidence.maybe_created

    def _fails_again_and_again(self) -> bool:
        return self._failures >= min(FAILURES_OF_ITS_OWN, self._context.policy.max_attempts or math.inf)

    def _own_fault(self) -> bool:
        """Return whether others are answered where this request fails."""
        return self._vouched or self._context.created_at > self._started - OTHERS_SECONDS

    def _reason_to_give_up(self, delay_seconds: float) -> GiveUp | None:
        context = self._context
        first_at_once = self._count == 0 and delay_seconds == 0.0 and context.halt is Halt.RUNNING
        if first_at_once and context.gate.outage is None and self._key_seconds() > 0:
            return None  # nearly always
        return reason_to_give_up(
            self._standing(),
            context.policy,
            max_outage_seconds=context.max_outage_seconds,
            delay_seconds=delay_seconds,
        )

    def _standing(self) -> Standing:
        context, gate, now = self._context, self._context.gate, self._clock.monotonic()
        outage = gate.outage
        return Standing(
            attempts=self._count,
            fails_alone=self._plan.isolates and self._fails_again_and_again() and self._own_fault(),
            evidence=self._evidence,
            halt=context.halt,
            calm=gate.calm,
            known=self._evidence.reached or context.server_answered or gate.server_answered,
            elapsed_seconds=now - self._started,
            since_answer_seconds=now - gate.answered_at,
            key_seconds=self._key_seconds(),
            may_renew_key=self._may_renew_key(),
            outage_seconds=None if outage is None else now - outage.since,
            out_seconds=gate.out_seconds - self._out_before,
        )
