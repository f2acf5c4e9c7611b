"""Opens the journal first, then makes every part of an upload complete. Nothing is assigned into another part later.

This is also where identity, limiter and journal of an upload can be handed in from outside.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs

from calls_async.concurrency import Channel
from calls_async.errors import ConfigurationError, JournalRefusedError
from calls_async.events import EventDispatcher
from calls_async.protocol.keys import new_upload_id
from calls_async.transport.clock import Clock
from calls_async.transport.connection import Connection
from calls_async.transport.pacing.limiter import Limiter, RateLimiter
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.journal.journal import Journal, Watcher
from calls_async.upload.journal.journal_time import JournalTime
from calls_async.upload.journal.opening import open_journal, refuse_finished
from calls_async.upload.journal.settings import ChunkSize, JournalOwner, JournalSettings, Past, Purpose
from calls_async.upload.outcomes.outcome import Receipt, Summary
from calls_async.upload.pipeline.chunk_events import ChunkEvents
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.parking import Parking
from calls_async.upload.pipeline.pipeline import QUEUED_CHUNKS, Pipeline, PipelineParts
from calls_async.upload.pipeline.reader import Reader, ReaderSettings
from calls_async.upload.pipeline.receipts import Receipts
from calls_async.upload.pipeline.recorder import Recorder
from calls_async.upload.pipeline.retry import RetryFilter
from calls_async.upload.pipeline.sender import Sender, SenderSettings
from calls_async.upload.pipeline.state import RunState
from calls_async.upload.pipeline.worker import WorkerSettings
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.checkpoint import Consumed
from calls_async.upload.sources.source import NoSource, Source

OpenJournal = Callable[[Clock, Watcher], Awaitable[Journal]]
"""Opens a journal that is handed in from outside."""


@attrs.frozen(slots=True, kw_only=True)
class UploadRequest:
    """What is to be uploaded, and how. Raises `ConfigurationError` where there would be nothing to send."""

    source: Source
    settings: UploadSettings
    owner: JournalOwner
    """The campaign's token and host, and the upload's identity where that is given from outside."""
    journal: JournalSettings | OpenJournal | None = None
    screening: Screening = attrs.field(factory=Screening)
    events: EventDispatcher = attrs.field(factory=EventDispatcher)
    limiter: Limiter | None = None
    """Where it is given from outside; None: by the rate of the settings."""
    server_answered: bool = False
    """Whether the server is believed to be there, so that it is waited for as for one that has answered."""

    def __attrs_post_init__(self) -> None:
        if isinstance(self.source, NoSource) and self.journal is None:
            raise ConfigurationError("without a source there must be a journal, whose contacts are sent")

    @property
    def keeps(self) -> bool:
        """Whether a journal is kept."""
        return self.journal is not None

    async def open_journal(self, clock: Clock, watcher: Watcher) -> Journal:
        """Open its journal. Raises `JournalError`."""
        if self.journal is None:
            past = Past(upload_id=self.owner.identity or new_upload_id())
            return Journal(past, time=JournalTime(clock, server_ahead=watcher.server_ahead))
        if isinstance(self.journal, JournalSettings):
            from_file = None if isinstance(self.source, NoSource) else self.source.is_file
            owner = attrs.evolve(
                self.owner,
                source=self.source.name,
                from_file=from_file,
                reading=self.source.row_options,
                source_options=self.source.options,
                chunk_size=self.chunk_size,
            )
            return await open_journal(self.journal, owner, clock, watcher)
        return await self.journal(clock, watcher)

    @property
    def chunk_size(self) -> ChunkSize:
        """How large its chunks are at most."""
        rows = self.settings.largest_chunk_rows
        if self.limiter is not None:
            rows = min(self.settings.chunk_rows, self.limiter.largest_chunk or self.settings.chunk_rows)
        return ChunkSize(rows, self.settings.chunk_bytes)

    def make_limiter(self, clock: Clock) -> Limiter | None:
        """Return the limiter that it is sent by; None where there is no limit."""
        if self.limiter is None and self.settings.rate is not None:
            return RateLimiter(self.settings.rate, clock)
        return self.limiter


@attrs.frozen(slots=True, kw_only=True)
class ReceiptReader:
    """Who reads the receipts and the summary, and how long the upload has been running."""

    channel: Channel[Receipt]
    summary: Summary
    on_answer: Callable[[Receipt], None]
    elapsed: Callable[[], float]


@asynccontextmanager
async def assemble(
    request: UploadRequest, connection: Connection, state: RunState, reader: ReceiptReader
) -> AsyncIterator[Pipeline]:
    """Make the pipeline of an upload, for as long as the block lasts. Raises `JournalError`, and `SourceError` for a
    list of excluded numbers that cannot be read."""
    watcher = Watcher(
        tell=request.events,
        note_commit=connection.telemetry.committed,
        server_ahead=lambda: connection.pace.server_ahead(connection.clock),
    )
    journal = await request.open_journal(connection.clock, watcher)
    try:
        await _refuse_finished(request.source, journal)
        async with request.screening:
            yield _make_pipeline(request, connection, journal, state, reader)
    finally:
        await journal.close()


async def _refuse_finished(source: Source, journal: Journal) -> None:
    """Refuse to go on where everything was sent: unless the list has grown, or its rejected rows are sent again."""
    past = journal.past
    if journal.purpose is not Purpose.UPLOAD or not past.finished or past.rejected is not None:
        return
    if past.generation:  # to the bytes, a list whose rejected rows were corrected is another one
        done = "this upload is finished. Rows that were added, or are still rejected, are sent by --retry-rejected"
        raise JournalRefusedError(journal.name, f"{done} (retry_rejected=True), and no others")
    if not await source.has_grown(_consumed_by(journal)):
        raise refuse_finished(journal.name)


def _consumed_by(journal: Journal, *, shown: bool = False) -> Consumed:
    """Return what earlier processes took from the source, to be compared with it; nothing where rejected rows are
    sent again, for which all of it is read anew."""
    past = journal.past
    if past.rejected is not None:
        return Consumed(journal=journal.name)
    return Consumed(
        journal=journal.name,
        rows=past.rows,
        old_rows=past.old_rows,
        chunks=past.chunks,
        options=past.source_options,
        encoding=past.encoding,
        shown=shown,
    )


def _make_pipeline(
    request: UploadRequest, connection: Connection, journal: Journal, state: RunState, reader: ReceiptReader
) -> Pipeline:
    settings, past, body_limit = request.settings, journal.past, connection.pace.body_limit
    body_limit.remember(past.body_limit)
    limiter = request.make_limiter(connection.clock)
    caller = connection.make_upload_caller(
        limiter, max_outage_seconds=settings.max_outage_seconds, server_answered=request.server_answered
    )
    size = past.chunk_size or request.chunk_size  # also later, or the same rows would have other keys
    chunker = Chunker(
        upload_id=past.upload_id,
        chunk_rows=size.rows,
        chunk_bytes=size.body_bytes,
        next_number=past.next_number,
        generation=0 if past.rejected is None else past.rejected.generation,
    )
    queue: ChunkQueue[Chunk] = ChunkQueue(QUEUED_CHUNKS)
    events = ChunkEvents(past.upload_id, request.events, connection.clock)
    summary = reader.summary
    summary.begin(past.upload_id)
    recorder = Recorder(journal, chunker, queue, events, body_limit, [chunk.number for chunk in past.pending])
    sender_settings = SenderSettings(
        token=request.owner.token,
        verify=settings.verify,
        trust_journal=settings.trust_journal,
        body_limit=body_limit,
        is_last=lambda: queue.running_dry,
    )
    reader_settings = ReaderSettings(
        clock=connection.clock,
        linger_seconds=settings.linger_seconds,
        consumed=_consumed_by(journal, shown=request.screening.needs_every_row),
        retry=None if past.rejected is None else RetryFilter(journal.name, past.rejected, finished=past.finished),
        pending=past.pending,
        leaves_rest=isinstance(request.source, NoSource) and past.from_file,
    )
    return Pipeline(
        PipelineParts(
            reader=Reader(request.source, request.screening, chunker, recorder, queue, state, reader_settings),
            queue=queue,
            recorder=recorder,
            sender=Sender(caller, journal, summary, events, sender_settings),
            receipts=Receipts(reader.channel, summary, reader.on_answer, reader.elapsed),
            parking=Parking(queue, caller, events),
            screening=request.screening,
            events=events,
            journal=journal,
            caller=caller,
            pace=connection.pace,
        ),
        state,
        WorkerSettings(answers_callers=request.source.answers_callers, max_refusals=settings.max_refusals),
        concurrency=settings.concurrency,
    )
