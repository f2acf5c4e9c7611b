"""What is done with each chunk: it is sent, what became of it is written down, and its receipt is handed out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from calls_async.errors import (
    CallsError,
    JournalError,
    NoAnswerError,
    RefusedError,
    RequestError,
    TooManyRefusalsError,
)
from calls_async.events import ChunkDone, ChunkSplit, Event
from calls_async.transport.answers import ACCESS_STATUSES
from calls_async.transport.clock import Clock
from calls_async.transport.pacing.gate import Pace
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.journal.journal import Journal
from calls_async.upload.outcomes.outcome import Receipt, Verdict
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.send_result import Sent
from calls_async.upload.pipeline.sender import Sender
from calls_async.upload.pipeline.state import Course
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.status import OutcomeStatus


@attrs.define(kw_only=True)
class Workers:
    """`work` is run by as many tasks as chunks may be in flight."""

    settings: UploadSettings
    sender: Sender
    queue: ChunkQueue
    chunker: Chunker
    screening: Screening
    pace: Pace
    clock: Clock
    tell: Callable[[Event], None]
    course: Course
    fail: Callable[[CallsError], None]
    """Is told of what makes every further request fail, too."""
    hand_out: Callable[[Receipt], Awaitable[None]]
    doubt: Callable[[Receipt], None]
    """Is told of a chunk that was in flight when its worker was cancelled, where no journal keeps it."""
    failures_are_verdicts: bool
    """Whether contacts that were not sent, because all requests fail, are told to be rejected."""
    keeps_refused: bool
    """Whether contacts that were refused in a row, as if the campaign took nobody, are kept for the next process."""
    journal: Journal | None = None
    from_before: set[int] = attrs.field(factory=set)
    """The numbers of chunks that an earlier process has read, and of their parts."""
    at_risk: set[asyncio.Task[Any]] = attrs.field(factory=set)
    """The tasks that wait for an answer."""
    left_over: bool = False
    """Whether something stands in the journal without an answer."""
    _refused_in_a_row: list[Chunk] = attrs.field(factory=list)
    _keep_all: bool = False
    """Whether they are kept for the next process."""
    _noted_limit: int | None = None

    async def work(self) -> None:
        while (chunk := await self.queue.get()) is not None:
            try:
                await self._deal_with(chunk)
            finally:
                self.queue.done()

    async def _deal_with(self, chunk: Chunk) -> None:
        by_server = False
        try:
            sent = self._screened(chunk)
            if sent is None:
                sent, by_server = await self._send(chunk), True
            chunk = await self._write_down(chunk, sent)
            verdict = sent.verdict
        except (RequestError, JournalError) as error:
            if not self._gave_up_while_stopping(error):
                self.fail(error)
            if not self.failures_are_verdicts and _not_created(error) and self.journal is None:
                return  # whoever brought them is told of the failure itself
            if self.journal is not None:
                self.left_over = True
                if chunk.first_sent_at is None and _not_created(error):
                    await self.journal.note_unsent(chunk)
                return  # it stands in the journal without an answer, to be sent again under its key
            verdict = _verdict_of_failure(chunk, error)
        except (asyncio.CancelledError, Exception) as error:
            self.left_over = True
            if self.journal is not None or chunk.number not in self.sender.under_way:
                raise  # it stands in the journal, or was not sent
            why = f": {self.course.error}" if self.course.error else ""
            reason = f"no answer came before the upload was stopped{why}"
            verdict = Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), reason)
            if not self.course.failed.is_set() or not isinstance(error, asyncio.CancelledError):
                self.doubt(Receipt.of(chunk, verdict))
                raise
        if chunk.rows or chunk.unsent:
            receipt = Receipt.of(chunk, verdict)
            self._tell_of(receipt)
            if by_server:
                await self._stop_where_all_is_refused(chunk, verdict)
            await self.hand_out(receipt)

    async def _send(self, chunk: Chunk) -> Sent:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("chunks are sent by tasks")
        self.at_risk.add(task)
        try:
            return await self.sender.send(chunk)
        finally:
            self.at_risk.discard(task)

    def _screened(self, chunk: Chunk) -> Sent | None:
        """What an earlier process has read, but not sent, loses the numbers that are excluded now."""
        if chunk.number not in self.from_before or chunk.first_sent_at is not None:
            return None
        excluded = self.screening.excluded(chunk.phones)
        if not excluded:
            return None
        stays = list(excluded)
        verdict = attrs.evolve(Verdict.all(OutcomeStatus.REJECTED, len(stays), None), errors=list(excluded.values()))
        again = [index for index in range(len(chunk.rows)) if index not in excluded]
        return Sent(verdict, stays, [again] if again else [], "some of its numbers are excluded now")

    async def _write_down(self, chunk: Chunk, sent: Sent) -> Chunk:
        """Writes down what became of the chunk; what must be sent anew goes into chunks of its own in the same step.
        Returns what is left of it."""
        await self._note_body_limit()
        if len(sent.stays) == len(chunk.rows):
            if self.journal is not None and chunk.rows:
                await self.journal.note_answered(chunk, sent.verdict)
            return chunk
        upload_id = self.chunker.upload_id
        rest, parts = chunk.divide(sent.stays, sent.again, take_number=self.chunker.take_number, upload_id=upload_id)
        if chunk.number in self.from_before:
            self.from_before.update(part.number for part in parts)
        if self.journal is not None:
            await self.journal.split(rest, sent.verdict, parts)
        into = tuple(part.number for part in parts)
        now = self.clock.wall()
        self.tell(ChunkSplit(at=now, upload_id=upload_id, chunk=chunk.number, into=into, reason=sent.reason))
        self.queue.put(parts, first=True)
        return rest

    async def _note_body_limit(self) -> None:
        limit = self.pace.body_limit.certain
        if self.journal is not None and limit is not None and limit != self._noted_limit:
            self._noted_limit = limit
            await self.journal.note_body_limit(limit)

    def _tell_of(self, receipt: Receipt) -> None:
        counts = receipt.counts()
        self.tell(
            ChunkDone(
                at=self.clock.wall(),
                upload_id=self.chunker.upload_id,
                chunk=receipt.chunk,
                accepted=counts[OutcomeStatus.ACCEPTED],
                duplicates=counts[OutcomeStatus.DUPLICATE],
                rejected=counts[OutcomeStatus.REJECTED],
                unknown=counts[OutcomeStatus.UNKNOWN],
            )
        )

    async def _stop_where_all_is_refused(self, chunk: Chunk, verdict: Verdict) -> None:
        """A campaign that takes nobody refuses every contact: that is no reason to ask it for each of a million. With
        a journal, those that it has refused are kept to be sent when it takes somebody again."""
        if self.settings.max_refusals is None:
            return
        statuses = set(verdict.statuses)
        if statuses != {OutcomeStatus.REJECTED}:
            self._refused_in_a_row.clear()
            return
        if self._keep_all:
            await self._keep([chunk])  # refused while the others were being kept
            return
        self._refused_in_a_row.append(chunk)
        refused, most = self._refused_in_a_row, self.settings.max_refusals
        if len(refused) < most or self.course.failed.is_set():
            return
        self._keep_all = self.keeps_refused
        words = verdict.errors[-1] if verdict.errors else ""
        self.fail(TooManyRefusalsError(len(refused), words or "", kept=self._keep_all))
        if self._keep_all:
            await self._keep(refused)

    async def _keep(self, chunks: Sequence[Chunk]) -> None:
        """Writes refused chunks down anew, under new keys, for the next process."""
        if self.journal is None:
            return
        self.left_over = True
        for chunk in chunks:
            rest, parts = chunk.divide(
                (),
                [range(len(chunk.rows))],
                take_number=self.chunker.take_number,
                upload_id=self.chunker.upload_id,
            )
            await self.journal.split(rest, Verdict.none(), parts)

    def _gave_up_while_stopping(self, error: CallsError) -> bool:
        """What is no failure, for it was not to be tried again."""
        denied = isinstance(error, NoAnswerError) and error.refused and error.status in ACCESS_STATUSES
        return self.course.stopping and isinstance(error, NoAnswerError) and not denied


def _not_created(error: CallsError) -> bool:
    """Whether nothing was created, for certain."""
    return isinstance(error, RefusedError) or (isinstance(error, NoAnswerError) and error.not_created)


def _verdict_of_failure(chunk: Chunk, error: CallsError) -> Verdict:
    status = OutcomeStatus.REJECTED if _not_created(error) else OutcomeStatus.UNKNOWN
    return Verdict.all(status, len(chunk.rows), str(error))
