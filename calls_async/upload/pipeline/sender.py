"""One chunk is sent until its answer is certain, or until nobody can tell any more; its rows get their verdict, or go
into smaller chunks where the server has refused them together."""

from __future__ import annotations

import attrs

from calls_async.errors import AccessError, CallsError, NoAnswerError, RefusedError, RequestError
from calls_async.protocol import endpoints, keys
from calls_async.transport.answers import ACCESS_STATUSES, describe_refusal
from calls_async.transport.attempts import CallPlan, Retry
from calls_async.transport.caller import Caller
from calls_async.transport.pacing.body_limit import BodyLimit
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.journal.journal import Journal
from calls_async.upload.outcomes.attribution import LATE_SECONDS, SKEW_SECONDS, phones_with_job_since
from calls_async.upload.outcomes.outcome import Summary, Verdict
from calls_async.upload.pipeline.chunk_events import ChunkEvents
from calls_async.upload.pipeline.refusals import Refusals, settle_late_refusal
from calls_async.upload.pipeline.report_check import ReportCheck
from calls_async.upload.pipeline.runner import StandIn
from calls_async.upload.pipeline.send_result import SendResult
from calls_async.upload.status import OutcomeStatus


@attrs.frozen(slots=True, kw_only=True)
class SenderSettings:
    """What a sender must know."""

    token: str = attrs.field(repr=False)
    verify: bool
    """Check every answer against the report."""
    body_limit: BodyLimit
    """How large a body the server takes, as far as that has been learnt."""


class Sender:
    """Sends the chunks of one upload. `summary` counts its requests, `journal` is told of each first attempt."""

    def __init__(
        self, caller: Caller, journal: Journal, summary: Summary, events: ChunkEvents, settings: SenderSettings
    ) -> None:
        self.under_way: set[int] = set()
        """The numbers of the chunks that have been sent and have no verdict; also after a cancellation."""
        self.last_retry: Retry | None = None
        self.waiting = 0
        """How many chunks wait for what may be late."""
        self._caller = caller
        self._journal = journal
        self._summary = summary
        self._events = events
        self._token = settings.token
        self._body_limit = settings.body_limit
        self._refusals = Refusals(settings.body_limit)
        self._reports = ReportCheck(caller, settings.token, verify=settings.verify, note_request=summary.note_request)

    async def send(self, chunk: Chunk, stand_in: StandIn) -> SendResult:
        """Return what became of the chunk's rows. Raises `RequestError` for what concerns every further request."""
        if not chunk.rows:
            return SendResult.settled(Verdict.none())
        if chunk.first_sent_at is None and (groups := self._refusals.split_unasked(chunk)):
            return SendResult.split(groups, "the server has refused smaller bodies as too large")
        with self._caller.telemetry.chunk(chunk.number, len(chunk.rows), len(chunk.body)) as note:
            try:
                result = await self._send(chunk, stand_in)
            except CallsError:
                self.under_way.discard(chunk.number)
                raise
            self.under_way.discard(chunk.number)
            note({status.value: count for status, count in result.verdict.counts().items()})
        return result

    async def _send(self, chunk: Chunk, stand_in: StandIn) -> SendResult:
        first_sent_at = chunk.first_sent_at

        async def prepare() -> float:
            nonlocal first_sent_at
            first_sent_at = await self._note_sent(chunk)
            return self._last_attempt_at(first_sent_at)

        plan = CallPlan(
            request=endpoints.add_phones(self._token, chunk.body, chunk.key),
            prepare=prepare,
            contacts=len(chunk.rows),
            sent_before=chunk.first_sent_at is not None,
            on_attempt=lambda attempt: self._note_attempt(chunk, attempt),
            on_retry=lambda retry: self._note_retry(chunk, retry),
        )
        try:
            ids = await self._caller.call(plan, endpoints.read_ids)
        except AccessError:
            raise
        except RefusedError as error:
            return self._refusals.refuse(chunk, error)
        except NoAnswerError as error:
            refused, halted = error.refused and error.status not in ACCESS_STATUSES, self._caller.halted
            if refused and not halted:
                since = first_sent_at or self._caller.clock.wall()
                return await self._settle_refusal(chunk, error, since, stand_in)
            if error.unreachable or error.refused or error.outage or error.not_created or halted:
                raise  # it may be sent again, under the same key, when that has been mended
            reason = (
                f"no certain answer in {error.attempts} attempts over {error.seconds:.0f} s (last: {error.last}); "
                "reconciling asks the report for it"
            )
            return SendResult.settled(Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), reason))
        self._body_limit.accepted(len(chunk.body))
        since = first_sent_at or self._caller.clock.wall()
        return SendResult.settled(await self._reports.settle(chunk, ids, since))

    def _last_attempt_at(self, first_sent_at: float) -> float:
        """Return when the key must not be sent any more; at once for a first send in the future, which was noted by a
        clock that was wrong: nobody knows when that key's day ends."""
        wrong = first_sent_at > self._caller.clock.wall() + SKEW_SECONDS
        return 0.0 if wrong else keys.last_attempt_at(first_sent_at)

    async def _note_sent(self, chunk: Chunk) -> float:
        """Note in the journal that the chunk is about to be sent, and return when it was first: the beginning of its
        key's day (C-IDEM-7)."""
        self.under_way.add(chunk.number)
        if chunk.first_sent_at is not None:
            return chunk.first_sent_at
        now = self._caller.clock.wall()
        await self._journal.note_sent(chunk, now)
        return now

    def _note_attempt(self, chunk: Chunk, attempt: int) -> None:
        self._summary.note_request(attempt)
        if attempt == 1:
            self._events.sent(chunk)

    def _note_retry(self, chunk: Chunk, retry: Retry) -> None:
        self.last_retry = retry
        self._events.retried(chunk, retry)

    async def _settle_refusal(
        self, chunk: Chunk, refusal: NoAnswerError, first_sent_at: float, stand_in: StandIn
    ) -> SendResult:
        """Settle a refusal that came after a lost answer: it is certain only for phones that have no job since then,
        once no late request can arrive any more."""
        reason = f"{describe_refusal(refusal)}, after an attempt without an answer"
        self._refusals.learn_late(chunk, refusal)
        if refusal.late:
            await self._wait_for_what_is_late(chunk, stand_in)
        if self._caller.halted:
            raise refusal
        try:
            reports = await self._reports.fetch(chunk, [])
        except RequestError as error:
            self._reports.raise_if_ending(chunk, error)
            words = f"{reason}; and the report failed: {describe_refusal(error)}"
            return SendResult.settled(Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), words))
        called = phones_with_job_since(first_sent_at, reports, chunk.phones)
        return settle_late_refusal(chunk.phones, called, reason)

    async def _wait_for_what_is_late(self, chunk: Chunk, stand_in: StandIn) -> None:
        self._events.waits(chunk, LATE_SECONDS)
        self.waiting += 1
        stand_in()
        try:
            await self._caller.nap(LATE_SECONDS)
        finally:
            self.waiting -= 1
