"""What an upload tells of its chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from calls_async.events import ChunkDone, ChunkRetried, ChunkSent, ChunkSplit, ChunkWaits, Event
from calls_async.transport.attempts import Retry
from calls_async.transport.clock import Clock
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.outcomes.outcome import Receipt
from calls_async.upload.status import OutcomeStatus


@attrs.frozen(slots=True)
class ChunkEvents:
    """Makes the events of one upload, and hands them to `tell`."""

    upload_id: str
    tell: Callable[[Event], None]
    clock: Clock

    def sent(self, chunk: Chunk) -> None:
        """Tell that a chunk's first attempt begins."""
        rows, size = len(chunk.rows), len(chunk.body)
        self.tell(
            ChunkSent(at=self.clock.wall(), upload_id=self.upload_id, chunk=chunk.number, rows=rows, body_bytes=size)
        )

    def retried(self, chunk: Chunk, retry: Retry) -> None:
        """Tell that an attempt at a chunk failed and another will be made."""
        self.tell(
            ChunkRetried(
                at=self.clock.wall(),
                upload_id=self.upload_id,
                chunk=chunk.number,
                attempt=retry.attempt,
                reason=retry.reason,
                wait_seconds=retry.wait_seconds,
            )
        )

    def waits(self, chunk: Chunk, wait_seconds: float) -> None:
        """Tell that a chunk waits for what may be late."""
        at = self.clock.wall()
        self.tell(ChunkWaits(at=at, upload_id=self.upload_id, chunk=chunk.number, wait_seconds=wait_seconds))

    def split(self, chunk: Chunk, parts: Sequence[Chunk], reason: str) -> None:
        """Tell that rows of a chunk go into smaller ones."""
        into = tuple(part.number for part in parts)
        at = self.clock.wall()
        self.tell(ChunkSplit(at=at, upload_id=self.upload_id, chunk=chunk.number, into=into, reason=reason))

    def done(self, receipt: Receipt) -> None:
        """Tell what became of a chunk's rows."""
        counts = receipt.counts()
        self.tell(
            ChunkDone(
                at=self.clock.wall(),
                upload_id=self.upload_id,
                chunk=receipt.chunk,
                accepted=counts[OutcomeStatus.ACCEPTED],
                duplicates=counts[OutcomeStatus.DUPLICATE],
                rejected=counts[OutcomeStatus.REJECTED],
                unknown=counts[OutcomeStatus.UNKNOWN],
            )
        )
