"""One upload, as its caller holds it: started, stopped, and read receipt by receipt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextvars import Context
from enum import Enum, auto
from types import TracebackType
from typing import Self

import attrs

from calls_async.concurrency import Channel, ChannelClosed, wait_until_done
from calls_async.errors import ConfigurationError
from calls_async.protocol.keys import new_upload_id
from calls_async.transport.attempts import Retry
from calls_async.transport.connection import Connection
from calls_async.transport.pacing.gate import Pace
from calls_async.upload.assembly import ReceiptReader, UploadRequest, assemble
from calls_async.upload.journal.journal import Journal
from calls_async.upload.journal.settings import JournalOwner, Purpose
from calls_async.upload.outcomes.outcome import Receipt, Summary
from calls_async.upload.pipeline.pipeline import Pipeline
from calls_async.upload.pipeline.state import RunState
from calls_async.upload.rows.row import Run


class Delivery(Enum):
    """What became of the receipts."""

    READING = auto()
    """They are being read."""
    DISCARDED = auto()
    """The block was left before all were read; the rest is read by nobody."""
    READ = auto()
    """All were read."""


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
        request: UploadRequest,
        connection: Connection,
        *,
        on_answer: Callable[[Receipt], None] = lambda receipt: None,
        context: Context | None = None,
    ) -> None:
        """Take `on_answer`, which hears of each verdict of this process as soon as it is there, before its receipt
        has its turn; and `context`, the one that the upload's tasks run in."""
        identity = request.owner.identity or new_upload_id()
        self._request = attrs.evolve(request, owner=attrs.evolve(request.owner, identity=identity))
        self._summary = Summary(upload_id=identity)
        self._connection = connection
        self._on_answer = on_answer
        self._context = context
        self._state = RunState()
        self._pipeline: Pipeline | None = None
        self._receipts: Channel[Receipt] = Channel(request.settings.concurrency)
        self._delivery = Delivery.READING
        self._delivered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._started_at = 0.0
        self._unread: list[Receipt] = []

    # --- for the user ---

    async def run(self) -> Summary:
        """Upload everything and return the summary; the receipts go unread."""
        async with self:
            async for _ in self:
                pass
        return self.summary

    def stop(self, *, try_again: bool = True) -> None:
        """Stop reading. What was read is still sent, and the iteration ends when all of it is answered.

        Without `try_again`, what fails from now on is not repeated. With a journal it waits there for the next run,
        and so does what was read and not sent yet; without one its rows are unknown.
        """
        self._state.stop(at_once=not try_again)
        if self._pipeline is not None:
            self._pipeline.stop()

    @property
    def owner(self) -> JournalOwner:
        """Whose it is: its campaign's token and host, and its identity."""
        return self._request.owner

    @property
    def summary(self) -> Summary:
        """The upload in numbers, at any time. With a journal of before, its identity is known when that is open."""
        return self._summary

    @property
    def in_doubt(self) -> Sequence[Receipt]:
        """Without a journal: the chunks that were in flight when the upload was cancelled; their rows are unknown."""
        return () if self._pipeline is None else self._pipeline.parts.receipts.in_doubt

    @property
    def unread(self) -> Sequence[Receipt]:
        """The receipts that nobody has read, once the upload was cancelled: what the summary counts beside those that
        were. With a journal they come again in the next run."""
        waiting = () if self._pipeline is None else self._pipeline.parts.receipts.undelivered
        return [*self._unread, *waiting]

    @property
    def pace(self) -> Pace:
        """What the client's uploads know of the server: how many at once, whether it asks to wait, or is out."""
        return self._connection.pace

    @property
    def in_flight(self) -> int:
        """How many chunks are being sent now."""
        return 0 if self._pipeline is None else len(self._pipeline.parts.sender.under_way)

    @property
    def waiting(self) -> int:
        """How many chunks wait for what may be late (see `ChunkWaits`)."""
        return 0 if self._pipeline is None else self._pipeline.parts.parking.waiting

    @property
    def untaken(self) -> Sequence[Run]:
        """Rows that were handed over as a chunk, and stand in none."""
        return () if self._pipeline is None else self._pipeline.parts.reader.untaken

    @property
    def last_retry(self) -> Retry | None:
        """The last failure that is being retried."""
        return None if self._pipeline is None else self._pipeline.parts.sender.last_retry

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        running = self._task is not None and not self._task.done()
        return self._elapsed() if running else self.summary.seconds

    @property
    def complete(self) -> bool:
        """Whether the source has been read to its end and everything has an outcome."""
        state, pipeline = self._state, self._pipeline
        if pipeline is None or pipeline.parts.journal.purpose is Purpose.SETTLING:
            return False  # settling leaves the rest of the source unread
        left_over = state.left_over or pipeline.parts.queue.dropped or pipeline.parts.receipts.in_doubt
        return state.read_whole and self._delivered.is_set() and not left_over and state.error is None

    def fraction_read(self) -> float | None:
        """Return how much of the source has been read, 0 to 1; None where that cannot be known."""
        return self._request.source.fraction_read()

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise ConfigurationError("an upload runs once; make another for another run")
        self._started_at = self._connection.clock.monotonic()
        self._task = asyncio.create_task(self._run(), name="calls_async upload", context=self._context)
        self._task.add_done_callback(self._note_end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self._delivered.is_set():
                self.stop()
                async for _ in self:
                    self._delivery = Delivery.DISCARDED
        finally:
            await self._cancel()

    def __aiter__(self) -> AsyncIterator[Receipt]:
        return self

    async def __anext__(self) -> Receipt:
        if self._task is None:
            raise ConfigurationError("the upload is not running; use `async with campaign.upload(...) as upload:`")
        if self._delivered.is_set():
            raise StopAsyncIteration
        try:
            return await self._receipts.get()
        except ChannelClosed:
            pass
        if self._delivery is Delivery.READING:
            self._delivery = Delivery.READ
        self._delivered.set()
        await wait_until_done(self._task)  # the journal is being finished
        if self._state.error is not None:
            raise self._state.error
        raise StopAsyncIteration

    async def opened(self) -> Journal:
        """Wait until the journal is open and the lists of `exclude` are read, and return the journal. Raises what
        made that impossible."""
        await self._state.wait_until_opened()
        if self._pipeline is None:
            await anext(self)
            raise ConfigurationError("the upload was cancelled before its journal was open")
        return self._pipeline.parts.journal

    async def batches(self) -> AsyncGenerator[list[Receipt], None]:
        """Yield the receipts in lists, as many at a time as there are: for a reader that writes them somewhere."""
        async for receipt in self:
            yield [receipt, *self._receipts.take_all()]

    # --- the task behind it ---

    async def _run(self) -> None:
        try:
            async with assemble(self._request, self._connection, self._state, self._make_reader()) as pipeline:
                self._pipeline = pipeline
                self._state.begin_reading()
                try:
                    await self._flow(pipeline)
                finally:
                    self._summary.note_time(self._elapsed())
                self._receipts.close()
                await self._delivered.wait()
                if self._delivery is Delivery.READ:
                    await pipeline.finish()
        except Exception as error:  # noqa: BLE001  # raised to the reader of the receipts
            self._state.fail(error)
            if self._pipeline is None:
                self._summary.note_time(self._elapsed())

    def _make_reader(self) -> ReceiptReader:
        return ReceiptReader(
            channel=self._receipts, summary=self._summary, on_answer=self._on_answer, elapsed=self._elapsed
        )

    async def _flow(self, pipeline: Pipeline) -> None:
        try:
            await pipeline.run()
        except BaseExceptionGroup as group:
            # What the others met while they were being cancelled is no news.
            self._state.fail(group.exceptions[0])
        except Exception as error:  # noqa: BLE001  # raised to the reader of the receipts
            self._state.fail(error)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Let the reader of the receipts go on: also whoever cancels the upload's own task, as a closing event loop
        does, must not leave it waiting."""
        if task.cancelled():
            self._state.note_error(asyncio.CancelledError())
        self._state.close()
        self._receipts.close()

    async def _cancel(self) -> None:
        if self._task is not None:
            self._delivered.set()
            self._task.cancel()
            try:
                await wait_until_done(self._task)  # the journal is being closed
            finally:
                self._unread += self._receipts.take_all()

    def _elapsed(self) -> float:
        return self._connection.clock.monotonic() - self._started_at
