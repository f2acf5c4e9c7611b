"""What sending a chunk has come to."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from calls_async.errors import NoAnswerError
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.outcomes.outcome import Verdict


@attrs.frozen(slots=True)
class SendResult:
    """The verdict of some of a chunk's rows, and those that must be sent anew, under new keys, in smaller groups.
    Rows are meant by their index in the chunk."""

    verdict: Verdict
    stays: Sequence[int]
    again: Sequence[Sequence[int]] = ()
    reason: str = ""
    """Why some are sent anew."""

    @classmethod
    def settled(cls, verdict: Verdict) -> SendResult:
        """Make the result of a chunk all of whose rows have a verdict."""
        return cls(verdict, range(len(verdict.statuses)))

    @classmethod
    def split(cls, groups: Sequence[Sequence[int]], reason: str) -> SendResult:
        """Make the result of a chunk all of whose rows are sent anew."""
        return cls(Verdict.none(), (), groups, reason)


@attrs.frozen(slots=True, kw_only=True)
class Doubt:
    """A chunk that was refused, or failed at, when a request of it may still be acted upon: the report tells what
    became of it, once nothing can be late any more."""

    chunk: Chunk
    error: NoAnswerError
    first_sent_at: float
    """Unix time, seconds."""
