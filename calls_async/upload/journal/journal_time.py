"""What time it is for a journal, where clocks may be wrong: a key is as old as the oldest clock says, and what may be
forgotten is as young as the youngest says."""

from __future__ import annotations

from collections.abc import Callable

from calls_async.transport.clock import Clock


class JournalTime:
    """Tells a journal's time, which never runs backwards, also not from one process to the next: `latest` is the last
    time that stands in it (Unix time, seconds). `server_ahead` says how far the server's clock is ahead, if known."""

    def __init__(
        self, clock: Clock, *, latest: float = 0.0, server_ahead: Callable[[], float | None] = lambda: None
    ) -> None:
        self._clock = clock
        self._server_ahead = server_ahead
        self._wall = clock.wall()
        self._monotonic = clock.monotonic()
        self._now = max(latest, self._wall)
        self._began = self._now
        self._ahead: float | None = None
        """Of the server's clock, when that was first known: how far this time is behind it."""

    def now(self) -> float:
        """Return the time by which keys grow old: the latest that the wall clock, the monotonic clock and the
        server's `Date` say."""
        wall, ahead = self._clock.wall(), self._server_ahead()
        self._now = max(self._now, wall, self._began + self._clock.monotonic() - self._monotonic)
        if ahead is not None:
            if self._ahead is None:
                self._ahead = wall + ahead - self._now
            self._now = max(self._now, wall + ahead - self._ahead)
        return self._now

    def youngest(self) -> float:
        """Return the time by which something may be forgotten: the earliest that they say."""
        wall, ahead = self._clock.wall(), self._server_ahead()
        by_process = self._wall + self._clock.monotonic() - self._monotonic
        return min(wall, by_process, wall + (ahead or 0.0))
