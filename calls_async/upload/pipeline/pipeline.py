"""The tasks of one upload: a reader, a few sealed chunks waiting, several in flight, receipts for whoever reads them.

Memory is bounded by (`concurrency` + a `WRITERS_OF`th of it + `QUEUED_CHUNKS`) chunks, the receipts not yet read
(`concurrency` at most), one batch of the source with its chunks, and the next one of a file. Receipts that nobody
reads hold the source back. Chunks that wait for what may be late are on disk.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import attrs

from calls_async.concurrency import first_of
from calls_async.errors import CallsError
from calls_async.transport.caller import Caller
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.patience import Halt
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.journal.journal import Journal
from calls_async.upload.journal.settings import Purpose
from calls_async.upload.pipeline.chunk_events import ChunkEvents
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.parking import Parking
from calls_async.upload.pipeline.reader import Reader
from calls_async.upload.pipeline.receipts import Receipts
from calls_async.upload.pipeline.recorder import Recorder
from calls_async.upload.pipeline.runner import Runner
from calls_async.upload.pipeline.sender import Sender
from calls_async.upload.pipeline.state import Phase, RunState
from calls_async.upload.pipeline.worker import Worker, WorkerParts, WorkerSettings
from calls_async.upload.screening.screening import Screening

HALT_SECONDS = 5.0
"""How long answers are waited for when the upload has failed."""
WRITERS_OF = 2
"""For so many requests in flight there is one chunk more that has its answer, or is about to be sent."""
REPLAY_SECONDS = 2.0
"""How long receipts of earlier processes wait until what is new is under way."""
QUEUED_CHUNKS = 4
"""Chunks that are sealed and wait for their turn."""


@attrs.frozen(slots=True, kw_only=True)
class PipelineParts:
    """What a pipeline is made of."""

    reader: Reader
    queue: ChunkQueue[Chunk]
    recorder: Recorder
    sender: Sender
    receipts: Receipts
    parking: Parking
    screening: Screening
    events: ChunkEvents
    journal: Journal
    caller: Caller
    pace: Pace


class Pipeline:
    """One upload under way, all of whose parts are made."""

    def __init__(self, parts: PipelineParts, state: RunState, settings: WorkerSettings, *, concurrency: int) -> None:
        self.parts = parts
        self._state = state
        self._concurrency = concurrency
        self._clock = parts.caller.clock
        work_parts = WorkerParts(
            sender=parts.sender,
            recorder=parts.recorder,
            receipts=parts.receipts,
            parking=parts.parking,
            screening=parts.screening,
            events=parts.events,
        )
        self._worker = Worker(work_parts, state, self._fail, settings)
        # As many are in flight as the gate lets through; some others write down what has come meanwhile.
        workers = concurrency + concurrency // WRITERS_OF
        self._runner = Runner(parts.queue, self._worker.work, workers=workers)
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Take everything from the source to the receipts. Raises what no part has dealt with."""
        reader, events = self.parts.reader, self.parts.events
        with self.parts.pace.shared_by(self._concurrency, events.tell):
            async with asyncio.TaskGroup() as tasks:
                replay = tasks.create_task(self._replay(), name="calls_async replay")
                linger = tasks.create_task(reader.linger(), name="calls_async linger")
                self._reading = tasks.create_task(reader.read(), name="calls_async reader")
                if self._state.stopping:
                    self.stop()
                self._runner.start(tasks)
                parking = tasks.create_task(self.parts.parking.run(self._worker.abandon), name="calls_async parking")
                halter = tasks.create_task(self._halt(), name="calls_async halter")
                await asyncio.wait([self._reading])
                linger.cancel()
                await reader.end()
                await asyncio.wait([replay])
                await self._runner.finish()
                halter.cancel()
                parking.cancel()

    def stop(self) -> None:
        """Stop as far as the state says: reading, and trying again."""
        if self._state.phase >= Phase.HALTING:
            if self._state.failed or self.parts.journal.keeps:
                self.parts.queue.drop()  # with a journal, it is sent by the next process
            self.parts.caller.halt(Halt.NO_ATTEMPTS if self.parts.journal.keeps else Halt.NO_RETRIES)
        if self._reading is not None:
            self._reading.cancel()

    async def finish(self) -> None:
        """Note that the upload is finished, when its reader has had every receipt: a death before that brings them
        again."""
        journal = self.parts.journal
        if journal.purpose is Purpose.UPLOAD and self._state.read_whole and self._state.error is None:
            await journal.note_source_done()

    def _fail(self, error: CallsError) -> None:
        """Stop reading, send nothing more, and let what is in flight end: every further request would fail, too."""
        if not self._state.failed:
            self._state.fail(error)
            self.stop()

    async def _halt(self) -> None:
        """Wait for answers only so long after a failure."""
        await self._state.wait_until_failed()
        await self._clock.sleep(HALT_SECONDS)
        self._worker.cancel_sending()

    async def _replay(self) -> None:
        """Hand out again what earlier processes have had answered, when what is new is under way. But do not wait for
        that for ever: a source might wait for what became of the rows that it has given before."""
        journal = self.parts.journal
        if not journal.past.answered:
            return
        if journal.past.rejected is None:
            await first_of(self.parts.reader.caught_up.wait(), self._clock.sleep(REPLAY_SECONDS))
        else:  # which of the rejected rows are sent again is known in the end
            await self.parts.reader.ended.wait()
            if self._state.error is not None and not self.parts.recorder.planned:
                return  # refused; nothing has come of it
        async with aclosing(journal.replay()) as receipts:
            async for receipt in receipts:
                await self.parts.receipts.hand_out_again(receipt)
