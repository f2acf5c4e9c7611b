"""Asks the report whose jobs are whose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from calls_async.errors import NoAnswerError, RequestError
from calls_async.protocol import endpoints, keys
from calls_async.protocol.endpoints import Method
from calls_async.protocol.reports import JobReport
from calls_async.protocol.token import AnyToken
from calls_async.transport.answers import describe_refusal
from calls_async.transport.attempts import CallPlan
from calls_async.transport.caller import Caller
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.outcomes.attribution import (
    make_sense_of,
    read_phone,
    settle_by_report,
    tells_certainly,
    verify_by_report,
)
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.pipeline.send_result import SendResult
from calls_async.upload.status import OutcomeStatus


class ReportCheck:
    """Gives the IDs of answers to rows, by asking the report where that is not certain. `verify`: also where it is.
    `note_request` hears the number of each attempt."""

    def __init__(self, caller: Caller, token: AnyToken, *, verify: bool, note_request: Callable[[int], None]) -> None:
        self._caller = caller
        self._token = token
        self._verify_each = verify
        self._note_request = note_request

    async def settle(self, chunk: Chunk, ids: list[str], first_sent_at: float) -> Verdict:
        """Return what became of the rows of a chunk that was first sent at that time, and answered with `ids`
        (C-M-19)."""
        count = len(chunk.rows)
        if tells_certainly(ids, count) and not self._verify_each:
            return Verdict.accepted(ids)
        try:
            reports = await self.fetch(chunk, ids)
        except RequestError as error:
            self.raise_if_ending(chunk, error)
            return _settle_without_report(count, ids, describe_refusal(error))
        verified = verify_by_report(chunk.phones, ids, reports)
        if verified is not None:
            return verified
        return settle_by_report(chunk.phones, chunk.contents(), ids, reports, first_sent_at=first_sent_at)

    async def confirm(self, chunk: Chunk, result: SendResult) -> SendResult:
        """Return the result of a refusal whose words speak of a duplicate (C-DUP-2) as it is where the report knows a
        job of the phone, or cannot be had; else the row is rejected."""
        if OutcomeStatus.DUPLICATE not in result.verdict.statuses:
            return result
        try:
            reports = await self.fetch(chunk, [])
        except RequestError:
            return result
        if {read_phone(report) for report in reports} & {*chunk.phones, None}:
            return result
        return SendResult.settled(Verdict.all(OutcomeStatus.REJECTED, len(chunk.rows), result.verdict.errors[0]))

    async def fetch(self, chunk: Chunk, ids: Sequence[str]) -> list[JobReport]:
        """Return the jobs with these IDs and all jobs of the chunk's phones."""
        request = endpoints.job_report(self._token, ids, sorted(set(chunk.phones)), keys.new_key())
        plan = CallPlan(request=request, on_attempt=self._note_request)
        return make_sense_of(await self._caller.call(plan, endpoints.read_job_reports))

    async def work(self, chunk: Chunk) -> bool:
        """Return whether the server answers when it is asked for the jobs of the chunk's phones."""
        try:
            await self.fetch(chunk, [])
        except RequestError:
            return False
        return True

    def raise_if_ending(self, chunk: Chunk, error: RequestError) -> None:
        """Raise `NoAnswerError` where the report must wait: so does the chunk, and sent again under its key it gets
        the same answer."""
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


def _settle_without_report(count: int, ids: Sequence[str], words: str) -> Verdict:
    if tells_certainly(ids, count):
        return Verdict(
            statuses=[OutcomeStatus.ACCEPTED] * count,
            job_ids=ids,
            errors=[f"the job's ID could not be checked, for the report failed: {words}"] * count,
        )
    reason = f"{count} rows were answered with {len(set(ids))} IDs, and the report failed: {words}"
    return Verdict.all(OutcomeStatus.UNKNOWN, count, reason)
