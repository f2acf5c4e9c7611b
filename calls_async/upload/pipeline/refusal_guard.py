"""Stops an upload of which everybody is refused: a campaign that takes nobody is no reason to ask it for each of a
million."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.status import OutcomeStatus


class GuardState(Enum):
    """What a guard has seen."""

    COUNTING = auto()
    """Some are taken, or too few were refused to tell."""
    TRIPPED = auto()
    """Too many in a row were refused: the upload is to stop."""


class RefusalGuard:
    """Counts contacts in a row that are refused, each by itself; `most` of them trip it, None never."""

    def __init__(self, most: int | None) -> None:
        self.state = GuardState.COUNTING
        self._most = most
        self._refused: list[Chunk] = []

    def note(self, chunk: Chunk, verdict: Verdict) -> Sequence[Chunk]:
        """Note what the server made of a chunk. Return the refused chunks that are to be kept for another run, once
        it has tripped: all in a row, then each that comes after them."""
        if self._most is None:
            return ()
        if set(verdict.statuses) != {OutcomeStatus.REJECTED}:
            self._refused = []  # not cleared: they may be being kept
            return ()
        if self.state is GuardState.TRIPPED:
            return [chunk]
        self._refused.append(chunk)
        if len(self._refused) < self._most:
            return ()
        self.state = GuardState.TRIPPED
        return self._refused
