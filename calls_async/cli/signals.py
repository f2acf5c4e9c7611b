"""Signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from calls_async.cli.output import warn
from calls_async.upload.upload import Upload

DRAIN_SECONDS = 30.0
"""How long SIGTERM lets what is in flight finish."""


@attrs.define
class _Signals:
    """The signals that came while an upload was running."""

    count: int = 0
    cancelled: bool = False
    over: bool = False
    """The upload has ended; there is nothing left to stop."""


@contextmanager
def _signals(one: Upload) -> Iterator[_Signals]:
    """Ctrl-C once: stop reading, let what is in flight finish. Twice: stop at once. SIGTERM: the same, by itself."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    seen = _Signals()
    timers: list[asyncio.TimerHandle] = []

    def interrupt() -> None:
        seen.count += 1
        if seen.over or task is None:
            return
        if seen.count == 1:
            warn("stopping: what is in flight finishes, and is not tried again; Ctrl-C again stops at once")
            one.stop(try_again=False)
        else:
            seen.cancelled = True
            task.cancel()

    def terminate() -> None:
        interrupt()
        timers.append(loop.call_later(DRAIN_SECONDS, interrupt))

    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        yield seen
    finally:
        for timer in timers:
            timer.cancel()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)
            if seen.count:
                signal.signal(signum, signal.SIG_IGN)  # it is ending already
