"""How many contacts a second: a limiter of this process, none, or one that is handed in."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from calls_async.errors import ConfigurationError
from calls_async.transport.clock import Clock

BURST_SECONDS = 0.1
"""No chunk is larger than what the rate allows in this time (but one contact at least), so that the rate holds over
short spans, too: within 2 % over any 10 seconds."""
SLACK_SECONDS = 0.05
"""How much lateness of a sleep is made up for."""

Enter = Callable[[], Awaitable[bool]]
"""Waits at the gate; False where it would be too late."""
TooLate = Callable[[float], bool]
Sleep = Callable[[float], Awaitable[None]]


class Limiter:
    """Hands out the right to send contacts. This one sets no limit; a cluster may bring its own."""

    @property
    def largest_chunk(self) -> int | None:
        """How many contacts may go at once; None: any number."""
        return None

    async def take(self, contacts: int, enter: Enter, *, too_late: TooLate, sleep: Sleep) -> bool:
        """Return True when `contacts` more may be sent and `enter`, which is asked then, agrees; False where it does
        not, or it would be too late."""
        return await enter()


class RateLimiter(Limiter):
    """Hands out places on a time line, first come, first served."""

    def __init__(self, contacts_per_second: float, clock: Clock) -> None:
        check_rate(contacts_per_second)
        self._rate = contacts_per_second
        self._clock = clock
        self._free_at = clock.monotonic()
        self._turn = asyncio.Lock()

    @property
    def largest_chunk(self) -> int:
        return largest_chunk(self._rate)

    async def take(self, contacts: int, enter: Enter, *, too_late: TooLate, sleep: Sleep) -> bool:
        if not contacts:
            return await enter()
        async with self._turn:  # one at a time, or what waits for `enter` would go all at once
            while (wait := self._free_at - self._clock.monotonic()) > 0:
                if too_late(wait):
                    return False
                await sleep(wait)
            if not await enter():
                return False
            now = self._clock.monotonic()
            start = self._free_at if now - self._free_at <= SLACK_SECONDS else now
            self._free_at = start + contacts / self._rate
            return True


def check_rate(contacts_per_second: float) -> None:
    """Raise `ConfigurationError` for a rate that is none."""
    if not 0 < contacts_per_second < math.inf:
        raise ConfigurationError(f"rate must be greater than 0 contacts a second, not {contacts_per_second!r}")


def largest_chunk(contacts_per_second: float) -> int:
    """Return how many contacts may go at once at a rate, so that it holds over short spans, too."""
    return max(1, int(contacts_per_second * BURST_SECONDS))
