"""One chunk is sent until its answer is certain, or until nobody can tell any more; its rows get their verdict, or go
into smaller chunks where the server has refused them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus

from calls_async.errors import AccessError, CallsError, NoAnswerError, RefusedError, RequestError
from calls_async.events import ChunkRetried, ChunkSent, ChunkWaits, Event
from calls_async.protocol import endpoints, keys
from calls_async.protocol.endpoints import Method
from calls_async.protocol.reports import JobReport
from calls_async.transport.answers import ACCESS_STATUSES, said_by
from calls_async.transport.attempts import Retry
from calls_async.transport.caller import Caller
from calls_async.upload.chunks.chunk import Chunk, halves, pieces
from calls_async.upload.journal.journal import Journal
from calls_async.upload.outcomes.attribution import (
    LATE_SECONDS,
    SKEW_SECONDS,
    phones_with_job_since,
    settle_by_report,
    verify_by_report,
)
from calls_async.upload.outcomes.outcome import Summary, Verdict
from calls_async.upload.pipeline.refusals import _SIZE, NEARLY, _verdict_of_one
from calls_async.upload.pipeline.send_result import Sent
from calls_async.upload.status import OutcomeStatus


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
        self.stand_in: Callable[[], None] = lambda: None
        """Lets another worker go on while this one waits."""
        self.waiting = 0
        """How many chunks wait for what may be late."""
        self._caller = caller
        self._pace = caller.own_pace()
        self._token = token
        self._summary = summary
        self._verify_each = verify
        self._tell = tell

    async def send(self, chunk: Chunk) -> Sent:
        """What became of the chunk's rows. Raises `RequestError` for what concerns every further request as well."""
        if not chunk.rows:
            return Sent.settled(Verdict.none())
        if chunk.first_sent_at is None and (groups := self._too_large(chunk)):
            return Sent.split(groups, "the server has refused smaller bodies as too large")
        with self._caller.telemetry.chunk(chunk.number, len(chunk.rows), len(chunk.body)) as note:
            try:
                sent = await self._send(chunk)
            except CallsError:
                self.under_way.discard(chunk.number)
                raise
            self.under_way.discard(chunk.number)
            note({status.value: count for status, count in sent.verdict.counts().items()})
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
                on_attempt=lambda attempt: self._note_attempt(chunk, attempt),
                on_retry=lambda retry: self._note_retry(chunk, retry),
            )
        except AccessError:
            raise
        except RefusedError as error:
            return self._refused(chunk, error)
        except NoAnswerError as error:
            if error.refused and error.status not in ACCESS_STATUSES and not self._caller.halted:
                return await self._settle_refusal(chunk, error, first_sent_at or self._caller.clock.wall())
            if error.unreachable or error.refused or error.outage or error.not_created or self._caller.halted:
                raise  # it may be sent again, under the same key, when that has been mended
            reason = (
                f"no certain answer in {error.attempts} attempts over {error.seconds:.0f} s (last: {error.last}); "
                "reconciling asks the report for it"
            )
            return Sent.settled(Verdict.all(OutcomeStatus.UNKNOWN, count, reason))
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
        if chunk.first_sent_at is not None:
            return chunk.first_sent_at
        if self.journal is not None:
            await self.journal.note_sent(chunk, now)
        return now

    def _note_attempt(self, chunk: Chunk, attempt: int) -> None:
        self._note_request(attempt)
        if attempt == 1:
            now, rows, size = self._caller.clock.wall(), len(chunk.rows), len(chunk.body)
            self._tell(
                ChunkSent(at=now, upload_id=self._summary.upload_id, chunk=chunk.number, rows=rows, body_bytes=size)
            )

    def _note_request(self, attempt: int) -> None:
        self._summary.requests += 1
        self._summary.retries += attempt > 1

    def _note_retry(self, chunk: Chunk, retry: Retry) -> None:
        self.last_retry = retry
        self._tell(
            ChunkRetried(
                at=self._caller.clock.wall(),
                upload_id=self._summary.upload_id,
                chunk=chunk.number,
                attempt=retry.attempt,
                reason=retry.reason,
                wait_seconds=retry.wait_seconds,
            )
        )

    # --- refusals ---

    def _refused(self, chunk: Chunk, error: RefusedError) -> Sent:
        """A refusal of many rows is one of some of them: it is split until those stand alone."""
        alone = len(chunk.rows) == 1
        self._learn_size(chunk, error, alone=alone)
        if alone:
            return Sent.settled(_verdict_of_one(error))
        return Sent.split(self._too_large(chunk) or halves(range(len(chunk.rows))), said_by(error))

    def _learn_size(self, chunk: Chunk, error: RequestError, *, alone: bool) -> None:
        certain = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        by_words = error.status == HTTPStatus.UNPROCESSABLE_ENTITY and _SIZE.search(error.body.lower()) is not None
        if not certain and not by_words:
            return
        if alone:
            self._pace.body_limit.refused_alone(certain=certain)
        else:
            self._pace.body_limit.refused(len(chunk.body), certain=certain)

    def _too_large(self, chunk: Chunk) -> Sequence[Sequence[int]]:
        """The parts of a chunk that is larger than the server takes."""
        limit = self._pace.body_limit.largest
        if limit is None or len(chunk.body) <= limit * NEARLY or len(chunk.rows) == 1:
            return ()
        return pieces(range(len(chunk.rows)), max(2, round(len(chunk.body) / limit)))

    async def _settle_refusal(self, chunk: Chunk, refusal: NoAnswerError, first_sent_at: float) -> Sent:
        """A refusal that came after a lost answer is certain only for phones that have no job since then, once no
        late request can arrive any more."""
        reason, count = f"{said_by(refusal)}, after an attempt without an answer", len(chunk.rows)
        if count > 1:
            self._learn_size(chunk, refusal, alone=False)
        if refusal.late:
            await self._wait_for_what_is_late(chunk)
        if self._caller.halted:
            raise refusal
        try:
            reports = await self._report(chunk, [])
        except RequestError as error:
            self._raise_if_ending(chunk, error)
            verdict = Verdict.all(OutcomeStatus.UNKNOWN, count, f"{reason}; and the report failed: {said_by(error)}")
            return Sent.settled(verdict)
        called = phones_with_job_since(first_sent_at, reports, chunk.phones)
        unknown = [index for index, phone in enumerate(chunk.phones) if phone in called]
        refused = [index for index, phone in enumerate(chunk.phones) if phone not in called]
        if count == 1 and refused:
            return Sent.settled(Verdict.all(OutcomeStatus.REJECTED, 1, reason))
        groups = halves(refused) if len(refused) == count else [refused] if refused else []
        return Sent(Verdict.all(OutcomeStatus.UNKNOWN, len(unknown), reason), unknown, groups, reason)

    async def _wait_for_what_is_late(self, chunk: Chunk) -> None:
        now = self._caller.clock.wall()
        upload_id = self._summary.upload_id
        self._tell(ChunkWaits(at=now, upload_id=upload_id, chunk=chunk.number, wait_seconds=LATE_SECONDS))
        self.waiting += 1
        self.stand_in()
        try:
            await self._caller.nap(LATE_SECONDS)
        finally:
            self.waiting -= 1

    def _raise_if_ending(self, chunk: Chunk, error: RequestError) -> None:
        """Where the report must wait, the chunk does: sent again under its key, it gets the same answer."""
        if isinstance(error, NoAnswerError) and (self._caller.halted or error.outage):
            # An error of the chunk's own: that the report was not reached does not mean that the chunk was not.
            raise NoAnswerError(
                f"was answered, but the report that tells whose the jobs are was not ({error.last}); run it again",
                method=Method.POST.value,
                path=endpoints.ADD_PHONES,
                attempts=error.attempts,
                seconds=error.seconds,
                idempotence_key=chunk.key,
                outage=error.outage,
            )

    # --- IDs to rows ---

    async def _verdict(self, chunk: Chunk, ids: list[str]) -> Verdict:
        count = len(chunk.rows)
        if len(ids) == count and not self._verify_each:
            return Verdict.accepted(ids)
        try:
            reports = await self._report(chunk, ids)
        except RequestError as error:
            self._raise_if_ending(chunk, error)
            if len(ids) == len(set(ids)) == count:
                return Verdict(
                    statuses=[OutcomeStatus.ACCEPTED] * count,
                    job_ids=ids,
                    errors=[f"the job's ID could not be checked, for the report failed: {said_by(error)}"] * count,
                )
            reason = f"{count} rows were answered with {len(set(ids))} IDs, and the report failed: {said_by(error)}"
            return Verdict.all(OutcomeStatus.UNKNOWN, count, reason)
        verified = verify_by_report(chunk.phones, ids, reports)
        return verified or settle_by_report(chunk.phones, chunk.contents(), ids, reports)

    async def _report(self, chunk: Chunk, ids: list[str]) -> list[JobReport]:
        """The jobs with these IDs and all jobs of the chunk's phones."""
        request = endpoints.job_report(self._token, ids, sorted(set(chunk.phones)), keys.new_key())
        return await self._caller.call(request, endpoints.read_job_reports, on_attempt=self._note_request)
