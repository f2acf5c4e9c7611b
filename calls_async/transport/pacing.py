"""How fast: contacts a second."""

from __future__ import annotations

import math

from calls_async.errors import ConfigurationError
from calls_async.transport.clock import Clock

BURST_SECONDS = 0.1
"""No chunk is larger than what the rate allows in this time (but one contact at least), so that the rate holds over
short spans, too: within 2 % over any 10 seconds."""


class RateLimiter:
    """Hands out places on a time line, first come, first served."""

    def __init__(self, contacts_per_second: float, clock: Clock) -> None:
        if not 0 < contacts_per_second < math.inf:
            raise ConfigurationError(f"rate must be greater than 0 contacts a second, not {contacts_per_second!r}")
        self._rate = contacts_per_second
        self._clock = clock
        self._free_at = clock.monotonic()

    @property
    def largest_chunk(self) -> int:
        """How many contacts may go at once."""
        return max(1, int(self._rate * BURST_SECONDS))

    async def take(self, contacts: int) -> None:
        """Returns when `contacts` more may be sent."""
        now = self._clock.monotonic()
        start = max(now, self._free_at)
        self._free_at = start + contacts / self._rate
        if start > now:
            await self._clock.sleep(start - now)
