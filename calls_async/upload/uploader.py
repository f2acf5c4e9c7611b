"""The pipeline: one reader, a few sealed chunks waiting, several in flight, receipts for whoever reads them.

Memory is bounded by (`concurrency` + `QUEUED_CHUNKS`) chunks, the receipts not yet read (`concurrency` at most) and
one batch of the source. Receipts that nobody reads hold the source back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import attrs

from calls_async.errors import (
    CallsError,
    ConfigurationError,
    JournalError,
    NoAnswerError,
    RefusedError,
    RequestError,
    SourceError,
    TooManyRefusalsError,
    UnreachableError,
)
from calls_async.protocol import keys
from calls_async.transport.events import Event
from calls_async.transport.pacing import Pace, RateLimiter
from calls_async.transport.retry import Caller, Retry
from calls_async.upload.chunks import Chunk, Chunker, Mark
from calls_async.upload.events import ChunkAccepted, ChunkSplit, Teller
from calls_async.upload.journal import Journal, JournalSettings, open_journal
from calls_async.upload.marks import NOTHING, Consumed
from calls_async.upload.outcomes import (
    Receipt,
    Summary,
    Verdict,
)
from calls_async.upload.queue import ChunkQueue
from calls_async.upload.screening import Screening
from calls_async.upload.sending import Sender, Sent
from calls_async.upload.sources import NoSource, Source
from calls_async.upload.status import OutcomeStatus
from calls_async.upload.waiting import see_through

HALT_SECONDS = 5.0
"""How long answers are waited for when the upload has failed."""
QUEUED_CHUNKS = 4
"""Chunks that are sealed and wait for their turn."""


def _at_least_one(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{attribute.name} must be a whole number of 1 or more, not {value!r}")


def _positive(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not value > 0:
        raise ConfigurationError(f"{attribute.name} must be greater than 0, not {value!r}")


@attrs.frozen(slots=True, kw_only=True)
class UploadSettings:
    """The settings of one upload."""

    chunk_rows: int = attrs.field(default=500, validator=_at_least_one)
    """Contacts in one request at most."""
    chunk_bytes: int = attrs.field(default=1_000_000, validator=_at_least_one)
    """Bytes of JSON in one request at most."""
    concurrency: int = attrs.field(default=16, validator=_at_least_one)
    """Chunks in flight at most; how many there are adapts to what the server takes."""
    rate: float | None = None
    """Contacts a second at most; None: as fast as the server takes them."""
    linger_seconds: float = attrs.field(default=1.0, validator=_positive)
    """How long a contact from a slow async iterable waits for its chunk to fill."""
    max_outage_seconds: float = attrs.field(default=1800.0, validator=_positive)
    """How long a server that has answered before may answer nothing at all; then the upload stops, resumable."""
    max_refusals: int | None = attrs.field(default=2000)
    """After so many contacts in a row that the server refuses, each by itself, the upload stops, resumable: probably
    it is the campaign. None: never."""
    verify: bool = False
    """Check every answer against the report: one more request a chunk."""

    @max_refusals.validator
    def _check_max_refusals(self, attribute: attrs.Attribute[int | None], value: int | None) -> None:
        if value is not None:
            _at_least_one(self, attribute, value)


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
    ) -> None:
        if isinstance(source, NoSource) and journal is None:
            raise ConfigurationError("without a source there must be a journal, whose contacts are sent")
        self.summary = Summary(upload_id=keys.new_upload_id())
        """The upload in numbers, at any time."""
        self.in_doubt: list[Receipt] = []
        """Without a journal: the chunks that were in flight when the upload was cancelled; their rows are unknown."""
        self._source = source
        self._settings = settings
        self._caller = caller
        self._token = token
        self._host = host
        self._journal_settings = journal
        self._journal: Journal | None = None
        self._consumed = NOTHING
        self._screening = screening or Screening()
        self._pending: Sequence[Chunk] = ()
        self._from_before: frozenset[int] = frozenset()
        self._mark: Mark | None = None
        self._workers: Sequence[asyncio.Task[None]] = ()
        self._failed = asyncio.Event()
        self._read_whole = False
        self._left_over = False
        self._discarded = False
        self._all_read = asyncio.Event()
        caller.max_outage_seconds = settings.max_outage_seconds
        if settings.rate is not None:
            caller.limiter = RateLimiter(settings.rate, caller.clock)
        largest = settings.chunk_rows if caller.limiter is None else caller.limiter.largest_chunk
        self._pace = caller.own_pace()
        self._teller = Teller(on_event)
        self._sender = Sender(caller, token, self.summary, verify=settings.verify, tell=self._teller)
        self._refused_in_a_row = 0
        self._body_limit: int | None = None
        self._chunker = Chunker(
            upload_id=self.summary.upload_id,
            chunk_rows=min(settings.chunk_rows, largest),
            chunk_bytes=settings.chunk_bytes,
        )
        self._queue = ChunkQueue(QUEUED_CHUNKS)
        self._receipts: asyncio.Queue[Receipt | None] = asyncio.Queue(settings.concurrency)
        self._task: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._stopping = False
        self._finished = False
        self._error: BaseException | None = None
        self._started_at = 0.0

    # --- for the user ---

    async def run(self) -> Summary:
        """Uploads everything and returns the summary; the receipts go unread."""
        async with self:
            async for _ in self:
                pass
        return self.summary

    def stop(self, *, try_again: bool = True) -> None:
        """Stops reading. What was read is still sent, and the iteration ends when all of it is answered.

        Without `try_again`, what fails from now on is not repeated: with a journal it waits there for the next run,
        without one its rows are unknown.
        """
        self._stopping = True
        if not try_again:
            self._caller.halt()
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
        return self._read_whole and self._finished and not self._left_over and not self.in_doubt

    def fraction_read(self) -> float | None:
        """How much of the source has been read, 0 to 1; None where that cannot be known."""
        return self._source.fraction_read()

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise ConfigurationError("an upload runs once; make another for another run")
        self._started_at = self._caller.clock.monotonic()
        self._task = asyncio.create_task(self._run(), name="calls_async upload")
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
            await see_through(self._task)  # the journal is being finished
            if self._error is not None:
                raise self._error
        raise StopAsyncIteration

    # --- the pipeline ---

    def _tell_of_cancellation(self, task: asyncio.Task[None]) -> None:
        """Whoever cancels the upload's own task, as a closing event loop does, must not leave its reader waiting."""
        if task.cancelled():
            self._error = asyncio.CancelledError()
            if self._receipts.full():
                self._receipts.get_nowait()
            self._receipts.put_nowait(None)

    async def _cancel(self) -> None:
        task = self._task
        if task is None:
            return
        self._finished = True
        task.cancel()
        await see_through(task)  # the journal is being closed

    async def _run(self) -> None:
        try:
            try:
                await self._open_journal()
                await self._flow()
            except BaseExceptionGroup as group:
                self._error = group.exceptions[0]  # what the others met while they were being cancelled is no news
            except Exception as error:  # noqa: BLE001  # raised to the reader of the receipts
                self._error = error
            self._note_time()
            await self._receipts.put(None)
            await self._all_read.wait()
            await self._finish_journal()
        finally:
            if self._journal is not None:
                await self._journal.close()

    async def _flow(self) -> None:
        """From the source to the receipts."""
        async with self._screening:
            with self._pace.shared_by(self._settings.concurrency, self._teller):
                await self._flow_at_pace()

    async def _flow_at_pace(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            replay = tasks.create_task(self._replay(), name="calls_async replay")
            linger = tasks.create_task(self._linger(), name="calls_async linger")
            self._reader = tasks.create_task(self._read(), name="calls_async reader")
            if self._stopping:
                self._reader.cancel()
            count = self._settings.concurrency
            self._workers = [tasks.create_task(self._work(), name="calls_async worker") for _ in range(count)]
            halter = tasks.create_task(self._halt(), name="calls_async halter")
            await asyncio.wait([self._reader])
            linger.cancel()
            self._end_reading()
            await asyncio.wait([replay, *self._workers])
            halter.cancel()

    async def _finish_journal(self) -> None:
        """An upload is finished when its reader has had every receipt: a death before that brings them again."""
        if self._journal is None or not self._read_whole or self._error is not None or self._discarded:
            return
        try:
            await self._journal.note_source_done()
        except JournalError as error:
            self._error = error

    async def _open_journal(self) -> None:
        settings = self._journal_settings
        if settings is None:
            return
        self._journal = await open_journal(
            settings, token=self._token, host=self._host, source=self._source.name, clock=self._caller.clock
        )
        self._sender.journal = self._journal
        self._journal.tell = self._teller
        past = self._journal.past
        self.summary.upload_id = self._chunker.upload_id = past.upload_id
        self._chunker.next_number = past.next_number
        self._consumed = Consumed(
            journal=str(settings.path),
            rows=past.rows,
            chunks=past.chunks,
            shown=self._screening.needs_every_row,
        )
        self._pending = past.pending
        self._from_before = frozenset(chunk.number for chunk in past.pending)
        self._pace.body_limit.remember(past.body_limit)

    async def _replay(self) -> None:
        """Hands out again what earlier processes have had answered."""
        if self._journal is not None:
            async with aclosing(self._journal.replay()) as receipts:
                async for receipt in receipts:
                    self.summary.add(receipt)
                    await self._receipts.put(receipt)

    async def _read(self) -> None:
        try:
            async with aclosing(self._source.batches(self._consumed)) as batches:
                async for batch in batches:
                    rows = await self._screening.sift(batch.rows, known=self._consumed.rows)
                    if rows:
                        self._send_pending()
                    self._chunker.wanted_bytes = self._pace.body_limit.largest
                    self._take_in(self._chunker.feed(rows), batch.mark)
                    await self._queue.room()
                    if self._stopping:
                        return
            self._send_pending()
            settling = self._journal_settings is not None and self._journal_settings.reopen
            self._read_whole = not (isinstance(self._source, NoSource) and settling)
        except asyncio.CancelledError:
            if self._stopping:
                return
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._error = SourceError(self._source.name, "was cancelled while it was being read")
        except Exception as error:  # noqa: BLE001  # raised to the reader of the receipts, after what was read before it
            self._error = error

    def _end_reading(self) -> None:
        """What is left of a chunk goes its way, and the workers end when all is sent."""
        if not self._failed.is_set():
            self._take_in(self._chunker.flush(), None)
        self._queue.close()

    def _fail(self, error: CallsError) -> None:
        """Every further request would fail, too: stop reading, send nothing more, and let what is in flight end."""
        if not self._failed.is_set():
            self._failed.set()
            self._error = error
            self._queue.drop()
            self.stop(try_again=False)

    async def _halt(self) -> None:
        """After a failure, answers are waited for only so long."""
        await self._failed.wait()
        await self._caller.clock.sleep(HALT_SECONDS)
        for worker in self._workers:
            worker.cancel()

    def _send_pending(self) -> None:
        """Sends again what earlier processes have had no answer to, once the source is known to be the same."""
        pending, self._pending = self._pending, ()
        self._queue.put(pending)

    def _take_in(self, chunks: Iterable[Chunk], mark: Mark | None) -> None:
        """Writes sealed chunks down and lets them wait for a worker."""
        for chunk in chunks:
            if self._journal is not None:
                self._journal.plan(chunk, mark or self._mark)
            self._queue.put([chunk])
        self._mark = mark or self._mark

    async def _linger(self) -> None:
        """Sends a chunk that has waited for its next row as long as the settings allow, if the server is idle."""
        waiting = 0
        while self._source.may_pause:
            await self._caller.clock.sleep(self._settings.linger_seconds)
            number = self._chunker.next_number
            if not self._chunker.empty and number == waiting and self._queue.has_room:
                self._take_in(self._chunker.flush(), None)
            waiting = number if not self._chunker.empty else 0

    async def _work(self) -> None:
        while (chunk := await self._queue.get()) is not None:
            try:
                await self._deal_with(chunk)
            finally:
                self._queue.done()

    async def _deal_with(self, chunk: Chunk) -> None:
        """Sends a chunk, writes down what became of it, and hands out its receipt."""
        try:
            sent = self._screened(chunk) or await self._sender.send(chunk)
            chunk = await self._write_down(chunk, sent)
            verdict = sent.verdict
        except (RequestError, JournalError) as error:
            if not self._gave_up_while_stopping(error):
                self._fail(error)
            if self._journal is not None:
                self._left_over = True
                if chunk.first_sent_at is None and isinstance(error, RefusedError | UnreachableError):
                    await self._journal.note_unsent(chunk)
                return  # it stands in the journal without an answer, to be sent again under its key
            verdict = self._verdict_of_failure(chunk, error)
        except asyncio.CancelledError:
            if self._journal is not None or chunk.number not in self._sender.under_way:
                raise  # it stands in the journal, or was not sent
            reason = "no answer came before the upload was stopped" + (f": {self._error}" if self._error else "")
            verdict = Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), reason)
            if not self._failed.is_set():
                self._doubt(Receipt.of(chunk, verdict))
                raise
        if chunk.rows or chunk.unsent:
            await self._hand_out(Receipt.of(chunk, verdict))

    def _screened(self, chunk: Chunk) -> Sent | None:
        """What an earlier process has read, but not sent, loses the numbers that are excluded now."""
        if chunk.number not in self._from_before or chunk.first_sent_at is not None:
            return None
        excluded = self._screening.excluded(chunk.phones)
        if not excluded:
            return None
        stays = list(excluded)
        verdict = attrs.evolve(Verdict.all(OutcomeStatus.REJECTED, len(stays), None), errors=list(excluded.values()))
        again = [index for index in range(len(chunk.rows)) if index not in excluded]
        return Sent(verdict, stays, [again] if again else [], "some of its numbers are excluded now")

    async def _write_down(self, chunk: Chunk, sent: Sent) -> Chunk:
        """Writes down what became of the chunk; what must be sent anew goes into chunks of its own in the same step.
        Returns what is left of it."""
        limit = self._pace.body_limit.largest
        if self._journal is not None and limit is not None and limit != self._body_limit:
            self._body_limit = limit
            await self._journal.note_body_limit(limit)
        if len(sent.stays) == len(chunk.rows):
            if self._journal is not None and chunk.rows:
                await self._journal.note_answered(chunk, sent.verdict)
            return chunk
        upload_id = self.summary.upload_id
        parts = [chunk.part(group, number=self._chunker.take_number(), upload_id=upload_id) for group in sent.again]
        rest = chunk.rest(sent.stays)
        if self._journal is not None:
            await self._journal.split(rest, sent.verdict, parts)
        numbers = tuple(part.number for part in parts)
        self._teller(ChunkSplit(at=self._caller.clock.wall(), chunk=chunk.number, into=numbers, reason=sent.reason))
        self._queue.put(parts, first=True)
        return rest

    async def _hand_out(self, receipt: Receipt) -> None:
        self.summary.add(receipt)
        self._note_time()
        self._tell_of(receipt)
        self._stop_where_all_is_refused(receipt)
        await self._receipts.put(receipt)

    def _tell_of(self, receipt: Receipt) -> None:
        counts = receipt.counts()
        self._teller(
            ChunkAccepted(
                at=self._caller.clock.wall(),
                chunk=receipt.chunk,
                accepted=counts[OutcomeStatus.ACCEPTED],
                duplicates=counts[OutcomeStatus.DUPLICATE],
                rejected=counts[OutcomeStatus.REJECTED],
                unknown=counts[OutcomeStatus.UNKNOWN],
            )
        )

    def _stop_where_all_is_refused(self, receipt: Receipt) -> None:
        """A campaign that takes nobody refuses every contact: that is no reason to ask it for each of a million."""
        statuses = set(receipt.verdict.statuses)
        if statuses == {OutcomeStatus.REJECTED}:
            self._refused_in_a_row += len(receipt.rows)
        elif statuses:
            self._refused_in_a_row = 0
        most = self._settings.max_refusals
        if most is not None and self._refused_in_a_row >= most:
            words = receipt.verdict.errors[-1] if receipt.verdict.errors else ""
            self._fail(TooManyRefusalsError(self._refused_in_a_row, words or ""))

    def _gave_up_while_stopping(self, error: CallsError) -> bool:
        return self._stopping and isinstance(error, NoAnswerError) and not error.refused

    def _doubt(self, receipt: Receipt) -> None:
        self.in_doubt.append(receipt)
        self.summary.add(receipt)

    @staticmethod
    def _verdict_of_failure(chunk: Chunk, error: CallsError) -> Verdict:
        certain = isinstance(error, RefusedError | UnreachableError)
        status = OutcomeStatus.REJECTED if certain else OutcomeStatus.UNKNOWN
        return Verdict.all(status, len(chunk.rows), str(error))

    def _note_time(self) -> None:
        self.summary.seconds = self._caller.clock.monotonic() - self._started_at
