"""Contacts and clocks for the batcher's tests."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs

from calls_async.transport.clock import Clock
from tests.helpers.clock import HeldClock

FIRST = 16500000000
DAY = 90_000.0


def contact(number: int) -> dict[str, Any]:
    return {"phone": FIRST + number}


async def settle(turns: int = 20) -> None:
    """Lets every task that can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


def stopped(held_clock: HeldClock) -> tuple[Clock, asyncio.Event]:
    """A clock on which nobody's sleep ends before the event."""
    go_on = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await go_on.wait()
        held_clock.now += seconds

    return attrs.evolve(held_clock.clock(), sleep=sleep), go_on
