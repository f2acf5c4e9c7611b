"""Calls in virtual time over a line to a scripted server."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from calls_async import Event, RetryPolicy
from calls_async.protocol import endpoints
from calls_async.protocol.endpoints import Request, Response
from calls_async.transport.attempts import CallContext, CallPlan, Runtime
from calls_async.transport.caller import Caller
from calls_async.transport.clock import Clock
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.pacing.limiter import Limiter
from tests.proofs.simulation.loop import SimulatedLoop


def answer(status: int, **headers: str) -> Response:
    return Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


@attrs.define
class Line:
    """A server that answers as `says` tells, and notes when each request came; time is the loop's."""

    loop: SimulatedLoop
    says: Callable[[float, Request], Response | Exception]
    seconds: float = 0.1
    came: list[float] = attrs.field(factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def exchange(self, request: Request) -> Response:
        self.came.append(self.loop.time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        said = self.says(self.loop.time(), request)
        if isinstance(said, Exception):
            raise said
        return said


@attrs.define
class Setting:
    """Callers of one client, a line to a server, and what was told."""

    loop: SimulatedLoop = attrs.field(factory=lambda: SimulatedLoop(random.Random(1)))
    told: list[Event] = attrs.field(factory=list)
    pace: Pace = attrs.field(init=False)
    line: Line = attrs.field(init=False)
    clock: Clock = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        loop = self.loop
        self.clock = Clock(wall=lambda: 1.8e9 + loop.time(), monotonic=loop.time, sleep=asyncio.sleep)
        self.pace = Pace(policy=RetryPolicy.for_uploads(), clock=self.clock, rng=random.Random(2))

    def caller(
        self, *, max_outage_seconds: float = math.inf, limiter: Limiter | None = None, **settings: Any
    ) -> Caller:
        context = CallContext(
            runtime=Runtime(exchange=self.line.exchange, clock=self.clock, rng=random.Random(3)),
            policy=attrs.evolve(RetryPolicy.for_uploads(), **settings),
            gate=self.pace,
            limiter=limiter or Limiter(),
            max_outage_seconds=max_outage_seconds,
        )
        return Caller(context)

    def play(
        self,
        says: Callable[[float, Request], Response | Exception],
        act: Callable[[], Awaitable[Any]],
        *,
        at_most: int = 16,
        seconds: float = 0.1,
    ) -> Any:
        self.line = Line(self.loop, says, seconds)

        async def main() -> Any:
            with self.pace.shared_by(at_most, self.told.append):
                return await act()

        try:
            return self.loop.run_until_complete(main())
        finally:
            assert self.pace.in_flight == 0
            assert not asyncio.all_tasks(self.loop)
            self.loop.close()


def request(number: int = 0) -> Request:
    return endpoints.add_phones("token", b"[%d]" % number, f"key {number}")


async def call(caller: Caller, number: int = 0, contacts: int = 0) -> list[str]:
    return await caller.call(CallPlan(request=request(number), contacts=contacts), endpoints.read_ids)


async def many(caller: Caller, count: int, contacts: int = 0) -> list[Any]:
    return await asyncio.gather(*(call(caller, n, contacts) for n in range(count)), return_exceptions=True)
