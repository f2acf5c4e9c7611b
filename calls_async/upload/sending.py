"""One chunk is sent until its answer is certain, or until nobody can tell any more; its rows get their verdict."""

from __future__ import annotations

from calls_async.errors import AccessError, CallsError, NoAnswerError, RefusedError, RequestError
from calls_async.protocol import endpoints, keys
from calls_async.protocol.reports import JobReport
from calls_async.transport.pacing import RateLimiter
from calls_async.transport.retry import ACCESS_STATUSES, Caller, Retry
from calls_async.upload.chunks import Chunk
from calls_async.upload.journal import Journal
from calls_async.upload.outcomes import (
    SKEW_SECONDS,
    OutcomeStatus,
    Summary,
    Verdict,
    phones_with_job_since,
    settle_by_report,
)


class Sender:
    """Sends the chunks of one upload. `summary` counts its requests; `journal` is told of each first attempt."""

    def __init__(self, caller: Caller, token: str, summary: Summary, limiter: RateLimiter | None) -> None:
        self.journal: Journal | None = None
        self.under_way: set[int] = set()
        """The numbers of the chunks that have been sent and have no verdict; also after a cancellation."""
        self.last_retry: Retry | None = None
        self._caller = caller
        self._token = token
        self._summary = summary
        self._limiter = limiter

    async def send(self, chunk: Chunk) -> Verdict:
        """What became of the chunk's rows. Raises `RequestError` for what concerns every further request as well."""
        if not chunk.rows:
            return Verdict.all(OutcomeStatus.REJECTED, 0, None)
        if self._limiter is not None:
            await self._limiter.take(len(chunk.rows))
        self.under_way.add(chunk.number)
        try:
            verdict = await self._send(chunk, await self._note_sent(chunk))
        except CallsError:
            self.under_way.discard(chunk.number)
            raise
        self.under_way.discard(chunk.number)
        return verdict

    async def _send(self, chunk: Chunk, first_sent_at: float) -> Verdict:
        count = len(chunk.rows)
        self._summary.requests += 1
        try:
            ids = await self._caller.call(
                endpoints.add_phones(self._token, chunk.body, chunk.key),
                endpoints.read_ids,
                not_after=self._last_attempt_at(first_sent_at),
                sent_before=chunk.first_sent_at is not None,
                on_retry=self._note_retry,
            )
            return Verdict.accepted(ids) if len(ids) == count else await self._settle(chunk, ids)
        except AccessError:
            raise
        except RefusedError as error:
            return Verdict.all(OutcomeStatus.REJECTED, count, str(error))
        except NoAnswerError as error:
            if error.refused and error.status not in ACCESS_STATUSES:
                return await self._settle_refusal(chunk, error, first_sent_at)
            if error.unreachable or error.refused or self._caller.halted:
                raise  # it may be sent again, under the same key, when that has been mended
            return Verdict.all(OutcomeStatus.UNKNOWN, count, str(error))

    def _last_attempt_at(self, first_sent_at: float) -> float:
        """A first send in the future was noted by a clock that was wrong: nobody knows when the key's day ends."""
        wrong = first_sent_at > self._caller.clock.wall() + SKEW_SECONDS
        return 0.0 if wrong else keys.last_attempt_at(first_sent_at)

    async def _note_sent(self, chunk: Chunk) -> float:
        """When the chunk was first sent: the beginning of its key's day (C-IDEM-7)."""
        if chunk.first_sent_at is not None:
            return chunk.first_sent_at
        now = self._caller.clock.wall()
        if self.journal is not None:
            await self.journal.note_sent(chunk, now)
        return now

    async def _settle(self, chunk: Chunk, ids: list[str]) -> Verdict:
        """Asks the report whose the IDs are, where their number is not that of the rows."""
        try:
            reports = await self._report(chunk, ids)
        except RequestError as error:
            reason = f"{len(chunk.rows)} rows were answered with {len(ids)} IDs, and the report failed: {error}"
            return Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), reason)
        return settle_by_report(chunk.phones, chunk.contents(), ids, reports)

    async def _settle_refusal(self, chunk: Chunk, refusal: NoAnswerError, first_sent_at: float) -> Verdict:
        """A refusal that came after a lost answer is certain only for phones that have no job since then."""
        reason = str(refusal)
        try:
            reports = await self._report(chunk, [])
        except RequestError as error:
            return Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), f"{reason} And the report failed: {error}")
        called = phones_with_job_since(first_sent_at, reports)
        statuses = [OutcomeStatus.UNKNOWN if phone in called else OutcomeStatus.REJECTED for phone in chunk.phones]
        count = len(statuses)
        return Verdict(statuses=statuses, job_ids=[None] * count, errors=[reason] * count)

    async def _report(self, chunk: Chunk, ids: list[str]) -> list[JobReport]:
        """The jobs with these IDs and all jobs of the chunk's phones."""
        request = endpoints.job_report(self._token, ids, sorted(set(chunk.phones)), keys.new_key())
        return await self._caller.call(request, endpoints.read_job_reports)

    def _note_retry(self, retry: Retry) -> None:
        self._summary.requests += 1
        self._summary.retries += 1
        self.last_retry = retry
