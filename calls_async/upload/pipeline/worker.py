"""What is done with each chunk: it is sent, what became of it is written down, and its receipt is handed out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs

from calls_async.errors import (
    AccessError,
    CallsError,
    JournalError,
    NoAnswerError,
    RequestError,
    TooManyRefusalsError,
)
from calls_async.transport.answers import denies_all
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.outcomes.outcome import Receipt, Verdict
from calls_async.upload.pipeline.chunk_events import ChunkEvents
from calls_async.upload.pipeline.parking import Parking
from calls_async.upload.pipeline.receipts import Receipts
from calls_async.upload.pipeline.recorder import Recorder
from calls_async.upload.pipeline.refusal_guard import GuardState, RefusalGuard
from calls_async.upload.pipeline.send_result import Doubt, SendResult
from calls_async.upload.pipeline.sender import Sender
from calls_async.upload.pipeline.state import RunState
from calls_async.upload.screening.screening import Screening
from calls_async.upload.status import OutcomeStatus


@attrs.frozen(slots=True, kw_only=True)
class WorkerSettings:
    """What becomes of contacts that cannot be sent."""

    answers_callers: bool
    """Whether each contact's caller waits for its outcome, as a batcher's do: who was not sent, because all requests
    fail, may try again, and is not told to be rejected; who is refused is told so, and not kept for another run."""
    max_refusals: int | None
    """So many refused in a row stop the upload; None: never."""


@attrs.frozen(slots=True, kw_only=True)
class WorkerParts:
    """What a worker works with."""

    sender: Sender
    recorder: Recorder
    receipts: Receipts
    parking: Parking
    screening: Screening
    events: ChunkEvents


class Worker:
    """Deals with one chunk after the other; many tasks share it."""

    def __init__(
        self,
        parts: WorkerParts,
        state: RunState,
        fail: Callable[[CallsError], None],
        settings: WorkerSettings,
    ) -> None:
        self._sender = parts.sender
        self._recorder = parts.recorder
        self._receipts = parts.receipts
        self._parking = parts.parking
        self._screening = parts.screening
        self._events = parts.events
        self._state = state
        self._fail = fail
        self._settings = settings
        self._guard = RefusalGuard(settings.max_refusals)
        self._at_risk: set[asyncio.Task[Any]] = set()
        """The tasks that wait for an answer."""
        self._recalled: set[asyncio.Task[Any]] = set()
        """Those that were cancelled here, to go on with what became of their chunks."""

    def cancel_sending(self) -> None:
        """Cancel what waits for an answer; whoever hands out a receipt is not disturbed."""
        self._recalled.update(self._at_risk)
        for task in tuple(self._at_risk):
            task.cancel()

    async def work(self, chunk: Chunk) -> None:
        """Send a chunk, write down what became of it, and hand out its receipt; or let it wait for what may be late,
        and go on with it when that is over."""
        doubt = await self._parking.take(chunk)
        chunk = chunk if doubt is None else doubt.chunk
        by_server = False
        try:
            result: SendResult | Doubt | None = self._screen(chunk) if doubt is None else None
            if result is None:
                result, by_server = await self._send(chunk, doubt), True
            if not isinstance(result, Doubt):
                chunk, verdict = await self._recorder.note_result(chunk, result), result.verdict
        except (RequestError, JournalError) as error:
            failed = await self._settle_failure(chunk, error)
            if failed is None:
                return
            verdict = failed
        except (asyncio.CancelledError, Exception) as error:
            verdict = self._settle_interruption(chunk, error)
            if not self._was_recalled(error):
                self._receipts.doubt(Receipt.of(chunk, verdict))
                raise
        else:
            if isinstance(result, Doubt):
                await self._parking.park(result)
                return
        if chunk.rows or chunk.unsent:
            receipt = Receipt.of(chunk, verdict)
            self._events.done(receipt)
            if by_server:
                await self._guard_against_refusals(chunk, verdict)
            await self._receipts.hand_out(receipt)

    def abandon(self, chunk: Chunk) -> None:
        """Leave a chunk that waited when everything was cancelled: to the journal, or its rows as unknown."""
        self._state.note_left_over()
        if not self._recorder.keeps:
            self._receipts.doubt(Receipt.of(chunk, self._not_answered(chunk)))

    async def _send(self, chunk: Chunk, doubt: Doubt | None) -> SendResult | Doubt:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("chunks are sent by tasks")
        self._at_risk.add(task)
        try:
            return await (self._sender.send(chunk) if doubt is None else self._sender.settle(doubt))
        finally:
            self._at_risk.discard(task)

    def _screen(self, chunk: Chunk) -> SendResult | None:
        """Take the numbers that are excluded now out of what an earlier process has read, but not sent."""
        if chunk.first_sent_at is not None or not self._recorder.is_from_before(chunk):
            return None
        excluded = self._screening.excluded(chunk.phones)
        if not excluded:
            return None
        stays = list(excluded)
        verdict = attrs.evolve(Verdict.all(OutcomeStatus.REJECTED, len(stays), None), errors=list(excluded.values()))
        again = [index for index in range(len(chunk.rows)) if index not in excluded]
        return SendResult(verdict, stays, [again] if again else [], "some of its numbers are excluded now")

    async def _settle_failure(self, chunk: Chunk, error: CallsError) -> Verdict | None:
        """Return the verdict of a chunk that could not be sent or written down; None where it stays without one: it
        stands in the journal, or those who brought its contacts are told of the failure itself."""
        if not self._gave_up_while_stopping(error):
            self._fail(error)
        not_created = isinstance(error, NoAnswerError) and error.not_created
        if self._recorder.keeps:
            self._state.note_left_over()
            if chunk.first_sent_at is None and not_created:
                await self._recorder.note_unsent(chunk)
            elif chunk.first_sent_at is None and _is_denial(error) and self._sender.tried_once(chunk):
                await self._recorder.note_denied(chunk)
            return None  # it is sent again under its key
        if self._settings.answers_callers and not_created:
            return None
        status = OutcomeStatus.REJECTED if not_created else OutcomeStatus.UNKNOWN
        return Verdict.all(status, len(chunk.rows), str(error))

    def _was_recalled(self, error: BaseException) -> bool:
        """Return whether a worker was interrupted by `cancel_sending`, and by nobody else."""
        task = asyncio.current_task()
        if task is None or task not in self._recalled or not isinstance(error, asyncio.CancelledError):
            return False
        self._recalled.discard(task)
        return task.uncancel() == 0

    def _settle_interruption(self, chunk: Chunk, error: BaseException) -> Verdict:
        """Return the verdict of a chunk that was in flight when its worker was ended by `error`; raise that again
        where the chunk stands in the journal, or was not sent."""
        self._state.note_left_over()
        if self._recorder.keeps or chunk.number not in self._sender.under_way:
            raise error
        return self._not_answered(chunk)

    def _not_answered(self, chunk: Chunk) -> Verdict:
        why = f": {self._state.error}" if self._state.error else ""
        reason = f"no answer came before the upload was stopped{why}"
        return Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), reason)

    async def _guard_against_refusals(self, chunk: Chunk, verdict: Verdict) -> None:
        tripped = self._guard.state is GuardState.TRIPPED
        if self._state.failed and not tripped:
            return
        refused = self._guard.note(chunk, verdict)
        if not refused:
            return
        keeps = self._recorder.keeps and not self._settings.answers_callers
        if not tripped:
            words = verdict.errors[-1] if verdict.errors else ""
            self._fail(TooManyRefusalsError(len(refused), words or "", kept=keeps))
        if keeps:
            self._state.note_left_over()
            await self._recorder.keep(refused)

    def _gave_up_while_stopping(self, error: CallsError) -> bool:
        """Return whether it is no failure, for the upload is stopping and it was not to be tried again."""
        denied = isinstance(error, NoAnswerError) and error.refused and denies_all(error.status)
        return self._state.stopping and isinstance(error, NoAnswerError) and not denied


def _is_denial(error: CallsError) -> bool:
    """Return whether an error says that nothing goes here; a web page in a success's place may be a gateway's."""
    return isinstance(error, AccessError) and (error.status or 0) >= 300 and denies_all(error.status)
