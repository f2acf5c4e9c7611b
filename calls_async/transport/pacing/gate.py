"""How fast and how many at once: the gate that every attempt of every upload passes, and what it has learnt."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from calls_async.events import Event, OutageBegan, OutageEnded, Throttled
from calls_async.transport.clock import Clock
from calls_async.transport.pacing.body_limit import BodyLimit
from calls_async.transport.pacing.budget import RetryBudget
from calls_async.transport.pacing.outage import Health, Outage, OutageDetector
from calls_async.transport.pacing.signals import AttemptResult, Sign
from calls_async.transport.pacing.window import START, Window
from calls_async.transport.policy import RetryPolicy

TooLate = Callable[[float], bool]
"""Says whether an attempt that starts after so many seconds would be too late."""
Sleep = Callable[[float], Awaitable[None]]


class Gate:
    """What every attempt passes. This one stands open and learns nothing: for single calls."""

    def __init__(self) -> None:
        self.server_answered = False
        """Whether the server ever did."""
        self.recognised = False
        """Whether it has answered as the API does."""
        self.answered_at = -math.inf
        """When it last did; monotonic seconds."""
        self._server_time: float | None = None
        """What time it was for the server when the monotonic clock was at 0, by its `Date`; None: it never said."""

    @property
    def calm(self) -> bool:
        """Whether an attempt may start without a long wait."""
        return True

    @property
    def outage(self) -> Outage | None:
        """The outage that lasts."""
        return None

    @property
    def out_seconds(self) -> float:
        """How long the server has answered nothing, all outages together."""
        return 0.0

    async def enter(self, *, retry: bool, too_late: TooLate, sleep: Sleep) -> bool:
        """Return True when an attempt may start, to be ended by `leave`; False where it would be too late."""
        return not too_late(0.0)

    def leave(self, result: AttemptResult) -> None:
        """Note that an attempt has ended, and learn from how."""

    def server_ahead(self, clock: Clock) -> float | None:
        """Return how many seconds the server's clock is ahead of our wall clock as that is set now; None where nobody
        knows."""
        return None if self._server_time is None else self._server_time + clock.monotonic() - clock.wall()

    def note_server_time(self, server_time: float, clock: Clock) -> None:
        """Note what time it is for the server (Unix time, seconds)."""
        self._server_time = server_time - clock.monotonic()

    def note_recognised(self) -> None:
        """Note that an answer was one of the API's."""
        self.recognised = True

    def note_own_fault(self) -> None:
        """Note that the server is there: what it failed at was one request's own fault."""

    def wake_all(self) -> None:
        """Let everybody who waits at the gate ask again whether it is too late."""


