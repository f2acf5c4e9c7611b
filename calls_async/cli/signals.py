"""What signals do to an upload."""

from __future__ import annotations

import asyncio
import signal
from typing import Self

from calls_async.cli.output import warn
from calls_async.upload.upload import Upload

DRAIN_SECONDS = 30.0
"""How long SIGTERM lets what is in flight finish."""


class SignalHandler:
    """Ctrl-C once: stop reading, let what is in flight finish. Twice: stop at once. SIGTERM: the same, by itself."""

    def __init__(self, upload: Upload) -> None:
        self.count = 0
        """How many signals came."""
        self.cancelled = False
        """Whether the upload's task was cancelled."""
        self._upload: Upload | None = upload
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timers: list[asyncio.TimerHandle] = []

    def end(self) -> None:
        """Stop nothing any more: the upload has ended."""
        self._upload = None

    def _interrupt(self) -> None:
        self.count += 1
        if self._upload is None or self._task is None:
            return
        if self.count == 1:
            warn("stopping: what is in flight finishes, and is not tried again; Ctrl-C again stops at once")
            self._upload.stop(try_again=False)
        else:
            self.cancelled = True
            self._task.cancel()

    def _terminate(self) -> None:
        self._interrupt()
        self._timers.append(self._loop.call_later(DRAIN_SECONDS, self._interrupt))

    def __enter__(self) -> Self:
        self._loop.add_signal_handler(signal.SIGINT, self._interrupt)
        self._loop.add_signal_handler(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(signum)
            if self.count:
                signal.signal(signum, signal.SIG_IGN)  # it is ending already
