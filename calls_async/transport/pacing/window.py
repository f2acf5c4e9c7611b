"""How many requests may be in flight at once: additive increase, multiplicative decrease, by what the server shows.

Pure: it is told what happened and when, and has no clock of its own. It works in rounds. A round lets what was in
flight before the last change pass, then takes the mean latency of as many answers as the window is wide. A mean well
above that of an idle server means that requests queue there, and the window shrinks to what is in service; otherwise
it grows. A refusal under load (429, 503, a timeout) shrinks it at once, and keeps it below that point for a while.
Now and then it dips, to see again how fast the server is when it is not busy.

The constants were found by simulating 162 servers: 1 to 32 places, queues of 2 to 32, service times of 10 to 300 ms
that vary by 0, 30 and 100 %. The worst of windows that began with 1, 16 and 64 had 95 % of the throughput of the best
fixed number at the median server, and 83 % at the worst one. `benchmarks/pace.py` measures it over real connections.
"""

from __future__ import annotations

from math import sqrt

DECREASE = 0.8
"""What a refusal under load leaves of the window."""
STEEPEST = 0.7
"""What growing latency leaves of the window in one round at least."""
TOLERANCE = 0.2
"""How much longer than an idle server's an answer may take before that counts as queueing."""
DOUBT = 1.5
"""Standard errors of a mean that chance is allowed."""
GROWTH = 0.05
"""The share by which each further round without trouble grows the window faster."""
HOLD_SECONDS = 2.0
"""How long the window stays below the point of the last refusal."""
DIP = 0.6
"""How deep a dip goes."""
FIRST_DIP_SECONDS = 2.0
"""When the first dip comes; each further one after twice the time, up to `DIP_SECONDS`."""
DIP_SECONDS = 20.0
ROUND_ANSWERS = 16
"""Answers in a round at least, unless they take longer than `ROUND_SECONDS`."""
ROUND_SECONDS = 0.5
START = 16
"""The first window."""


class _Round:
    """The answers since the last change, after those to what was in flight then."""

    def __init__(self, began: float, passing: int) -> None:
        self.began = self.since = began
        self.passing = passing
        self.count = 0
        self.full = False
        self._sum = self._squares = 0.0

    def answered(self, now: float, seconds: float, full: bool) -> None:
        if self.passing > 0:
            self.passing -= 1
            self.since = now
            return
        self.full = self.full or full
        self.count += 1
        self._sum += seconds
        self._squares += seconds * seconds

    def mean(self) -> tuple[float, float]:
        """Return the mean latency, and how far it may be off by chance."""
        mean = self._sum / self.count
        return mean, DOUBT * sqrt(max(0.0, self._squares / self.count - mean * mean) / self.count)


class Window:
    """`limit` requests may be in flight, from 1 to `largest`. Times are monotonic seconds."""

    def __init__(self, largest: int, start: int) -> None:
        self._largest = largest
        self._size = float(min(start, largest))
        self._doubling = True
        self._idle_seconds: float | None = None
        self._streak = 0
        self._ceiling = 0.0
        self._refused_at = 0.0
        self._dipped_from: float | None = None
        self._next_dip_at: float | None = None
        self._dip_after = FIRST_DIP_SECONDS
        self._shrunk_from: float | None = None
        self._round = _Round(0.0, self.limit)

    @property
    def limit(self) -> int:
        return int(self._size)

    @property
    def slowed(self) -> bool:
        """Whether it has met the server's limit."""
        return not self._doubling and self._size < self._largest

    @property
    def largest(self) -> int:
        return self._largest

    def resize(self, largest: int) -> None:
        """Let no more than `largest` be in flight, and at least one."""
        self._largest = max(1, largest)
        self._set(self._size)

    def restart(self, now: float) -> None:
        """Begin anew with one request, after an outage."""
        self._set(1.0)
        self._doubling = True
        self._dipped_from = self._shrunk_from = None
        self._begin(now)

    def answered(self, now: float, seconds: float, *, full: bool) -> None:
        """Note that an answer came after `seconds`. `full`: the window was used up."""
        one = self._round
        one.answered(now, seconds, full)
        if one.count < max(2, self.limit) or (one.count < ROUND_ANSWERS and now - one.since < ROUND_SECONDS):
            return
        self._end_round(now, *one.mean())
        self._begin(now)

    def refused(self, now: float, started: float) -> None:
        """Note that a request that was sent at `started` was refused for the load, or had no answer in time."""
        if started < self._round.began:
            return  # it was sent before the last change and says nothing about it
        self._end_dip(now)
        self._doubling = False
        self._streak = 0
        self._ceiling, self._refused_at = self._size, now
        self._set(self._size * DECREASE)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._round = _Round(now, self.limit)

    def _set(self, size: float) -> None:
        self._size = min(float(self._largest), max(1.0, size))

    def _end_round(self, now: float, mean: float, doubt: float) -> None:
        if self._dipped_from is not None:
            self._idle_seconds = mean + doubt
            self._shrunk_from = None
            self._end_dip(now)
            return
        idle = min(mean + doubt, self._idle_seconds or mean + doubt)
        if self._shrunk_from is not None and mean - doubt > self._shrunk_from * 0.9:
            idle = min(mean, idle * 1.5)  # fewer at once and no faster: that is how long it takes now
        self._idle_seconds, self._shrunk_from = idle, None
        in_service = self._size * idle / mean if mean > 0 else self._size
        if mean - doubt > idle * (1 + TOLERANCE) and self._size - in_service > 1:
            self._doubling = False
            self._streak = 0
            self._shrunk_from = mean
            self._set(max(in_service + 1, self._size * STEEPEST))
        elif self._round.full:
            self._grow(now)
        self._dip(now)

    def _grow(self, now: float) -> None:
        if self._doubling:
            self._set(self._size * 2)
        elif self._ceiling and now - self._refused_at < HOLD_SECONDS:
            self._streak = 0
            near = self._ceiling - max(1.0, self._ceiling * 0.05)
            if self._size < near:
                self._set(self._size + max(1.0, (near - self._size) / 2))
        else:
            self._streak += 1
            self._set(self._size + max(1.0, self._size * GROWTH * self._streak))

    def _dip(self, now: float) -> None:
        if self._next_dip_at is None:
            self._next_dip_at = now + self._dip_after
        if now >= self._next_dip_at and self._round.full and self._size > 1:
            self._dipped_from = self._size
            self._set(self._size * DIP)

    def _end_dip(self, now: float) -> None:
        if self._dipped_from is not None:
            self._set(self._dipped_from)
            self._dipped_from = None
            self._dip_after = min(self._dip_after * 2, DIP_SECONDS)
            self._next_dip_at = now + self._dip_after