class Pace(Gate):
    """What one server has shown of itself: the gate that all uploads of a client share."""

    def __init__(
        self, *, policy: RetryPolicy, clock: Clock, rng: random.Random, window: Window | None = None
    ) -> None:
        super().__init__()
        self.body_limit = BodyLimit()
        self._clock = clock
        self._window = window or Window(START, START)
        self._budget = RetryBudget(clock.monotonic())
        self._detector = OutageDetector(policy, rng)
        self._members: list[tuple[int, Callable[[Event], None]]] = []
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._held_until = -math.inf
        self._usual_bytes = 0.0

    @contextlib.contextmanager
    def shared_by(self, concurrency: int, tell: Callable[[Event], None]) -> Iterator[None]:
        """Share the pace with an upload that has up to `concurrency` chunks in flight and is told what happens."""
        member = (concurrency, tell)
        self._members.append(member)
        self._window.resize(sum(most for most, _ in self._members))
        try:
            yield
        finally:
            self._members.remove(member)
            if self._members:
                self._window.resize(sum(most for most, _ in self._members))

    @property
    def window(self) -> int:
        """How many requests may be in flight now."""
        return 1 if self._detector.health is Health.OUT else self._window.limit

    @property
    def in_flight(self) -> int:
        """How many requests are."""
        return self._in_flight

    @property
    def slowed(self) -> bool:
        """Whether the server has limited the window."""
        return self._window.slowed

    @property
    def hold_seconds(self) -> float:
        """How long nothing is sent."""
        until = max(self._held_until, self._detector.probe_at)
        return max(0.0, until - self._clock.monotonic())

    @property
    def calm(self) -> bool:
        """Whether an attempt may start without a long wait."""
        return self._detector.health is not Health.OUT and self.hold_seconds == 0.0

    @property
    def outage(self) -> Outage | None:
        """The outage that lasts."""
        return self._detector.outage

    @property
    def out_seconds(self) -> float:
        """How long the server has answered nothing, all outages together."""
        return self._detector.out_seconds(self._clock.monotonic())

    @property
    def out_now_seconds(self) -> float:
        """How long this outage has lasted; 0 without one."""
        return self._detector.out_now_seconds(self._clock.monotonic())

    # --- the gate ---

    async def enter(self, *, retry: bool, too_late: TooLate, sleep: Sleep) -> bool:
        """Return True when an attempt may start, to be ended by `leave`; False where it would be too late."""
        while True:
            wait = self._wait_seconds(retry)
            if too_late(wait):
                return False
            if wait > 0:
                await sleep(wait)
                continue
            if self._in_flight < self.window and not self._waiting:
                self._in_flight += 1
            elif not await self._turn():
                continue
            if self._wait_seconds(retry) == 0 and not too_late(0.0):
                break
            self._give_back()
        if retry and self._detector.health is not Health.OUT:
            self._budget.take(self._clock.monotonic())
        return True

    def leave(self, result: AttemptResult) -> None:
        """Note that an attempt has ended, and learn from how."""
        try:
            self._learn(result)
        finally:
            self._give_back()

    def note_own_fault(self) -> None:
        """Note that the server is there: what it failed at was one request's own fault."""
        self._note_answer(self._clock.monotonic())

    def _learn(self, result: AttemptResult) -> None:
        now, full, limit = self._clock.monotonic(), self._in_flight >= self.window, self.window
        sign, hold = result.sign, result.hold_seconds
        if sign in (Sign.ANSWERED, Sign.BUSY):
            self._note_answer(now)
        pressed = sign in (Sign.BUSY, Sign.OVERLOADED)
        longer = pressed and now + hold > self._held_until + 1
        if pressed and hold > 0:
            self._held_until = max(self._held_until, now + hold)
        if sign is Sign.ANSWERED:
            self.answered_at = now
            self._budget.refund(retry=result.retry)
            if result.chunk_bytes is not None and self._is_usual(result.chunk_bytes):
                self._window.answered(now, now - result.started, full=full)
        elif pressed:
            self._window.refused(now, result.started)
        if sign in (Sign.OVERLOADED, Sign.ABSENT, Sign.FAILED):
            self._note_failure(now, result)
        if pressed and (self.window < limit or (hold > 0 and longer)):
            event = Throttled(at=self._clock.wall(), reason=result.reason, window=self.window, hold_seconds=hold)
            self._tell(event)

    def wake_all(self) -> None:
        """Let everybody who waits at the gate ask again whether it is too late."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(False)

    def _wait_seconds(self, retry: bool) -> float:
        wait = self.hold_seconds
        if retry and self._detector.health is not Health.OUT:
            wait = max(wait, self._budget.wait_seconds(self._clock.monotonic()))
        return wait

    async def _turn(self) -> bool:
        """Wait for a place in flight; return False where the caller must look again instead."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self._give_back()
            raise

    def _give_back(self) -> None:
        """Give back a place in flight, and hand on those that are free."""
        self._in_flight -= 1
        while self._waiting and self._in_flight < self.window:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(True)

    def _is_usual(self, chunk_bytes: int) -> bool:
        """Return whether a chunk has the usual size: how fast a small one is answered says nothing of a large one."""
        self._usual_bytes = max(float(chunk_bytes), self._usual_bytes * 0.95)
        return chunk_bytes * 2 >= self._usual_bytes

    def _note_failure(self, now: float, result: AttemptResult) -> None:
        of_host = result.sign is not Sign.FAILED
        if self._detector.note_failure(now, result.reason, result.key, of_host=of_host):
            self._tell(OutageBegan(at=self._clock.wall(), reason=result.reason))

    def _note_answer(self, now: float) -> None:
        self.server_answered = True
        lasted = self._detector.note_answer(now)
        if lasted is not None:
            self._window.restart(now)
            self._tell(OutageEnded(at=self._clock.wall(), seconds=lasted))

    def _tell(self, event: Event) -> None:
        for _, tell in list(self._members):
            tell(event)
