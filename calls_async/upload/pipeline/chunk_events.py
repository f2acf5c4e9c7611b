"""What an upload tells of its chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from calls_async.events import ChunkDone, ChunkEvent, ChunkRetried, ChunkSent, ChunkSplit, ChunkWaits, Event
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
        self._tell(ChunkSent, chunk.number, rows=len(chunk.rows), body_bytes=len(chunk.body))

    def retried(self, chunk: Chunk, retry: Retry) -> None:
        """Tell that an attempt at a chunk failed and another will be made."""
        self._tell(ChunkRetried, chunk.number, **attrs.asdict(retry))

    def waits(self, chunk: Chunk, wait_seconds: float) -> None:
        """Tell that a chunk waits for what may be late."""
        self._tell(ChunkWaits, chunk.number, wait_seconds=wait_seconds)

    def split(self, chunk: Chunk, parts: Sequence[Chunk], reason: str) -> None:
        """Tell that rows of a chunk go into smaller ones."""
        self._tell(ChunkSplit, chunk.number, into=tuple(part.number for part in parts), reason=reason)

    def done(self, receipt: Receipt) -> None:
        """Tell what became of a chunk's rows."""
        counts = receipt.counts()
        self._tell(
            ChunkDone,
            receipt.chunk,
            accepted=counts[OutcomeStatus.ACCEPTED],
            duplicates=counts[OutcomeStatus.DUPLICATE],
            rejected=counts[OutcomeStatus.REJECTED],
            unknown=counts[OutcomeStatus.UNKNOWN],
        )

    def _tell(self, kind: type[ChunkEvent], number: int, **fields: Any) -> None:
        self.tell(kind(at=self.clock.wall(), upload_id=self.upload_id, chunk=number, **fields))
