"""One chunk is sent until its answer is certain, or until nobody can tell any more; its rows get their verdict, or go
into smaller chunks where the server has refused them together."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial

import attrs

from calls_async.errors import AccessError, CallsError, NoAnswerError, RefusedError, RequestError
from calls_async.protocol import endpoints
from calls_async.protocol.token import Token
from calls_async.transport.answers import denies_all, describe_refusal
from calls_async.transport.attempts import CallPlan, Retry, do_nothing
from calls_async.transport.caller import Caller
from calls_async.transport.pacing.body_limit import BodyLimit
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.journal.journal import Journal
from calls_async.upload.outcomes.attribution import phones_with_job_since
from calls_async.upload.outcomes.outcome import Summary, Verdict
from calls_async.upload.pipeline.chunk_events import ChunkEvents
from calls_async.upload.pipeline.key_day import KeyDay
from calls_async.upload.pipeline.old_copy import OldCopyCheck
from calls_async.upload.pipeline.refusals import Refusals, describe_doubt
from calls_async.upload.pipeline.report_check import ReportCheck
from calls_async.upload.pipeline.send_result import Doubt, SendResult
from calls_async.upload.pipeline.server_time import ServerTime
from calls_async.upload.status import OutcomeStatus


@attrs.frozen(slots=True, kw_only=True)
class SenderSettings:
    """What a sender must know."""

    token: Token
    verify: bool
    """Check every answer against the report."""
    trust_journal: bool
    """Do not ask whether the journal is an old copy."""
    body_limit: BodyLimit
    """How large a body the server takes, as far as that has been learnt."""
    is_last: Callable[[], bool]
    """Tells whether nothing else is left to be sent but what is under way."""


class Sender:
    """Sends the chunks of one upload. `summary` counts its requests, `journal` is told of each first attempt."""

    def __init__(
        self, caller: Caller, journal: Journal, summary: Summary, events: ChunkEvents, settings: SenderSettings
    ) -> None:
        self.under_way: set[int] = set()
        """The numbers of the chunks that have been sent and have no verdict; also after a cancellation."""
        self._vouched: set[int] = set()
        """The numbers of the chunks for whose failing only the report vouches."""
        self._tried_again: set[int] = set()
        """The numbers of the chunks that went out more than once."""
        self.last_retry: Retry | None = None
        self._caller = caller
        self._journal = journal
        self._summary = summary
        self._events = events
        self._token = settings.token
        self._body_limit = settings.body_limit
        self._is_last = settings.is_last
        self._refusals = Refusals(settings.body_limit)
        self._reports = ReportCheck(caller, settings.token, verify=settings.verify, note_request=summary.note_request)
        self._server_time = ServerTime(
            caller, settings.token, needed=journal.past.was_sent, note_request=summary.note_request
        )
        self._old_copy = OldCopyCheck(journal, self._reports, trusted=settings.trust_journal)

    async def send(self, chunk: Chunk) -> SendResult | Doubt:
        """Return what became of the chunk's rows, or why that can be told only when nothing may be late any more.
        Raises `RequestError` for what concerns every further request, and `JournalRefusedError` for an old copy."""
        if not chunk.rows:
            return SendResult.settled(Verdict.none())
        if chunk.first_sent_at is None and (groups := self._refusals.split_unasked(chunk)):
            return SendResult.split(groups, "the server has refused smaller bodies as too large")
        if chunk.first_sent_at is not None:
            return await self._note_under_way(chunk, self._send(chunk))
        while True:
            await self._old_copy.ask(chunk)
            not_after = self._old_copy.not_after()
            try:
                return await self._note_under_way(chunk, self._send(chunk, not_after))
            except NoAnswerError as error:
                if not error.not_created or self._caller.halted or not self._old_copy.asks_from_now_on(not_after):
                    raise  # else it was not asked for, and did not get there as long as it need not be
                await self._journal.note_unsent(chunk)

    async def settle(self, doubt: Doubt) -> SendResult | Doubt:
        """Return what became of a chunk that was in doubt, now that nothing can be late any more: only phones that
        have no job since its first send were refused for certain."""
        return await self._note_under_way(doubt.chunk, self._settle(doubt))

    def tried_once(self, chunk: Chunk) -> bool:
        """Return whether a chunk went out no more than once in this process."""
        return chunk.number not in self._tried_again

    async def _note_under_way(self, chunk: Chunk, work: Awaitable[SendResult | Doubt]) -> SendResult | Doubt:
        with self._caller.telemetry.chunk(chunk.number, len(chunk.rows), len(chunk.body)) as note:
            try:
                result = await work
            except CallsError:
                self.under_way.discard(chunk.number)
                raise
            if isinstance(result, SendResult):
                self.under_way.discard(chunk.number)
                note({status.value: count for status, count in result.verdict.counts().items()})
        return result

    async def _send(self, chunk: Chunk, not_after: float = math.inf) -> SendResult | Doubt:
        day = KeyDay(chunk, self._caller, self._journal, not_after=not_after)
        try:
            ids = await self._caller.call(self._plan(chunk, day), endpoints.read_ids)
        except RefusedError as error:
            if isinstance(error, AccessError):
                raise
            return await self._reports.confirm(chunk, self._refusals.refuse(chunk, error))
        except NoAnswerError as error:
            if await self._proves_nothing(chunk, error):
                return Doubt(chunk=chunk, error=error, first_sent_at=day.first_sent_at or self._caller.clock.wall())
            if error.unreachable or error.refused or error.outage or error.not_created or error.busy:
                raise  # it may be sent again, under the same key, when that has been mended
            if self._caller.halted:
                raise
            reason = (
                f"no certain answer in {error.attempts} attempts over {error.seconds:.0f} s (last: {error.last}); "
                "reconciling asks the report for it"
            )
            return SendResult.settled(Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), reason))
        self._body_limit.accepted(len(chunk.body))
        since = day.first_sent_at or self._caller.clock.wall()
        return SendResult.settled(await self._reports.settle(chunk, ids, since))

    def _plan(self, chunk: Chunk, day: KeyDay) -> CallPlan:
        async def prepare() -> float:
            await self._note_sent(chunk, day)
            return day.ends_at()

        return CallPlan(
            request=endpoints.add_phones(self._token, chunk.body, chunk.key),
            prepare=prepare,
            before_attempt=partial(self._server_time.learn, chunk) if self._server_time.unknown else do_nothing,
            key_ends_at=day.ends_by_server_at,
            vouch=lambda: self._is_its_own_fault(chunk),
            contacts=len(chunk.rows),
            isolates=True,
            sent_before=chunk.first_sent_at is not None,
            on_attempt=lambda attempt: self._note_attempt(chunk, attempt),
            on_retry=lambda retry: self._note_retry(chunk, retry),
        )

    async def _proves_nothing(self, chunk: Chunk, error: NoAnswerError) -> bool:
        """Return whether it is a refusal, or a failure of its own, of which the report must be asked. One that
        concerns every request alike is none, but where an earlier process got it, too, and the report works: then
        the server keeps it with the key (C-IDEM-1)."""
        if self._caller.halted:
            return False
        if error.refused and denies_all(error.status):
            return chunk.first_sent_at is not None and await self._reports.work(chunk)
        # A single row where only the report vouches for the server is no proof, and nothing smaller can be sent.
        return error.refused or (error.failing and not (len(chunk.rows) == 1 and chunk.number in self._vouched))

    async def _is_its_own_fault(self, chunk: Chunk) -> bool:
        """Return whether the server fails at this chunk, not at everything, as far as that can be told when nothing
        else is left to be sent: whether its report works."""
        if not self._is_last() or not await self._reports.work(chunk):
            return False
        self._vouched.add(chunk.number)
        return True

    async def _note_sent(self, chunk: Chunk, day: KeyDay) -> None:
        """Note in the journal that the chunk is about to be sent, where its key's day begins with that."""
        if chunk.first_sent_at is None:
            now = self._caller.clock.wall()
            await self._journal.note_sent(chunk, now)
            day.begin(now)

    def _note_attempt(self, chunk: Chunk, attempt: int) -> None:
        self.under_way.add(chunk.number)
        self._summary.note_request(attempt)
        if attempt == 1:
            self._events.sent(chunk)
        else:
            self._tried_again.add(chunk.number)

    def _note_retry(self, chunk: Chunk, retry: Retry) -> None:
        self.last_retry = retry
        self._events.retried(chunk, retry)

    async def _settle(self, doubt: Doubt) -> SendResult:
        chunk, error = doubt.chunk, doubt.error
        if self._caller.halted:
            raise error
        try:
            reports = await self._reports.fetch(chunk, [])
        except RequestError as failure:
            self._reports.raise_if_ending(chunk, failure)
            words = f"{describe_doubt(error)}; and the report failed: {describe_refusal(failure)}"
            return SendResult.settled(Verdict.all(OutcomeStatus.UNKNOWN, len(chunk.rows), words))
        # By the earlier of the two clocks, which may have been wrong: who has a job too many here is unknown, and not
        # called twice.
        ahead = min(0.0, self._caller.server_ahead or 0.0)
        since = min(doubt.first_sent_at, self._caller.clock.wall()) + ahead
        called = phones_with_job_since(since, reports, chunk.phones)
        if called >= set(chunk.phones) and (verdict := await self._ask_again(doubt)):
            return SendResult.settled(verdict)
        return self._refusals.refuse_late(doubt, called)

    async def _ask_again(self, doubt: Doubt) -> Verdict | None:
        """Ask under the same key for the IDs of a chunk all of whose phones have jobs; None where there is no answer
        either. What comes of it, nothing is sent anew."""
        chunk = attrs.evolve(doubt.chunk, first_sent_at=doubt.first_sent_at)
        day = KeyDay(chunk, self._caller, self._journal)
        try:
            ids = await self._caller.call(self._plan(chunk, day), endpoints.read_ids)
        except RequestError as error:
            if self._caller.halted or (isinstance(error, NoAnswerError) and error.outage):
                raise
            return None
        return await self._reports.settle(chunk, ids, doubt.first_sent_at)
