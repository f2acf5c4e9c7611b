"""From the source to the queue: rows are read, screened and sealed into chunks, and these are written down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from itertools import chain

import attrs

from calls_async.errors import CallsError, SourceError
from calls_async.transport.clock import Clock
from calls_async.transport.pacing.gate import Pace
from calls_async.upload.chunks.chunk import Chunk, Mark
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.journal.journal import Journal
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.state import Course
from calls_async.upload.rows.row import Run
from calls_async.upload.screening.screening import Screening
from calls_async.upload.sources.checkpoint import NOTHING, Consumed
from calls_async.upload.sources.source import Source


@attrs.define(kw_only=True)
class Intake:
    """`read` is run by one task, `linger` beside it; when that has ended, `end` seals what is left."""

    source: Source
    screening: Screening
    chunker: Chunker
    queue: ChunkQueue
    pace: Pace
    clock: Clock
    course: Course
    linger_seconds: float
    journal: Journal | None = None
    consumed: Consumed = NOTHING
    """What earlier processes have taken from the source."""
    pending: Sequence[Chunk] = ()
    """Their chunks without an answer; sent again once the source is known to be the same."""
    read_whole: bool = False
    """Whether the source has been read to its end."""
    caught_up: asyncio.Event = attrs.field(factory=asyncio.Event)
    """The source has been read again as far as before."""
    untaken: Sequence[Run] = ()
    """Of a batch that seals its chunks: what stands in none that is written down."""
    _runs: Sequence[Run] = ()
    """Those of the batch under way that have not been screened yet."""
    _chunks: Iterator[Chunk] = attrs.field(factory=lambda: iter(()))
    """What it still has to give."""
    _mark: Mark | None = None

    async def read(self) -> None:
        """Ends with the source, when it is cancelled because the upload stops, or with an error noted in `course`."""
        if not self.source.given_again:
            self._send_pending()
        try:
            async with aclosing(self.source.batches(self.consumed)) as batches:
                async for batch in batches:
                    self._runs = batch.runs
                    if batch.seals:
                        await self._take_in_sealed()
                        if self.course.stopping:
                            return
                        continue
                    await self._screen()
                    for chunk in self._chunks:
                        self._take_in(chunk, batch.mark)
                        await self.queue.room()
                        if self.course.stopping:
                            return
                    self._mark = batch.mark or self._mark
            self._send_pending()
            self.read_whole = True
        except asyncio.CancelledError:
            if self.course.stopping:
                return
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self.course.error = SourceError(self.source.name, "was cancelled while it was being read")
        except Exception as error:  # noqa: BLE001  # raised to the reader of the receipts, after what was read before it
            self.course.error = error

    async def _take_in_sealed(self) -> None:
        """All at once: who brought these rows must know of each whether it is written down."""
        self.untaken = self._runs
        await self._screen()
        for chunk in chain(self._chunks, self.chunker.flush()):
            self._take_in(chunk, None)
        self.untaken = ()
        await self.queue.room()

    async def linger(self) -> None:
        """Sends a chunk that has waited for its next row as long as the settings allow, if the server is idle."""
        waiting = -1
        while self.source.may_pause:
            await self.clock.sleep(self.linger_seconds)
            sealed = self.chunker.sealed
            if not self.chunker.empty and sealed == waiting and self.queue.has_room:
                self._flush()
            waiting = sealed if not self.chunker.empty else -1

    async def end(self) -> None:
        """What was drawn and cannot be drawn again, and what is left of a chunk, goes its way; the workers end when
        all is sent."""
        self.caught_up.set()
        if not self.course.failed.is_set():
            try:
                if not self.source.is_file:
                    await self._take_in_rest()
            except CallsError as error:
                self.course.error = self.course.error or error
            self._flush()
        self.queue.close()

    async def _take_in_rest(self) -> None:
        for runs in ((), self._runs, self.source.left()):
            if runs:
                self._runs = runs
                await self._screen()
            for chunk in self._chunks:
                self._take_in(chunk, None)
        self.untaken = ()

    async def _screen(self) -> None:
        runs = await self.screening.sift(self._runs, known=self.consumed.rows)
        self._runs = ()
        if runs:
            self._send_pending()
        self.chunker.wanted_bytes = self.pace.body_limit.largest
        self._chunks = self.chunker.feed(runs)

    def _send_pending(self) -> None:
        self.caught_up.set()
        pending, self.pending = self.pending, ()
        self.queue.put(pending)

    def _take_in(self, chunk: Chunk, mark: Mark | None) -> None:
        """Writes a sealed chunk down and lets it wait for a worker."""
        self._mark = mark or self._mark
        if self.journal is not None:
            self.journal.plan(chunk, self._mark)
        self.queue.put([chunk])

    def _flush(self) -> None:
        for chunk in self.chunker.flush():
            self._take_in(chunk, None)
