"""Writes chunks down and puts them into the queue: when they are sealed, answered, split or kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from calls_async.transport.pacing.body_limit import BodyLimit
from calls_async.upload.chunks.chunk import Chunk, Mark
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.journal.journal import Journal
from calls_async.upload.pipeline.chunk_events import ChunkEvents
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.send_result import SendResult


class Recorder:
    """Writes down what an upload intends and what it was answered. `from_before` are the numbers of the chunks that
    an earlier process has read, whose parts it follows."""

    def __init__(
        self,
        journal: Journal,
        chunker: Chunker,
        queue: ChunkQueue[Chunk],
        events: ChunkEvents,
        body_limit: BodyLimit,
        from_before: Collection[int],
    ) -> None:
        self._journal = journal
        self._chunker = chunker
        self._queue = queue
        self._events = events
        self._body_limit = body_limit
        self._noted_limit: int | None = None
        self.planned = 0
        """How many chunks of the source it has written down."""
        self._from_before = set(from_before)

    @property
    def keeps(self) -> bool:
        """Whether what has no answer stands in a journal."""
        return self._journal.keeps

    def is_from_before(self, chunk: Chunk) -> bool:
        """Return whether an earlier process has read the chunk's rows."""
        return chunk.number in self._from_before

    def plan(self, chunk: Chunk, mark: Mark | None) -> None:
        """Write a sealed chunk down and let it wait for a worker."""
        self.planned += 1
        self._journal.plan(chunk, mark)
        self._queue.put([chunk])

    def note_encoding(self, encoding: str) -> None:
        """Write down what the source's text is read as."""
        self._journal.note_encoding(encoding)

    async def note_unsent(self, chunk: Chunk) -> None:
        """Write down that the first attempt at `chunk` came to nothing, for certain."""
        await self._journal.note_unsent(chunk)

    async def note_denied(self, chunk: Chunk) -> None:
        """Write down that the first attempt at `chunk`, and the only one, was told that nothing goes here."""
        await self._journal.note_denied(chunk)

    async def note_result(self, chunk: Chunk, result: SendResult) -> Chunk:
        """Write down what became of a chunk; what must be sent anew goes into chunks of its own in the same step.
        Return what is left of it."""
        await self._note_body_limit()
        if len(result.stays) == len(chunk.rows):
            if chunk.rows:
                await self._journal.note_answered(chunk, result.verdict)
            return chunk
        rest, parts = await self._split(chunk, result)
        if self.is_from_before(chunk):
            self._from_before.update(part.number for part in parts)
        self._events.split(chunk, parts, result.reason)
        self._queue.put(parts, first=True)
        return rest

    async def keep(self, chunks: Sequence[Chunk]) -> None:
        """Write refused chunks down anew, under new keys, for the next process."""
        for chunk in chunks:
            await self._split(chunk, SendResult.split([range(len(chunk.rows))], ""))

    async def _split(self, chunk: Chunk, result: SendResult) -> tuple[Chunk, list[Chunk]]:
        chunker = self._chunker
        rest, parts = chunk.divide(
            result.stays, result.again, take_number=chunker.take_number, upload_id=chunker.upload_id
        )
        await self._journal.split(rest, result.verdict, parts)
        return rest, parts

    async def _note_body_limit(self) -> None:
        limit = self._body_limit.certain
        if limit is not None and limit != self._noted_limit:
            self._noted_limit = limit
            await self._journal.note_body_limit(limit)
