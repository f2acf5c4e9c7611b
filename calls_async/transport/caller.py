"""How often and how long a call is tried: the loop around its attempts, by tenacity.

A failure is one of four things. A *definite refusal* (413; 400 and 422 as first answer): nothing was created.
*Nothing goes here* (401, 403, 404 and the like): it concerns every request. *Try again* (no connection, a timeout,
408, 425, 429, 5xx, 409, a 2xx that cannot be read): the same bytes under the same key. *No certain answer* (the
limits are used up, or a refusal proves nothing): never sent again blindly. `answers.py` tells which is which.
"""

from __future__ import annotations

import asyncio

import tenacity

from calls_async.protocol.endpoints import Request
from calls_async.transport.answers import TryAgain
from calls_async.transport.attempts import Answer, Attempts, CallContext, CallPlan, Read
from calls_async.transport.clock import Clock
from calls_async.transport.exchange import ExchangeFailed
from calls_async.transport.pacing.signals import Sign
from calls_async.transport.patience import Halt
from calls_async.transport.telemetry import Telemetry

HEAR_SECONDS = 10.0
"""How long an answer of which nothing but the time is wanted may take."""


class Caller:
    """Makes calls in a context that they share, each by attempts as the policy has it. Many tasks may share one."""

    def __init__(self, context: CallContext) -> None:
        self._context = context

    @property
    def clock(self) -> Clock:
        """The clock that its times go by."""
        return self._context.runtime.clock

    @property
    def telemetry(self) -> Telemetry:
        """What watches it."""
        return self._context.runtime.telemetry

    @property
    def server_ahead(self) -> float | None:
        """How many seconds the server's clock is ahead of ours; None where nobody knows."""
        return self._context.gate.server_ahead(self.clock)

    @property
    def halted(self) -> bool:
        """Whether it was halted."""
        return self._context.halt is not Halt.RUNNING

    async def call(self, plan: CallPlan, read: Read[Answer]) -> Answer:
        """Send what is planned until the answer is certain, and return it as `read` reads it.

        Raises `RefusedError`, `AccessError`, `NoAnswerError`, `UnreachableError`.
        """
        with self.telemetry.call(plan.request):
            return await self._try(Attempts(self._context, plan), read)

    async def hear_from(self, request: Request) -> None:
        """Send a request once, past everybody else, and take whatever comes: only its `Date` is of use. Raises
        `TryAgain` where nothing comes: the server is not there, or this request was lost."""
        try:
            async with asyncio.timeout(HEAR_SECONDS):
                response = await self._context.runtime.exchange(request)
        except TimeoutError:
            silence = TryAgain("no answer in time", sign=Sign.OVERLOADED)
        except ExchangeFailed as failure:
            silence = TryAgain(failure.reason, sign=Sign.FAILED if failure.reached else Sign.ABSENT)
        else:
            self._context.note_answer()
            self._context.note_date(response.headers.get("date", ""))
            return
        raise silence

    async def _try(self, attempts: Attempts, read: Read[Answer]) -> Answer:
        try:
            return await attempts.attempt(read)  # most calls end here, and tenacity takes 0.3 ms of each that it sees
        except TryAgain as failure:
            first: TryAgain | None = failure

        async def attempt() -> Answer:
            nonlocal first
            if first is not None:  # the failure that the policy has not heard of yet
                failure, first = first, None
                raise failure
            return await attempts.attempt(read)

        def wait_seconds(state: tenacity.RetryCallState) -> float:
            return attempts.backoff_seconds(state.attempt_number, _get_failure(state))

        def must_stop(state: tenacity.RetryCallState) -> bool:
            return attempts.must_stop(state.attempt_number, state.upcoming_sleep)

        def before_sleep(state: tenacity.RetryCallState) -> None:
            attempts.note_retry(state.attempt_number, _get_failure(state), state.upcoming_sleep)

        # A fresh tenacity object for each call: a shared one mixes the counts of concurrent tasks.
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(TryAgain),
            wait=wait_seconds,
            stop=must_stop,
            before_sleep=before_sleep,
            sleep=self._context.nap,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except TryAgain as failure:
            last = failure
        raise attempts.give_up(last)  # outside the handler: nothing of the last attempt hangs on it

    def halt(self, halt: Halt) -> None:
        """Allow no more than `halt` says, and wake all calls that wait."""
        self._context.stop(halt)

    async def nap(self, seconds: float) -> None:
        """Sleep, but no longer than until `halt`."""
        await self._context.nap(seconds)


def _get_failure(state: tenacity.RetryCallState) -> TryAgain:
    failure = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(failure, TryAgain):
        raise TypeError(f"tenacity asked about {failure!r}")
    return failure
