"""What an upload is doing, and why it stops: one phase, one reason."""

from __future__ import annotations

import asyncio
from enum import IntEnum


class Phase(IntEnum):
    """What an upload is doing; it only ever goes on to a later one."""

    OPENING = 0
    """The journal is opened, and the lists of excluded numbers are read."""
    READING = 1
    """Rows are read and sent."""
    DRAINING = 2
    """Nothing more is read; what was read is sent."""
    HALTING = 3
    """Nothing more is tried; what is in flight may still be answered."""
    CLOSED = 4
    """It has ended."""


class StopReason(IntEnum):
    """Why nothing more is read; a graver reason takes the place of a lesser one."""

    END_OF_SOURCE = 0
    """The source was read to its end."""
    ASKED = 1
    """`stop()`: what was read is still sent."""
    ASKED_AT_ONCE = 2
    """`stop(try_again=False)`: what fails from now on is not repeated."""
    FAILED = 3
    """Something makes every further request fail."""


class RunState:
    """The state of one upload. Transitions are methods; everything else is a question."""

    def __init__(self) -> None:
        self.phase = Phase.OPENING
        self.reason: StopReason | None = None
        self.error: BaseException | None = None
        """What the reader of the receipts will be told."""
        self.read_whole = False
        """Whether the source was read to its end."""
        self.left_over = False
        """Whether something has no outcome, and stands in the journal or nowhere."""
        self._opened = asyncio.Event()
        self._failed = asyncio.Event()

    # --- transitions ---

    def begin_reading(self) -> None:
        """Go on to READING, where nobody asked to stop meanwhile."""
        self._advance(Phase.READING)
        self._opened.set()

    def end_source(self, *, whole: bool) -> None:
        """Go on to DRAINING: there is no more to read; `whole`: nor will there be another time."""
        self.read_whole = whole
        self._stop(StopReason.END_OF_SOURCE, Phase.DRAINING)

    def stop(self, *, at_once: bool) -> None:
        """Go on to DRAINING, or HALTING: somebody asks for it."""
        if at_once:
            self._stop(StopReason.ASKED_AT_ONCE, Phase.HALTING)
        else:
            self._stop(StopReason.ASKED, Phase.DRAINING)

    def fail(self, error: BaseException) -> None:
        """Go on to HALTING: every further request would fail, too. That takes the place of an error of the source,
        which is told when all that was read has been sent; what fails afterwards follows from it."""
        if not self.failed:
            self.error = error
        self._stop(StopReason.FAILED, Phase.HALTING)
        self._failed.set()

    def close(self) -> None:
        """Go on to CLOSED."""
        self._advance(Phase.CLOSED)
        self._opened.set()

    def note_error(self, error: BaseException) -> None:
        """Keep what the reader of the receipts is to be told in the end, where it is the first error."""
        self.error = self.error or error

    def note_left_over(self) -> None:
        """Note that something has no outcome."""
        self.left_over = True

    # --- questions ---

    @property
    def stopping(self) -> bool:
        """Whether nothing more is to be read, though the source may have more."""
        return self.reason not in (None, StopReason.END_OF_SOURCE)

    @property
    def failed(self) -> bool:
        """Whether every further request would fail."""
        return self.reason is StopReason.FAILED

    async def wait_until_opened(self) -> None:
        """Wait until OPENING is over, however it ended."""
        await self._opened.wait()

    async def wait_until_failed(self) -> None:
        """Wait until `fail`."""
        await self._failed.wait()

    def _advance(self, phase: Phase) -> None:
        self.phase = max(self.phase, phase)

    def _stop(self, reason: StopReason, phase: Phase) -> None:
        self.reason = reason if self.reason is None else max(self.reason, reason)
        self._advance(phase)
