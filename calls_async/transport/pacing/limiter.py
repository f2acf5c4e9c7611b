"""Limiter."""

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


class RateLimiter:
    """Hands out places on a time line, first come, first served."""

    def __init__(self, contacts_per_second: float, clock: Clock) -> None:
        if not 0 < contacts_per_second < math.inf:
            raise ConfigurationError(f"rate must be greater than 0 contacts a second, not {contacts_per_second!r}")
        self._rate = contacts_per_second
        self._clock = clock
        self._free_at = clock.monotonic()
        self._turn = asyncio.Lock()

    @property
    def largest_chunk(self) -> int:
        """How many contacts may go at once."""
        return max(1, int(self._rate * BURST_SECONDS))

    async def take(
        self,
        contacts: int,
        enter: Callable[[], Awaitable[bool]],
        *,
        too_late: Callable[[float], bool] = lambda seconds: False,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> bool:
        """Returns when `contacts` more may be sent and `enter`, which is asked then, says so. False: it does not, or
        it would be too late after so many seconds."""
        async with self._turn:  # one at a time, or what waits for `enter` would go all at once
            while (wait := self._free_at - self._clock.monotonic()) > 0:
                if too_late(wait):
                    return False
                await (sleep or self._clock.sleep)(wait)
            if not await enter():
                return False
            now = self._clock.monotonic()
            start = self._free_at if now - self._free_at <= SLACK_SECONDS else now
            self._free_at = start + contacts / self._rate
            return True
