"""The pipeline: one reader, a few sealed chunks waiting, several in flight, receipts for whoever reads them.

Memory is bounded by (`concurrency` + `QUEUED_CHUNKS`) chunks, as many again where chunks wait for what may be late,
the receipts not yet read (`concurrency` at most) and one batch of the source. Receipts that nobody reads hold the
source back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from contextvars import Context
from types import TracebackType
from typing import Self

from calls_async.concurrency import first_of, wait_until_done
from calls_async.errors import CallsError, ConfigurationError, JournalError
from calls_async.events import Event, Teller
from calls_async.protocol import keys
from calls_async.transport.attempts import Retry
from calls_async.transport.caller import Caller
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.pacing.limiter import RateLimiter
from calls_async.upload.batcher.inbox import Inbox
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.journal.journal import Journal
from calls_async.upload.journal.opening import open_journal
from calls_async.upload.journal.settings import JournalSettings, Purpose
from calls_async.upload.outcomes.outcome import Receipt, Summary
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.pipeline import HALT_SECONDS, QUEUED_CHUNKS, REPLAY_SECONDS, SCRIBE_OF
from calls_async.upload.pipeline.reader import Intake
from calls_async.upload.pipeline.sender import Sender
from calls_async.upload.pipeline.state import Course
from calls_async.upload.pipeline.worker import Workers
from calls_async.upload.rows.row import Run
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.checkpoint import Consumed
from calls_async.upload.sources.source import NoSource, Source


class Upload:
    """One upload under way. `async with` starts it; iterating gives a `Receipt` for each chunk as it is answered.

    Leaving the block early stops reading and lets what is in flight finish; leaving it by an error or by
    cancellation stops at once. In both cases nothing is left running. An error of the source surfaces after all that
    was read before it has been sent and reported; an error that concerns every request (`AccessError`,
    a server that is gone, a journal that cannot be written) surfaces after what is in flight has been answered, or
    `HALT_SECONDS` later.

    With a journal, whatever ended an upload, the same upload begun again goes on where it was: what had no answer is
    sent again, the same bytes under the same key, and the receipts of before come again, marked `replayed`.
    """

    def __init__(
        self,
        source: Source,
        settings: UploadSettings,
        caller: Caller,
        *,
        token: str,
        host: str = "",
        journal: JournalSettings | None = None,
        screening: Screening | None = None,
        on_event: Callable[[Event], object] | None = None,
        context: Context | None = None,
    ) -> None:
        if isinstance(source, NoSource) and journal is None:
            raise ConfigurationError("without a source there must be a journal, whose contacts are sent")
        self.summary = Summary(upload_id=keys.new_upload_id())
        """The upload in numbers, at any time."""
        self.in_doubt: list[Receipt] = []
        """Without a journal: the chunks that were in flight when the upload was cancelled; their rows are unknown."""
        self.on_answer: Callable[[Receipt], None] = lambda receipt: None
        """Is told of each verdict of this process as soon as it is there, before the receipt has its turn."""
        self._source = source
        self._settings = settings
        self._caller = caller
        self._token = token
        self._host = host
        self._journal_settings = journal
        self._journal: Journal | None = None
        self._screening = screening or Screening()
        self._context = context
        self._course = Course()
        self._at_work: list[asyncio.Task[None]] = []
        self._discarded = False
        self._all_read = asyncio.Event()
        caller.max_outage_seconds = settings.max_outage_seconds
        if settings.rate is not None:
            caller.limiter = RateLimiter(settings.rate, caller.clock)
        largest = settings.chunk_rows if caller.limiter is None else caller.limiter.largest_chunk
        self._pace = caller.own_pace()
        self._teller = Teller(on_event, caller.telemetry.event)
        self._sender = Sender(caller, token, self.summary, verify=settings.verify, tell=self._teller)
        self._chunker = Chunker(
            upload_id=self.summary.upload_id,
            chunk_rows=min(settings.chunk_rows, largest),
            chunk_bytes=settings.chunk_bytes,
        )
        self._queue = ChunkQueue(QUEUED_CHUNKS)
        self._intake = Intake(
            source=source,
            screening=self._screening,
            chunker=self._chunker,
            queue=self._queue,
            pace=self._pace,
            clock=caller.clock,
            course=self._course,
            linger_seconds=settings.linger_seconds,
        )
        self._workers = Workers(
            settings=settings,
            sender=self._sender,
            queue=self._queue,
            chunker=self._chunker,
            screening=self._screening,
            pace=self._pace,
            clock=caller.clock,
            tell=self._teller,
            course=self._course,
            fail=self._fail,
            hand_out=self._hand_out,
            doubt=self._doubt,
            failures_are_verdicts=not isinstance(source, Inbox),
            keeps_refused=journal is not None and not isinstance(source, Inbox),
        )
        self._receipts: asyncio.Queue[Receipt | None] = asyncio.Queue(settings.concurrency)
        self._task: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._finished = False
        self._started_at = 0.0
        self._opened = asyncio.Event()
        self._flowing = False

    # --- for the user ---

    async def run(self) -> Summary:
        """Uploads everything and returns the summary; the receipts go unread."""
        async with self:
            async for _ in self:
                pass
        return self.summary

    def stop(self, *, try_again: bool = True) -> None:
        """Stops reading. What was read is still sent, and the iteration ends when all of it is answered.

        Without `try_again`, what fails from now on is not repeated. With a journal it waits there for the next run,
        and so does what was read and not sent yet; without one its rows are unknown.
        """
        self._course.stopping = True
        if not try_again:
            with_journal = self._journal_settings is not None
            if with_journal:
                self._queue.drop()  # it stands in the journal, and is sent by the next process
            self._caller.halt(unsent_stay=with_journal)
        if self._reader is not None:
            self._reader.cancel()

    @property
    def pace(self) -> Pace:
        """What the client's uploads know of the server: how many at once, whether it asks to wait, or is out."""
        return self._pace

    @property
    def in_flight(self) -> int:
        """How many chunks are being sent now."""
        return len(self._sender.under_way)

    @property
    def waiting(self) -> int:
        """How many chunks wait for what may be late (see `ChunkWaits`)."""
        return self._sender.waiting

    @property
    def untaken(self) -> Sequence[Run]:
        """Rows that were handed over as a chunk, and stand in none."""
        return self._intake.untaken

    @property
    def chunk_bytes(self) -> int:
        """Bytes of JSON in one request at most."""
        return self._chunker.chunk_bytes

    @property
    def chunk_rows(self) -> int:
        """Contacts in one request at most; a low rate makes it smaller than the settings."""
        return self._chunker.chunk_rows

    @property
    def last_retry(self) -> Retry | None:
        """The last failure that is being retried."""
        return self._sender.last_retry

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        running = self._task is not None and not self._task.done()
        return self._caller.clock.monotonic() - self._started_at if running else self.summary.seconds

    @property
    def complete(self) -> bool:
        """Whether the source has been read to its end and everything has an outcome."""
        left_over = self._workers.left_over or self._queue.dropped or self.in_doubt
        return self._read_whole and self._finished and not left_over and self._course.error is None

    @property
    def _read_whole(self) -> bool:
        """Without a source, reconciling sends what a journal holds, and leaves the rest of its source unread."""
        settling = self._journal_settings is not None and self._journal_settings.purpose is Purpose.SETTLING
        return self._intake.read_whole and not (isinstance(self._source, NoSource) and settling)

    def fraction_read(self) -> float | None:
        """How much of the source has been read, 0 to 1; None where that cannot be known."""
        return self._source.fraction_read()

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise ConfigurationError("an upload runs once; make another for another run")
        self._started_at = self._caller.clock.monotonic()
        self._task = asyncio.create_task(self._run(), name="calls_async upload", context=self._context)
        self._task.add_done_callback(self._tell_of_cancellation)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._finished:
                self.stop()
                async for _ in self:
                    self._discarded = True
        finally:
            await self._cancel()

    def __aiter__(self) -> AsyncIterator[Receipt]:
        return self

    async def __anext__(self) -> Receipt:
        if self._task is None:
            raise ConfigurationError("the upload is not running; use `async with campaign.upload(...) as upload:`")
        if not self._finished:
            receipt = await self._receipts.get()
            if receipt is not None:
                return receipt
            self._finished = True
            self._all_read.set()
            await wait_until_done(self._task)  # the journal is being finished
            if self._course.error is not None:
                raise self._course.error
        raise StopAsyncIteration

    async def opened(self) -> Journal | None:
        """Waits until the journal is open and the lists of `exclude` are read; raises what made that impossible."""
        await self._opened.wait()
        if not self._flowing:
            await anext(self)
        return self._journal

    async def batches(self) -> AsyncGenerator[list[Receipt], None]:
        """The receipts in lists, as many at a time as there are: for a reader that writes them somewhere."""
        async for receipt in self:
            batch = [receipt]
            while not self._receipts.empty():
                another = self._receipts.get_nowait()
                if another is None:
                    self._receipts.put_nowait(None)  # the end, for later
                    break
                batch.append(another)
            yield batch

    # --- the pipeline ---

    def _tell_of_cancellation(self, task: asyncio.Task[None]) -> None:
        """Whoever cancels the upload's own task, as a closing event loop does, must not leave its reader waiting."""
        if task.cancelled():
            self._course.error = asyncio.CancelledError()
            if self._receipts.full():
                self._receipts.get_nowait()
            self._receipts.put_nowait(None)

    async def _cancel(self) -> None:
        task = self._task
        if task is None:
            return
        self._finished = True
        task.cancel()
        await wait_until_done(task)  # the journal is being closed

    async def _run(self) -> None:
        try:
            try:
                await self._open_journal()
                await self._flow()
            except BaseExceptionGroup as group:
                # What the others met while they were being cancelled is no news.
                self._course.error = group.exceptions[0]
            except Exception as error:  # noqa: BLE001  # raised to the reader of the receipts
                self._course.error = error
            self._opened.set()
            self._note_time()
            await self._receipts.put(None)
            await self._all_read.wait()
            await self._finish_journal()
        finally:
            if not self._all_read.is_set():
                self._note_time()
            if self._journal is not None:
                await self._journal.close()

    async def _flow(self) -> None:
        """From the source to the receipts."""
        async with self._screening:
            self._flowing = True
            self._opened.set()
            with self._pace.shared_by(self._settings.concurrency, self._teller):
                await self._flow_at_pace()

    async def _flow_at_pace(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            replay = tasks.create_task(self._replay(), name="calls_async replay")
            linger = tasks.create_task(self._intake.linger(), name="calls_async linger")
            self._reader = tasks.create_task(self._intake.read(), name="calls_async reader")
            if self._course.stopping:
                self._reader.cancel()
            count = self._settings.concurrency

            def hire(most: int) -> None:
                if len(self._at_work) < most:
                    self._at_work.append(tasks.create_task(self._workers.work(), name="calls_async worker"))

            # As many are in flight as the gate lets through; some others write down what has come meanwhile.
            for _ in range(count + (count - 1) // SCRIBE_OF):
                hire(2 * count)
            # Whoever waits long is stood in for, but not so often that the memory fills.
            self._sender.stand_in = lambda: hire(2 * count)
            halter = tasks.create_task(self._halt(), name="calls_async halter")
            await asyncio.wait([self._reader])
            linger.cancel()
            await self._intake.end()
            await asyncio.wait([replay])
            while at_work := [task for task in self._at_work if not task.done()]:
                await asyncio.wait(at_work)
            halter.cancel()

    async def _finish_journal(self) -> None:
        """An upload is finished when its reader has had every receipt: a death before that brings them again."""
        if self._journal is None or not self._read_whole or self._course.error is not None or self._discarded:
            return
        if self._journal_settings is not None and self._journal_settings.purpose is not Purpose.UPLOAD:
            return  # there will be more
        try:
            await self._journal.note_source_done()
        except JournalError as error:
            self._course.error = error

    async def _open_journal(self) -> None:
        settings = self._journal_settings
        if settings is None:
            return
        self._journal = await open_journal(
            settings, token=self._token, host=self._host, source=self._source.name, clock=self._caller.clock
        )
        self._sender.journal = self._workers.journal = self._intake.journal = self._journal
        self._journal.tell = self._teller
        self._journal.note_commit = self._caller.telemetry.committed
        past = self._journal.past
        self.summary.upload_id = self._chunker.upload_id = past.upload_id
        self._chunker.next_number = past.next_number
        self._intake.consumed = Consumed(
            journal=str(settings.path),
            rows=past.rows,
            chunks=past.chunks,
            shown=self._screening.needs_every_row,
        )
        self._intake.pending = past.pending
        self._workers.from_before = {chunk.number for chunk in past.pending}
        self._pace.body_limit.remember(past.body_limit)

    async def _replay(self) -> None:
        """Hands out again what earlier processes have had answered, when what is new is under way."""
        if self._journal is not None:
            await self._wait_until_caught_up()
            async with aclosing(self._journal.replay()) as receipts:
                async for receipt in receipts:
                    self.summary.add(receipt)
                    await self._receipts.put(receipt)

    async def _wait_until_caught_up(self) -> None:
        """But not for ever: a source might wait for what became of the rows that it has given before."""
        await first_of(self._intake.caught_up.wait(), self._caller.clock.sleep(REPLAY_SECONDS))

    def _fail(self, error: CallsError) -> None:
        """Every further request would fail, too: stop reading, send nothing more, and let what is in flight end."""
        if not self._course.failed.is_set():
            self._course.failed.set()
            self._course.error = error
            self._queue.drop()
            self.stop(try_again=False)

    async def _halt(self) -> None:
        """After a failure, answers are waited for only so long."""
        await self._course.failed.wait()
        await self._caller.clock.sleep(HALT_SECONDS)
        for task in tuple(self._workers.at_risk):
            task.cancel()  # whoever hands out a receipt is not disturbed

    async def _hand_out(self, receipt: Receipt) -> None:
        self.summary.add(receipt)
        self._note_time()
        self.on_answer(receipt)
        await self._receipts.put(receipt)

    def _doubt(self, receipt: Receipt) -> None:
        self.in_doubt.append(receipt)
        self.summary.add(receipt)
        self.on_answer(receipt)

    def _note_time(self) -> None:
        self.summary.seconds = self._caller.clock.monotonic() - self._started_at
