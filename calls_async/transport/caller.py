"""How often and how long a call is tried; which answer means what is told in `answers.py`.

A failure is one of three things. A *definite refusal* (4xx): nothing was created. *Try again* (no connection, a
timeout, 408, 425, 429, 5xx, 409 while the key is in progress, a 2xx that cannot be read): the same bytes under the
same key. *No certain answer* (the limits are used up): never sent again blindly.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

import attrs
import tenacity

from calls_async.errors import NoAnswerError, RefusedError, UnreachableError
from calls_async.protocol.endpoints import Request, Response, UnreadableAnswer
from calls_async.transport.answers import (
    BUSY_STATUSES,
    LATE_STATUSES,
    TryAgain,
    is_in_progress,
    refused,
    spell,
    try_again,
)
from calls_async.transport.attempts import Retry, _failure
from calls_async.transport.clock import Clock
from calls_async.transport.exchange import Exchange, ExchangeFailed
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.pacing.limiter import RateLimiter
from calls_async.transport.pacing.signals import Sign
from calls_async.transport.policy import RetryPolicy
from calls_async.transport.telemetry import NoTelemetry, Telemetry

Answer = TypeVar("Answer")


@attrs.define(slots=True, kw_only=True)
class Caller:
    """Makes calls over an exchange: the attempts of each, by the policy. Many tasks may share one."""

    exchange: Exchange
    policy: RetryPolicy
    clock: Clock = attrs.field(factory=Clock)
    rng: random.Random = attrs.field(factory=random.Random, repr=False)
    telemetry: Telemetry = attrs.field(factory=NoTelemetry, repr=False)
    pace: Pace | None = None
    """The gate that every attempt passes."""
    limiter: RateLimiter | None = None
    """Of contacts a second; goes with a `pace`."""
    max_outage_seconds: float = math.inf
    server_answered: bool = attrs.field(default=False, init=False)
    halted: bool = attrs.field(default=False, init=False)
    unsent_stay: bool = attrs.field(default=False, init=False)
    """Whether halting also keeps back what was not sent yet."""
    _naps: set[asyncio.Future[None]] = attrs.field(factory=set, init=False, repr=False)

    async def call(
        self,
        request: Request,
        read: Callable[[Response], Answer],
        *,
        prepare: Callable[[], Awaitable[float]] | None = None,
        contacts: int = 0,
        sent_before: bool = False,
        on_attempt: Callable[[int], None] | None = None,
        on_retry: Callable[[Retry], None] | None = None,
    ) -> Answer:
        """The answer to `request`, read by `read`.

        `prepare` is awaited before the first attempt, once that may start, and returns the time (Unix time, seconds)
        after which none may; again, if that time comes and no attempt can have reached the server. `contacts` is how
        many the request carries. `sent_before` says that an earlier process may have sent it. `on_attempt` hears the
        number of each attempt as it begins. Raises `RefusedError`,
        `AccessError`, `NoAnswerError`, `UnreachableError`.
        """
        one = _Call(
            self,
            request,
            prepare=prepare,
            contacts=contacts,
            sent_before=sent_before,
            on_attempt=on_attempt,
            on_retry=on_retry,
        )
        with self.telemetry.call(request):
            return await self._attempts(one, read)

    async def _attempts(self, one: _Call, read: Callable[[Response], Answer]) -> Answer:
        try:
            return await one.attempt(read)  # most calls end here, and tenacity takes 0.3 ms of each that it sees
        except TryAgain as failure:
            one.first = failure
        # A fresh tenacity object for each call: a shared one mixes the counts of concurrent tasks.
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(TryAgain),
            wait=one.wait_seconds,
            stop=one.must_stop,
            before_sleep=one.before_sleep,
            sleep=self.nap,
            reraise=True,
        )
        try:
            return await retrying(one.retry, read)
        except TryAgain as failure:
            last = failure
        raise one.gave_up(last)  # outside the handler: nothing of the last attempt hangs on it

    def own_pace(self) -> Pace:
        """Its gate; a new one where it had none."""
        if self.pace is None:
            self.pace = Pace(policy=self.policy, clock=self.clock, rng=self.rng)
        return self.pace

    def halt(self, *, unsent_stay: bool) -> None:
        """Lets no call try again any more, or begin, if `unsent_stay`; and wakes those that wait for it."""
        self.halted = True
        self.unsent_stay = self.unsent_stay or unsent_stay
        for nap in self._naps:
            nap.cancel()
        if self.pace is not None:
            self.pace.look_again()

    async def nap(self, seconds: float) -> None:
        """Sleeps, but no longer than until `halt`."""
        if self.halted:
            return
        sleeping = asyncio.ensure_future(self.clock.sleep(seconds))
        self._naps.add(sleeping)
        try:
            await asyncio.wait([sleeping])
        finally:
            self._naps.discard(sleeping)
            if not sleeping.done():
                sleeping.cancel()
                await asyncio.wait([sleeping])


@attrs.define(slots=True)
class _Call:
    """One call under way."""

    caller: Caller
    request: Request
    prepare: Callable[[], Awaitable[float]] | None = attrs.field(kw_only=True)
    contacts: int = attrs.field(kw_only=True)
    sent_before: bool = attrs.field(kw_only=True)
    on_attempt: Callable[[int], None] | None = attrs.field(kw_only=True)
    on_retry: Callable[[Retry], None] | None = attrs.field(kw_only=True)
    attempts: int = 0
    not_after: float | None = None
    reached: bool = False
    outage: bool = False
    """Whether it was given up because the server has answered nothing for too long."""
    last: TryAgain | None = None
    first: TryAgain | None = None
    """The failure of the first attempt, which the policy has not heard of yet."""
    maybe_created: bool = attrs.field(init=False)
    """Whether an earlier attempt may have been acted upon, though its answer did not come or was none."""
    started: float = attrs.field(init=False)
    out_before: float = attrs.field(init=False)
    maybe_late: bool = False
    """Whether an attempt without an answer might still be on its way to the server."""

    def __attrs_post_init__(self) -> None:
        self.started = self.caller.clock.monotonic()
        self.out_before = self.out_seconds
        self.maybe_created = self.maybe_late = self.sent_before

    async def retry(self, read: Callable[[Response], Answer]) -> Answer:
        """The attempts as the policy counts them."""
        if (first := self.first) is not None:
            self.first = None
            raise first
        return await self.attempt(read)

    async def attempt(self, read: Callable[[Response], Answer]) -> Answer:
        pace = self.caller.pace
        if pace is None or pace.calm:
            await self.ready()
        if pace is None:
            if self.key_is_over(0.0) or self.too_late(0.0):
                raise self.gave_up(self.last)
            return await self.exchange(read)
        if not await self.enter(pace):
            raise self.gave_up(self.last)
        retry, started = self.attempts > 0, None
        sign, failure = Sign.NOTHING, None
        try:
            await self.ready()
            if self.key_is_over(0.0) or self.too_late(0.0):  # only now is it known how long the key is good
                raise self.gave_up(self.last)
            started = self.caller.clock.monotonic()
            answer = await self.exchange(read)
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
            pace.leave(
                sign,
                started=started or 0.0,
                retry=retry,
                key=self.request.idempotence_key,
                reason=failure.reason if failure is not None else "",
                hold_seconds=self.hold_seconds(failure) if failure is not None else 0.0,
                chunk_bytes=len(self.request.body or b"") if self.request.creates else None,
            )
        return answer

    async def ready(self) -> None:
        """Does what must be done before the first attempt. Not long before it may start: the key's clock begins here.
        And not only then, if all is calm: a place in flight would wait for the disk."""
        if self.prepare is not None and (self.not_after is None or self.may_begin_anew(0.0)):
            self.not_after = await self.prepare()

    def may_begin_anew(self, delay: float) -> bool:
        """Whether the key's time is over after `delay` seconds, and it was never used: no attempt got there."""
        return self.key_is_over(delay) and self.prepare is not None and not self.maybe_created

    def key_is_over(self, delay: float) -> bool:
        return self.not_after is not None and self.caller.clock.wall() + delay >= self.not_after

    async def enter(self, pace: Pace) -> bool:
        async def enter() -> bool:
            return await pace.enter(retry=self.attempts > 0, too_late=self.too_late, sleep=self.caller.nap)

        limiter = self.caller.limiter
        if limiter is None or not self.contacts:
            return await enter()
        return await limiter.take(self.contacts, enter, too_late=self.too_late, sleep=self.caller.nap)

    async def exchange(self, read: Callable[[Response], Answer]) -> Answer:
        if self.attempts == 0:
            self.started, self.out_before = self.caller.clock.monotonic(), self.out_seconds
        self.attempts += 1
        if self.on_attempt is not None:
            self.on_attempt(self.attempts)
        try:
            response = await self.caller.exchange(self.request)
        except ExchangeFailed as failure:
            self.reached = self.reached or failure.reached
            self.maybe_created = self.maybe_created or failure.reached
            self.maybe_late = self.maybe_late or failure.reached
            failed = failure
        else:
            self.reached = self.caller.server_answered = True
            return self.judge(response, read)
        again = TryAgain(failed.reason, sign=Sign.OVERLOADED if failed.timed_out else Sign.ABSENT)
        raise self.gave_up(again) if failed.lasting else again

    def judge(self, response: Response, read: Callable[[Response], Answer]) -> Answer:
        now, token = self.caller.clock.wall(), self.request.token
        if 200 <= response.status < 300:
            try:
                return read(response)
            except UnreadableAnswer as unreadable:
                reason = f"{response.status} with {unreadable}"
            self.maybe_created = self.maybe_late = True
            raise try_again(response, reason, token=token, now=now)
        if response.status >= 500 or response.status in BUSY_STATUSES:
            # A gateway may say 408 for a request that it has passed on.
            self.maybe_created = (
                self.maybe_created or response.status >= 500 or response.status == HTTPStatus.REQUEST_TIMEOUT
            )
            self.maybe_late = self.maybe_late or response.status in LATE_STATUSES
            raise try_again(response, spell(response.status), token=token, now=now)
        if is_in_progress(response, sent_before=self.maybe_created):
            self.maybe_created = self.maybe_late = True
            raise try_again(response, "409, the key is in progress", token=token, now=now)
        refusal = refused(response, self.request)
        if self.request.creates and self.maybe_created:
            reason = f"{spell(response.status)}, after an attempt without an answer"
            raise self.gave_up(try_again(response, reason, token=token, now=now), refused=True)
        raise refusal

    def gave_up(self, last: TryAgain | None, *, refused: bool = False) -> NoAnswerError:
        seconds = self.caller.clock.monotonic() - self.started
        last = last or TryAgain(self.why_not_tried())
        unreachable = not self.reached and not (self.sent_before and self.attempts == 0)
        kind = UnreachableError if unreachable and not self.sent_before else NoAnswerError
        if kind is UnreachableError and self.attempts == 0:
            said = f"was not sent: {last.reason}."
        elif kind is UnreachableError:
            said = f"the server cannot be reached ({last.reason}); check the host and the network. "
            said += "This request was not sent."
        elif self.outage:
            outage = self.caller.pace and self.caller.pace.outage
            seconds = self.caller.clock.monotonic() - outage.since if outage else seconds
            said = (
                f"the server has answered nothing for {seconds:.0f} s ({last.reason}); "
                "max_outage_seconds (--max-outage) allows no more."
            )
        else:
            said = f"no certain answer in {self.attempts} attempts over {seconds:.0f} s (last: {last.reason})."
            if self.request.creates:
                said += " Repeat it with the same idempotence key within 24 hours, or look into the report."
        return kind(
            said,
            method=self.request.method.value,
            path=self.request.path,
            attempts=self.attempts,
            seconds=seconds,
            idempotence_key=self.request.idempotence_key,
            unreachable=unreachable,
            refused=refused,
            outage=self.outage,
            last=last.reason,
            late=self.maybe_late,
            not_created=self.request.creates and not self.maybe_created,
            status=last.status,
            body=last.body,
        )

    def hold_seconds(self, failure: TryAgain) -> float:
        return min(failure.wait_seconds, self.caller.policy.retry_after_max_seconds)

    # --- when it is too late ---

    def too_late(self, delay: float) -> bool:
        """Whether no attempt may start any more after `delay` seconds."""
        caller, now = self.caller, self.caller.clock.monotonic()
        waits = self.attempts > 0 or delay > 0 or (caller.pace is not None and not caller.pace.calm)
        if caller.halted and (waits or caller.unsent_stay):
            return True
        if self.key_is_over(delay) and not self.may_begin_anew(delay):
            return True
        self.outage = self.outage_too_long()
        if self.outage:
            return True
        policy, patience = caller.policy, caller.policy.give_up_seconds
        if not self.known:
            patience = min(policy.unreachable_seconds, patience)
        elif caller.pace is not None and caller.pace.outage is not None:
            return False  # all wait for the server; that is not this call's fault
        else:
            patience += self.out_seconds - self.out_before
        since = self.started
        if not self.maybe_created and caller.pace is not None:
            since = max(since, caller.pace.answered_at)  # nothing is in doubt, and the server has its hands full
        return self.attempts > 0 and now + delay > since + patience

    @property
    def known(self) -> bool:
        """Whether the server has ever answered."""
        pace = self.caller.pace
        return self.reached or self.caller.server_answered or (pace is not None and pace.server_answered)

    @property
    def out_seconds(self) -> float:
        return self.caller.pace.out_seconds if self.caller.pace is not None else 0.0

    def outage_too_long(self) -> bool:
        caller, outage = self.caller, self.caller.pace and self.caller.pace.outage
        if not outage:
            return False
        most = caller.max_outage_seconds
        if not self.known:
            most = min(most, caller.policy.unreachable_seconds)
        return caller.clock.monotonic() - outage.since > most

    def why_not_tried(self) -> str:
        """Why a call is given up without an attempt."""
        if self.caller.halted:
            return "the upload is stopping"
        outage = self.caller.pace and self.caller.pace.outage
        if outage:
            return f"the server does not answer ({outage.reason})"
        return "the idempotence key is near its expiry" if self.sent_before else "there was no time for it"

    # --- what tenacity asks ---

    def wait_seconds(self, state: tenacity.RetryCallState) -> float:
        failure, policy, pace = _failure(state), self.caller.policy, self.caller.pace
        if pace is not None and pace.outage is not None:
            return self.hold_seconds(failure)  # the probes have a rhythm of their own
        exponent = min(state.attempt_number - 1, 30)
        jitter = self.caller.rng.uniform(0, min(policy.backoff_max_seconds, policy.backoff_seconds * 2**exponent))
        return jitter + self.hold_seconds(failure)

    def must_stop(self, state: tenacity.RetryCallState) -> bool:
        most = self.caller.policy.max_attempts
        return (most is not None and state.attempt_number >= most) or self.too_late(state.upcoming_sleep)

    def before_sleep(self, state: tenacity.RetryCallState) -> None:
        self.last = _failure(state)
        if self.on_retry is not None:
            reason = _failure(state).reason
            self.on_retry(Retry(attempt=state.attempt_number, reason=reason, wait_seconds=state.upcoming_sleep))
