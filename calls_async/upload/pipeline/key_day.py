"""Until when a chunk's key may be used (C-IDEM-7): by whichever clock says that it is oldest."""

from __future__ import annotations

import math

from calls_async.protocol import keys
from calls_async.transport.caller import Caller
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.journal.journal import Journal
from calls_async.upload.outcomes.attribution import SKEW_SECONDS


class KeyDay:
    """The day of one chunk's key. It begins with the chunk's first send, in this process or an earlier one."""

    def __init__(self, chunk: Chunk, caller: Caller, journal: Journal, *, not_after: float = math.inf) -> None:
        """Take `not_after`, when a new key may not be used any more either, by the journal's time."""
        self._caller = caller
        self._journal = journal
        self._not_after = not_after
        self._from_before = chunk.first_sent_at is not None
        self._sent_ahead = chunk.first_sent_ahead
        self.first_sent_at = chunk.first_sent_at
        """Unix time, seconds; None as long as it was not sent."""

    def begin(self, at: float) -> None:
        """Note that the chunk is about to be sent for the first time, at `at` (Unix time, seconds)."""
        self.first_sent_at, self._sent_ahead = at, self._caller.server_ahead

    def ends_at(self) -> float:
        """Return the last moment for an attempt by this machine's clocks (Unix time, seconds). At once for a first
        send in the future, which was noted by a clock that was wrong: nobody knows when that key's day ends."""
        if self.first_sent_at is None:
            return math.inf
        wall = self._caller.clock.wall()
        if not self._from_before:
            return min(keys.last_attempt_at(self.first_sent_at), wall + self._not_after - self._journal.now())
        if self.first_sent_at > wall + SKEW_SECONDS:
            return 0.0
        return wall + keys.last_attempt_at(self.first_sent_at) - self._journal.now()

    def ends_by_server_at(self) -> float:
        """Return the same by the server's clock, in the time of this machine's as that is set now; endless where
        nobody knows what time it is for the server."""
        ahead = self._caller.server_ahead
        if ahead is None or self.first_sent_at is None:
            return math.inf
        if self._sent_ahead is None and not self._from_before:
            self._sent_ahead = ahead  # of a send of this process, which had no answer yet
        return keys.last_attempt_at(self.first_sent_at + (self._sent_ahead or 0.0)) - ahead
