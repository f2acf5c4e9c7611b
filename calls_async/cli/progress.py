"""Progress on standard error: a live line on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import attrs

PLAIN_SECONDS = 10.0
"""Between two plain lines."""
LIVE_SECONDS = 0.25


@attrs.frozen(slots=True, kw_only=True)
class Traffic:
    """How the server takes it."""

    in_flight: int
    window: int
    """How many requests may be in flight now."""
    slowed: bool
    """Whether the server has limited that."""
    hold_seconds: float
    """How long nothing is sent, because the server asked for it."""
    out_seconds: float
    """How long the server has answered nothing."""
    retries: int
    waiting: int
    """How many chunks wait for what may be late."""
    trouble: str | None
    """Why the last request failed that is being retried."""

    def words(self) -> str:
        if self.out_seconds > 0:
            said = f"the server is out for {spell_seconds(self.out_seconds)} ({self.trouble}), still trying"
        elif self.hold_seconds >= 1:
            said = f"the server asked for a pause, {spell_seconds(self.hold_seconds)} more"
        else:
            said = f"{self.in_flight} of {self.window} requests in flight"
            said += ", slowed down by the server" if self.slowed else ""
        if self.waiting:
            said += f", {self.waiting} chunks wait up to 2 min for what may be late"
        if self.retries:
            last = f" (last: {self.trouble})" if self.trouble and self.out_seconds == 0 else ""
            said += f", {self.retries:,} {'retry' if self.retries == 1 else 'retries'}{last}"
        return said


@attrs.frozen(slots=True, kw_only=True)
class Snapshot:
    """How far an upload is."""

    rows: int
    seconds: float
    fraction: float | None
    noun: str = "rows"
    traffic: Traffic | None = None
    """None where nothing is sent."""

    @property
    def rate(self) -> float:
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        if not self.fraction or self.fraction >= 1 or not self.rows:
            return None  # of a workbook all is read at once, and then it is sent
        return self.seconds * (1 - self.fraction) / self.fraction

    def words(self) -> str:
        parts = [f"{self.rows:,} {self.noun}", f"{self.rate:,.0f} {self.noun}/s"]
        if self.traffic is not None:
            parts.append(self.traffic.words())
        if self.fraction is not None:
            parts.append("all read" if self.fraction >= 1 else f"{int(self.fraction * 100)}% read")
        if (left := self.seconds_left) is not None:
            parts.append(f"{spell_seconds(left)} left")
        return ", ".join(parts)


class Display(Protocol):
    every_seconds: float

    def show(self, snapshot: Snapshot) -> None: ...
    def close(self) -> None: ...


class PlainLines:
    """A line now and then."""

    every_seconds = PLAIN_SECONDS

    def show(self, snapshot: Snapshot) -> None:
        print(snapshot.words(), file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class LiveLine:
    """A bar that is drawn over and over, by the rich library."""

    every_seconds = LIVE_SECONDS

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        bar = BarColumn(bar_width=24)
        text = TextColumn("{task.description}", markup=False)
        self._progress = Progress(bar, text, console=Console(stderr=True), auto_refresh=False)
        self._task = self._progress.add_task("starting", total=None)
        self._progress.start()

    def show(self, snapshot: Snapshot) -> None:
        total = None if snapshot.fraction is None else 1.0
        self._progress.update(
            self._task, total=total, completed=snapshot.fraction or 0.0, description=snapshot.words(), refresh=True
        )

    def close(self) -> None:
        self._progress.stop()


def choose_display(*, quiet: bool) -> Display | None:
    if quiet:
        return None
    return LiveLine() if sys.stderr.isatty() else PlainLines()


@asynccontextmanager
async def shown(display: Display | None, look: Callable[[], Snapshot]) -> AsyncIterator[None]:
    """Show what `look` sees, until the block ends."""
    if display is None:
        yield
        return
    ticker = asyncio.create_task(_tick(display, look))
    try:
        yield
    finally:
        ticker.cancel()
        await asyncio.wait([ticker])
        if isinstance(display, LiveLine):
            display.show(look())
        display.close()


async def _tick(display: Display, look: Callable[[], Snapshot]) -> None:
    while True:
        await asyncio.sleep(display.every_seconds)
        display.show(look())


def spell_seconds(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
