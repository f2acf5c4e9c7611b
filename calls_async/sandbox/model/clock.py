"""The sandbox's own time."""

from __future__ import annotations

import time
from collections.abc import Callable

LAST_MOMENT = 32_503_680_000.0
"""The year 3000: every clock stands still there, while calendars still go on."""


MAX_SPEED = 1_000_000.0


class Clock:
    """Unix time in seconds that can be moved forward, and runs `speed` times as fast as `now`; 0 stands still."""

    def __init__(self, now: Callable[[], float] = time.time, *, speed: float = 1.0) -> None:
        self._now = now
        self._ahead = 0.0
        self._since = now()
        """When it began to run at this speed."""
        self._speed = check_speed(speed)

    def __call__(self) -> float:
        now = self._now()
        return min(LAST_MOMENT, now + self._ahead + (now - self._since) * (self._speed - 1))

    @property
    def speed(self) -> float:
        return self._speed

    def run_at(self, speed: float) -> None:
        """Run `speed` times as fast from now on. Raises ValueError."""
        check_speed(speed)
        moment, self._since = self(), self._now()
        self._ahead = moment - self._since
        self._speed = speed

    def advance(self, *, hours: float = 0.0, seconds: float = 0.0) -> None:
        """Move it forward. Raises ValueError for a step back, for what has happened stays so, and beyond its end."""
        step = hours * 3600 + seconds
        if not step >= 0:
            raise ValueError("a clock can only be moved forward")
        if self() + step > LAST_MOMENT:
            raise ValueError("a clock can be moved to the year 3000, and no further")
        self._ahead += step

    def not_before(self, moment: float) -> None:
        """Move it forward to this moment, if it is behind."""
        self._ahead += max(0.0, moment - self())


def check_speed(speed: float) -> float:
    """Return a speed that can be. Raises ValueError."""
    if not 0 <= speed <= MAX_SPEED:
        raise ValueError(f"the speed of a clock must be 0 to {MAX_SPEED:.0f}")
    return speed
