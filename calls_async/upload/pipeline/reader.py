"""From the source to the queue: rows are read, screened and sealed into chunks, and these are written down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from itertools import chain

import attrs

from calls_async.concurrency import SerialThread
from calls_async.errors import CallsError, SourceError
from calls_async.transport.clock import Clock
from calls_async.upload.chunks.chunk import Chunk, Mark
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.recorder import Recorder
from calls_async.upload.pipeline.retry import RetryFilter
from calls_async.upload.pipeline.state import RunState
from calls_async.upload.rows.row import Run
from calls_async.upload.screening.screening import Screening
from calls_async.upload.sources.checkpoint import Consumed
from calls_async.upload.sources.source import Batch, Source


@attrs.frozen(slots=True, kw_only=True)
class ReaderSettings:
    """What a reader must know."""

    clock: Clock
    linger_seconds: float
    consumed: Consumed
    """What earlier processes have taken from the source."""
    pending: Sequence[Chunk]
    """Their chunks without an answer; sent again once the source is known to be the same."""
    retry: RetryFilter | None = None
    """Where rejected rows are sent again."""
    leaves_rest: bool = False
    """Whether only what the journal holds is sent: the rest of its file is still to be read, another time."""


class Reader:
    """`read` is run by one task, `linger` beside it; when that has ended, `end` seals what is left."""

    def __init__(
        self,
        source: Source,
        screening: Screening,
        chunker: Chunker,
        recorder: Recorder,
        queue: ChunkQueue[Chunk],
        state: RunState,
        settings: ReaderSettings,
    ) -> None:
        self.caught_up = asyncio.Event()
        """The source has been read again as far as before."""
        self.ended = asyncio.Event()
        """All that was read is written down, or on its way there."""
        self.untaken: Sequence[Run] = ()
        """Of a batch that seals its chunks: what stands in none that is written down."""
        self._source = source
        self._screening = screening
        self._chunker = chunker
        self._recorder = recorder
        self._queue = queue
        self._state = state
        self._settings = settings
        self._pending = settings.pending
        self._runs: Sequence[Run] = ()
        """Those of the batch under way that have not been screened yet."""
        self._chunks: Iterator[Chunk] = iter(())
        """What it still has to give."""
        self._seals_apart = source.is_file and not source.may_pause
        """Whether chunks are sealed by a thread: the digests of their bodies would hold the event loop up."""
        self._thread = SerialThread("sealing")
        self._all_taken = True
        """Whether the reader has taken in all that the thread has sealed: what follows on it must not go alone."""
        self._mark: Mark | None = None
        self._encoding = settings.consumed.encoding

    async def read(self) -> None:
        """Read until the source ends, the upload stops and cancels this, or an error is noted in the state."""
        if not self._source.given_again:
            self._send_pending()
        try:
            async with aclosing(self._source.batches(self._settings.consumed)) as batches:
                async for batch in batches:
                    self._note_encoding(batch)
                    self._runs = batch.runs
                    if batch.seals:
                        await self._take_in_sealed()
                        if self._state.stopping:
                            return
                        continue
                    await self._screen()
                    for chunk in self._chunks:
                        self._take_in(chunk, batch.mark)
                        await self._queue.room()
                        if self._state.stopping:
                            return
                    self._all_taken = True
                    self._mark = batch.mark or self._mark
            if self._settings.retry is not None:
                self._settings.retry.end()
            self._send_pending()
            self._state.end_source(whole=not self._settings.leaves_rest)
        except asyncio.CancelledError:
            if self._state.stopping:
                return
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._state.note_error(SourceError(self._source.name, "was cancelled while it was being read"))
        except Exception as error:  # noqa: BLE001  # raised to the reader of the receipts, after what was read before
            self._state.note_error(error)
        finally:
            self._thread.close()

    async def linger(self) -> None:
        """Send a chunk that has waited for its next row as long as the settings allow, if the server is idle."""
        waiting = -1
        while self._source.may_pause:
            await self._settings.clock.sleep(self._settings.linger_seconds)
            sealed = self._chunker.sealed
            if not self._chunker.empty and sealed == waiting and self._queue.has_room:
                self._flush()
            waiting = sealed if not self._chunker.empty else -1

    async def end(self) -> None:
        """Seal what was drawn and cannot be drawn again, and what is left of a chunk; the workers end when all of it
        is sent. Where a file is not read on, what was sealed and not taken in is read again another time."""
        self.caught_up.set()
        if not self._state.failed and self._all_taken:
            try:
                if not self._source.is_file:
                    await self._take_in_rest()
            except CallsError as error:
                self._state.note_error(error)
            self._flush()
        self.ended.set()
        self._queue.close()

    async def _take_in_sealed(self) -> None:
        """Take a batch in all at once: who brought these rows must know of each whether it is written down."""
        self.untaken = self._runs
        await self._screen()
        for chunk in chain(self._chunks, self._chunker.flush()):
            self._take_in(chunk, None)
        self.untaken = ()
        await self._queue.room()

    async def _take_in_rest(self) -> None:
        for runs in ((), self._runs, self._source.left()):
            if runs:
                self._runs = runs
                await self._screen()
            for chunk in self._chunks:
                self._take_in(chunk, None)
        self.untaken = ()

    async def _screen(self) -> None:
        runs = await self._screening.sift(self._runs, known=self._settings.consumed.rows)
        if self._settings.retry is not None:
            runs = self._settings.retry.sift(runs)
        self._runs = ()
        if runs:
            self._send_pending()
        if self._seals_apart and runs:
            self._all_taken = False
            self._chunks = iter(await self._thread.run(lambda: list(self._chunker.feed(runs))))
        else:
            self._chunks = self._chunker.feed(runs)

    def _note_encoding(self, batch: Batch) -> None:
        if batch.encoding not in (None, self._encoding):
            self._encoding = batch.encoding
            self._recorder.note_encoding(batch.encoding)

    def _send_pending(self) -> None:
        self.caught_up.set()
        pending, self._pending = self._pending, ()
        self._queue.put(pending)

    def _take_in(self, chunk: Chunk, mark: Mark | None) -> None:
        self._mark = mark or self._mark
        self._recorder.plan(chunk, self._mark)

    def _flush(self) -> None:
        for chunk in self._chunker.flush():
            self._take_in(chunk, None)
