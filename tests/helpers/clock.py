"""A clock that is held."""

from __future__ import annotations

import asyncio

import attrs

from calls_async.transport.clock import Clock


@attrs.define
class HeldClock:
    """A clock that moves only when somebody sleeps."""

    now: float = 1_800_000_000.0
    slept: list[float] = attrs.field(factory=list)

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now, monotonic=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
