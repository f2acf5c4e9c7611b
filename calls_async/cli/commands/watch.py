"""`watch`: the campaign as it goes on; a live view on a terminal, a line for each change otherwise."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections import deque
from contextlib import aclosing
from datetime import datetime
from typing import Any, Protocol

import attrs

from calls_async.cli.connection import make_client, read_token
from calls_async.cli.exit_codes import Exit
from calls_async.cli.progress import spell_seconds
from calls_async.protocol.reports import CampaignInfo, ShortReport

RATE_SECONDS = 600.0
"""The rate is that of the last so many seconds."""
_HOUR_SECONDS = 3600.0
BAR_CELLS = 40


async def watch(arguments: Namespace) -> Exit:
    token = read_token(arguments)
    view: View = LiveView() if sys.stdout.isatty() else Lines()
    pace = Pace()
    try:
        async with make_client(arguments) as client:
            changes = client.campaign(token).watch(interval_seconds=arguments.interval)
            async with aclosing(changes):
                async for info in changes:
                    view.show(CampaignView.of(info, pace))
    finally:
        view.close()
    return Exit.DONE


@attrs.define
class Pace:
    """How fast numbers are processed."""

    _seen: deque[tuple[float, int]] = attrs.field(factory=deque)

    def note(self, processed: int, now: float) -> float | None:
        """Note how many were processed by `now`; return numbers a second, None before anything has moved."""
        seen = self._seen
        seen.append((now, processed))
        while len(seen) > 2 and seen[1][0] <= now - RATE_SECONDS:
            seen.popleft()
        seconds, numbers = now - seen[0][0], processed - seen[0][1]
        return numbers / seconds if seconds > 0 and numbers > 0 else None


@attrs.frozen(kw_only=True)
class CampaignView:
    """What there is to see of a campaign; None is what the API did not say."""

    name: str
    status: str
    total: int | None
    processed: int | None
    in_call: int | None
    on_retry: int | None
    talking_time: float | None
    """In the API's own unit, which no page tells."""
    rate: float | None
    """Numbers a second."""

    @classmethod
    def of(cls, info: CampaignInfo, pace: Pace, now: float | None = None) -> CampaignView:
        report = info.short_report if isinstance(info.short_report, ShortReport) else ShortReport()
        processed = _number(report.processed_numbers)
        rate = None
        if processed is not None:
            rate = pace.note(processed, time.monotonic() if now is None else now)
        return cls(
            name=str(info.name or info.id or "campaign"),
            status=str(info.status or "unknown"),
            total=_number(report.total_numbers),
            processed=processed,
            in_call=_number(report.in_process_calls),
            on_retry=_number(report.retry_calls),
            talking_time=_number(report.used_talking_time),
            rate=rate,
        )

    @property
    def fraction(self) -> float | None:
        if not self.total or self.processed is None:
            return None
        return min(1.0, self.processed / self.total)

    @property
    def waiting(self) -> int | None:
        if self.total is None or self.processed is None:
            return None
        return max(0, self.total - self.processed - (self.in_call or 0) - (self.on_retry or 0))

    def numbers(self) -> str:
        """Say how many have been processed."""
        if self.total is None or self.processed is None:
            return "the server does not say how far it is"
        share = "" if self.fraction is None else f" ({self.fraction:.0%})"
        return f"{self.processed:,} of {self.total:,} numbers processed{share}"

    def jobs(self) -> str:
        """Say how many jobs have which status."""
        counts = [("waiting", self.waiting), ("in a call", self.in_call), ("on retry", self.on_retry)]
        return ", ".join(f"{name} {count:,}" for name, count in counts if count is not None)

    def speed(self) -> str:
        """Say talking time, rate and time left."""
        parts = [] if self.talking_time is None else [f"talking time {self.talking_time:,}"]
        if self.rate is not None:
            parts.append(f"{self.rate * _HOUR_SECONDS:,.0f} numbers an hour")
            if self.total is not None and self.processed is not None and self.total > self.processed:
                parts.append(f"about {spell_seconds((self.total - self.processed) / self.rate)} left")
        return ", ".join(parts)


def _number(value: object) -> Any:
    """Return a number, or None: a value of an unexpected type is kept as it came (C-REP-4), and not reckoned with."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


class View(Protocol):
    def show(self, sight: CampaignView) -> None: ...
    def close(self) -> None: ...


class Lines:
    """A line for each change."""

    def show(self, sight: CampaignView) -> None:
        moment = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        parts = [sight.status, sight.numbers(), sight.jobs(), sight.speed()]
        print(f"{moment}  {'; '.join(part for part in parts if part)}", flush=True)

    def close(self) -> None:
        pass


class LiveView:
    """A few lines that are drawn over and over, by the rich library."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(auto_refresh=False)
        self._live.start()

    def show(self, sight: CampaignView) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        moment = datetime.now().astimezone().strftime("%H:%M:%S")
        title = Text.assemble((sight.name, "bold"), f"  {sight.status}  ", (f"as of {moment}", "dim"))
        bar = ProgressBar(total=1.0, completed=sight.fraction or 0.0, width=BAR_CELLS)
        lines = [Text(line) for line in (sight.numbers(), sight.jobs(), sight.speed()) if line]
        self._live.update(Group(title, bar, *lines), refresh=True)

    def close(self) -> None:
        self._live.stop()
