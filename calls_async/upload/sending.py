"""One chunk is sent until its answer is certain, or until nobody can tell any more; its rows get their verdict, or go
into smaller chunks where the server has refused them together."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus

import attrs

from calls_async.errors import AccessError, CallsError, NoAnswerError, RefusedError, RequestError
from calls_async.protocol import endpoints, keys
from calls_async.protocol.reports import JobReport
from calls_async.transport.answers import ACCESS_STATUSES
from calls_async.transport.events import Event
from calls_async.transport.retry import Caller, Retry
from calls_async.upload.chunks import Chunk, halves, pieces
from calls_async.upload.events import ChunkRetried, ChunkSent
from calls_async.upload.journal import Journal
from calls_async.upload.outcomes import (
    LATE_SECONDS,
    SKEW_SECONDS,
    Summary,
    Verdict,
    phones_with_job_since,
    settle_by_report,
    verify_by_report,
)
from calls_async.upload.status import OutcomeStatus

_DUPLICATE = re.compile(r"duplicat|already (?:been |was )?(?:added|exist|known|in the campaign)")
"""No page says in which words a duplicate is refused (C-DUP-2)."""
NEARLY = 1.1
"""How much larger than what is known to be taken a chunk may be before it is split unasked: halves differ."""
_SIZE = re.compile(r"too (?:large|big|many)|size|limit|maximum|exceed")


@attrs.frozen(slots=True)
class Sent:
    """What sending a chunk has come to: the verdict of some of its rows, and those that must be sent anew, under new
    keys, in smaller groups. Rows are meant by their index in the chunk."""

    verdict: Verdict
    stays: Sequence[int]
    again: Sequence[Sequence[int]] = ()
    reason: str = ""
    """Why some are sent anew."""

    @classmethod
    def settled(cls, verdict: Verdict) -> Sent:
        return cls(verdict, range(len(verdict.statuses)))

    @classmethod
    def split(cls, groups: Sequence[Sequence[int]], reason: str) -> Sent:
        return cls(Verdict.all(OutcomeStatus.REJECTED, 0, None), (), groups, reason)


class Sender:
    """Sends the chunks of one upload. `summary` counts its requests; `journal` is told of each first attempt;
    `verify` checks every answer against the report; `tell` hears what happens."""

    def __init__(
        self, caller: Caller, token: str, summary: Summary, *, verify: bool, tell: Callable[[Event], None]
    ) -> None:
        self.journal: Journal | None = None
        self.under_way: set[int] = set()
        """The numbers of the chunks that have been sent and have no verdict; also after a cancellation."""
        self.last_retry: Retry | None = None
        self._caller = caller
        self._pace = caller.own_pace()
        self._token = token
        self._summary = summary
        self._verify_each = verify
        self._tell = tell

    async def send(self, chunk: Chunk) -> Sent:
        """What became of the chunk's rows. Raises `RequestError` for what concerns every further request as well."""
        if not chunk.rows:
            return Sent.settled(Verdict.all(OutcomeStatus.REJECTED, 0, None))
        if chunk.first_sent_at is None and (groups := self._too_large(chunk)):
            return Sent.split(groups, "the server has refused smaller bodies as too large")
        try:
            sent = await self._send(chunk)
        except CallsError:
            self.under_way.discard(chunk.number)
            raise
        self.under_way.discard(chunk.number)
        return sent

    async def _send(self, chunk: Chunk) -> Sent:
        count, first_sent_at = len(chunk.rows), chunk.first_sent_at

        async def prepare() -> float:
            nonlocal first_sent_at
            first_sent_at = await self._note_sent(chunk)
            return self._last_attempt_at(first_sent_at)

        try:
            ids = await self._caller.call(
                endpoints.add_phones(self._token, chunk.body, chunk.key),
                endpoints.read_ids,
                prepare=prepare,
                contacts=count,
                sent_before=chunk.first_sent_at is not None,
                on_retry=lambda retry: self._note_retry(chunk, retry),
            )
        except AccessError:
            raise
        except RefusedError as error:
            return self._refused(chunk, error)
        except NoAnswerError as error:
            if error.refused and error.status not in ACCESS_STATUSES and not self._caller.halted:
                return await self._settle_refusal(chunk, error, first_sent_at or self._caller.clock.wall())
            if error.unreachable or error.refused or error.outage or self._caller.halted:
                raise  # it may be sent again, under the same key, when that has been mended
            return Sent.settled(Verdict.all(OutcomeStatus.UNKNOWN, count, str(error)))
        self._pace.body_limit.accepted(len(chunk.body))
        return Sent.settled(await self._verdict(chunk, ids))

    def _last_attempt_at(self, first_sent_at: float) -> float:
        """A first send in the future was noted by a clock that was wrong: nobody knows when the key's day ends."""
        wrong = first_sent_at > self._caller.clock.wall() + SKEW_SECONDS
        return 0.0 if wrong else keys.last_attempt_at(first_sent_at)

    async def _note_sent(self, chunk: Chunk) -> float:
        """When the chunk was first sent: the beginning of its key's day (C-IDEM-7)."""
        self.under_way.add(chunk.number)
        now = self._caller.clock.wall()
        self._summary.requests += 1
        self._tell(ChunkSent(at=now, chunk=chunk.number, rows=len(chunk.rows), body_bytes=len(chunk.body)))
        if chunk.first_sent_at is not None:
            return chunk.first_sent_at
        if self.journal is not None:
            await self.journal.note_sent(chunk, now)
        return now

    def _note_retry(self, chunk: Chunk, retry: Retry) -> None:
        self._summary.requests += 1
        self._summary.retries += 1
        self.last_retry = retry
        self._tell(
            ChunkRetried(
                at=self._caller.clock.wall(),
                chunk=chunk.number,
                attempt=retry.attempt,
                reason=retry.reason,
                wait_seconds=retry.wait_seconds,
            )
        )

    # --- refusals ---

    def _refused(self, chunk: Chunk, error: RefusedError) -> Sent:
        """A refusal of many rows is one of some of them: it is split until those stand alone."""
        if len(chunk.rows) == 1:
            return Sent.settled(_verdict_of_one(error))
        words = error.body.lower()
        too_large = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (
            error.status == HTTPStatus.UNPROCESSABLE_ENTITY and _SIZE.search(words) is not None
        )
        if too_large:
            self._pace.body_limit.refused(len(chunk.body))
            return Sent.split(self._too_large(chunk) or halves(range(len(chunk.rows))), str(error))
        return Sent.split(halves(range(len(chunk.rows))), str(error))

    def _too_large(self, chunk: Chunk) -> Sequence[Sequence[int]]:
        """The parts of a chunk that is larger than the server takes."""
        limit = self._pace.body_limit.largest
        if limit is None or len(chunk.body) <= limit * NEARLY or len(chunk.rows) == 1:
            return ()
        return pieces(range(len(chunk.rows)), max(2, round(len(chunk.body) / limit)))

    async def _settle_refusal(self, chunk: Chunk, refusal: NoAnswerError, first_sent_at: float) -> Sent:
        """A refusal that came after a lost answer is certain only for phones that have no job since then, once no
        late request can arrive any more."""
        reason, count = str(refusal), len(chunk.rows)
        await self._caller.nap(LATE_SECONDS)
        if self._caller.halted:
            raise refusal
        try:
            reports = await self._report(chunk, [])
        except RequestError as error:
            verdict = Verdict.all(OutcomeStatus.UNKNOWN, count, f"{reason} And the report failed: {error}")
            return Sent.settled(verdict)
        called = phones_with_job_since(first_sent_at, reports)
        unknown = [index for index, phone in enumerate(chunk.phones) if phone in called]
        refused = [index for index, phone in enumerate(chunk.phones) if phone not in called]
        if count == 1 and refused:
            return Sent.settled(Verdict.all(OutcomeStatus.REJECTED, 1, reason))
        groups = halves(refused) if len(refused) == count else [refused] if refused else []
        return Sent(Verdict.all(OutcomeStatus.UNKNOWN, len(unknown), reason), unknown, groups, reason)

    # --- IDs to rows ---

    async def _verdict(self, chunk: Chunk, ids: list[str]) -> Verdict:
        count = len(chunk.rows)
        if len(ids) == len(set(ids)) == count and not self._verify_each:
            return Verdict.accepted(ids)
        try:
            reports = await self._report(chunk, ids)
        except RequestError as error:
            if len(ids) == count:
                return Verdict(
                    statuses=[OutcomeStatus.ACCEPTED] * count,
                    job_ids=ids,
                    errors=[f"the job's ID could not be checked, for the report failed: {error}"] * count,
                )
            reason = f"{count} rows were answered with {len(ids)} IDs, and the report failed: {error}"
            return Verdict.all(OutcomeStatus.UNKNOWN, count, reason)
        verified = verify_by_report(chunk.phones, ids, reports)
        return verified or settle_by_report(chunk.phones, chunk.contents(), ids, reports)

    async def _report(self, chunk: Chunk, ids: list[str]) -> list[JobReport]:
        """The jobs with these IDs and all jobs of the chunk's phones."""
        request = endpoints.job_report(self._token, ids, sorted(set(chunk.phones)), keys.new_key())
        return await self._caller.call(request, endpoints.read_job_reports)


def _verdict_of_one(error: RefusedError) -> Verdict:
    """A single row that was refused: where the words speak of a duplicate, it is one (C-DUP-2)."""
    duplicate = _DUPLICATE.search(error.body.lower()) is not None
    return Verdict.all(OutcomeStatus.DUPLICATE if duplicate else OutcomeStatus.REJECTED, 1, str(error))
