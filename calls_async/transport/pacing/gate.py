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
from calls_async.transport.pacing.outage import OUTAGE_FAILURES, OUTAGE_KEYS, OUTAGE_SECONDS, Outage
from calls_async.transport.pacing.signals import Sign
from calls_async.transport.pacing.window import START, Window
from calls_async.transport.policy import RetryPolicy


class Pace:
    """What one server has shown of itself, shared by all uploads of a client."""

    def __init__(
        self, *, policy: RetryPolicy, clock: Clock, rng: random.Random, window: Window | None = None
    ) -> None:
        self.server_answered = False
        """Whether it ever did."""
        self.outage: Outage | None = None
        self.body_limit = BodyLimit()
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._window = window or Window(START, START)
        self._budget = RetryBudget(clock.monotonic())
        self._members: list[tuple[int, Callable[[Event], None]]] = []
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._held_until = self._probe_at = -math.inf
        self._failures = 0
        self._failing_since = 0.0
        self._failing_keys: set[str | None] = set()
        self._host_fails = False
        self.answered_at = -math.inf
        """When it last did; monotonic seconds."""
        self._out_before = 0.0
        self._usual_bytes = 0.0

    @contextlib.contextmanager
    def shared_by(self, concurrency: int, tell: Callable[[Event], None]) -> Iterator[None]:
        """For the time of an upload that has up to `concurrency` chunks in flight, and is told what happens."""
        member = (concurrency, tell)
        self._members.append(member)
        self._window.largest = sum(most for most, _ in self._members)
        try:
            yield
        finally:
            self._members.remove(member)
            if self._members:
                self._window.largest = sum(most for most, _ in self._members)

    @property
    def window(self) -> int:
        """How many requests may be in flight now."""
        return 1 if self.outage is not None else self._window.limit

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
        until = max(self._held_until, self._probe_at)
        return max(0.0, until - self._clock.monotonic()) if until else 0.0

    @property
    def calm(self) -> bool:
        """Whether an attempt may start without a long wait."""
        return self.outage is None and self.hold_seconds == 0.0

    @property
    def out_seconds(self) -> float:
        """How long the server has answered nothing, all outages together."""
        return self._out_before + self.out_now_seconds

    @property
    def out_now_seconds(self) -> float:
        """How long this outage has lasted; 0 without one."""
        return self._clock.monotonic() - self.outage.since if self.outage is not None else 0.0

    # --- the gate ---

    async def enter(
        self, *, retry: bool, too_late: Callable[[float], bool], sleep: Callable[[float], Awaitable[None]]
    ) -> bool:
        """Returns when an attempt may start, to be ended by `leave`.

        False where it may not: `too_late` is asked whether an attempt that starts after so many seconds would be.
        """
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
        if retry and self.outage is None:
            self._budget.take(self._clock.monotonic())
        return True

    def leave(
        self,
        sign: Sign,
        *,
        started: float,
        retry: bool,
        key: str | None = None,
        reason: str = "",
        hold_seconds: float = 0.0,
        chunk_bytes: int | None = None,
    ) -> None:
        """The attempt that began at `started` (monotonic seconds) has ended. `chunk_bytes` are those of a chunk."""
        try:
            self._learn(sign, started, retry, key, reason, hold_seconds, chunk_bytes)
        finally:
            self._give_back()

    def _learn(
        self,
        sign: Sign,
        started: float,
        retry: bool,
        key: str | None,
        reason: str,
        hold_seconds: float,
        chunk_bytes: int | None,
    ) -> None:
        now, full = self._clock.monotonic(), self._in_flight >= self.window
        limit = self.window
        if sign in (Sign.ANSWERED, Sign.BUSY):
            self._end_outage(now)
            self._failures = 0
            self._failing_keys.clear()
            self._host_fails = False
            self.server_answered = True
        pressed = sign in (Sign.BUSY, Sign.OVERLOADED)
        longer = pressed and now + hold_seconds > self._held_until + 1
        if pressed and hold_seconds > 0:
            self._held_until = max(self._held_until, now + hold_seconds)
        if sign is Sign.ANSWERED:
            self.answered_at = now
            self._budget.refund(retry=retry)
            if chunk_bytes is not None and self._is_usual(chunk_bytes):
                self._window.answered(now, now - started, full=full)
        elif pressed:
            self._window.refused(now, started)
        if sign in (Sign.OVERLOADED, Sign.ABSENT, Sign.FAILED):
            self._fail(now, reason, key, of_host=sign is not Sign.FAILED)
        if pressed and (self.window < limit or (hold_seconds > 0 and longer)):
            self._tell(Throttled(at=self._clock.wall(), reason=reason, window=self.window, hold_seconds=hold_seconds))

    def look_again(self) -> None:
        """Lets everybody who waits at the gate ask again whether it is too late."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(False)

    def _wait_seconds(self, retry: bool) -> float:
        wait = self.hold_seconds
        if retry and self.outage is None:
            wait = max(wait, self._budget.wait_seconds(self._clock.monotonic()))
        return wait

    async def _turn(self) -> bool:
        """Waits for a place in flight. False: look again."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self._give_back()
            raise

    def _give_back(self) -> None:
        """Gives free a place in flight, and hands on those that are free."""
        self._in_flight -= 1
        while self._waiting and self._in_flight < self.window:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(True)

    def _is_usual(self, chunk_bytes: int) -> bool:
        """Whether a chunk is of the usual size: how fast a small one is answered says nothing about a large one."""
        self._usual_bytes = max(float(chunk_bytes), self._usual_bytes * 0.95)
        return chunk_bytes * 2 >= self._usual_bytes

    # --- outages ---

    def _fail(self, now: float, reason: str, key: str | None, *, of_host: bool) -> None:
        if self._failures == 0:
            self._failing_since = now
        self._failures += 1
        if len(self._failing_keys) < OUTAGE_KEYS:
            self._failing_keys.add(key)
        self._host_fails = self._host_fails or of_host
        lasting = self._failures >= OUTAGE_FAILURES and now - self._failing_since >= OUTAGE_SECONDS
        if self.outage is None and lasting and (self._host_fails or len(self._failing_keys) >= OUTAGE_KEYS):
            self.outage = Outage(self._failing_since, reason)
            self._tell(OutageBegan(at=self._clock.wall(), reason=reason))
        if self.outage is not None:
            self.outage.reason = reason
            exponent = min(self.outage.probes, 30)
            most = min(self._policy.backoff_max_seconds, self._policy.backoff_seconds * 2**exponent)
            self.outage.probes += 1
            self._probe_at = now + self._rng.uniform(most / 2, most)

    def _end_outage(self, now: float) -> None:
        outage, self.outage = self.outage, None
        if outage is not None:
            self._out_before += now - outage.since
            self._probe_at = now
            self._window.restart(now)
            self._tell(OutageEnded(at=self._clock.wall(), seconds=now - outage.since))

    def _tell(self, event: Event) -> None:
        for _, tell in list(self._members):
            tell(event)
