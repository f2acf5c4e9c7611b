"""Stops an upload whose journal is an old copy: when its keys' day is over, only the report can tell."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from calls_async.errors import JournalRefusedError
from calls_async.protocol import keys
from calls_async.protocol.reports import JobReport
from calls_async.upload.chunks.chunk import PLACE_STEP, Chunk
from calls_async.upload.journal.journal import Journal
from calls_async.upload.journal.settings import Purpose
from calls_async.upload.outcomes.attribution import SKEW_SECONDS, read_phone
from calls_async.upload.pipeline.report_check import ReportCheck

ASKED_ROWS = 5_000
"""So many rows of the next chunks are asked for: more than were in flight when a copy's later life ended, or than are
refused in a row before an upload stops."""


class OldCopyCheck:
    """Asks the report whether somebody of the next chunks was called already, though the journal does not know it. A
    copy from within its last key's day needs no such question: the same rows have the same keys. `trusted`: neither
    does one that its owner vouches for. A batcher's people may be called for other reasons."""

    def __init__(self, journal: Journal, reports: ReportCheck, *, trusted: bool) -> None:
        self._journal = journal
        self._reports = reports
        self._turn = asyncio.Lock()
        is_new = journal.past.next_number == 1 and not self._is_over()  # no earlier process has read anything
        of_batcher = journal.past.of_batcher or journal.purpose is Purpose.BATCHER
        self._trusted = trusted or is_new or of_batcher
        self._rows_left = journal.past.to_ask
        self._day_is_over = False
        self._retries = journal.past.rejected is not None and not trusted
        """Whether rejected rows are sent again: the same rows have other keys then, also within the day."""

    async def ask(self, chunk: Chunk) -> None:
        """Return when a chunk that was never sent may be. Raises `JournalRefusedError` where somebody in it has a job
        of which the journal does not know, and `RequestError` where the report cannot be had."""
        if not self._is_due():
            return
        async with self._turn:  # no later chunk goes before an earlier one has been asked for
            if not self._is_due():
                return
            if strange := await self._find_strange(chunk):
                raise JournalRefusedError(
                    self._journal.name,
                    f"is an old copy: the server has jobs of {len(strange)} contacts of rows {chunk.first_row} to "
                    f"{chunk.last_row}, which by this journal were never sent. They were not sent again. Bring the "
                    "newest journal back, or upload only those who were not called. Only if these jobs come from "
                    "another list: --trust-journal (trust_journal=True)",
                )
            if self._retries:
                return
            if PLACE_STEP not in chunk.place:  # the parts of one that was refused prove nothing
                self._rows_left = max(0, self._rows_left - len(chunk.rows))
            await self._journal.note_to_ask(self._rows_left)  # its send makes the journal young, for the next process

    def not_after(self) -> float:
        """Return until when a chunk may be sent that is not asked for (by the journal's time; Unix time, seconds):
        its key may have been used since the journal's last one."""
        past = self._journal.past
        if self._trusted or past.last_sent_at is None or self._day_is_over:
            return math.inf
        return keys.last_attempt_at(past.last_sent_at)

    def asks_from_now_on(self, not_after: float) -> bool:
        """Return whether that time has come since it was told."""
        return not_after < math.inf and self._is_over()

    def _is_due(self) -> bool:
        past = self._journal.past
        if self._retries:
            return True
        if self._trusted or past.last_sent_at is None:
            return False
        if not self._day_is_over and self._is_over():
            self._day_is_over, self._rows_left = True, ASKED_ROWS
        return self._rows_left > 0

    def _is_over(self) -> bool:
        past = self._journal.past
        return past.last_sent_at is not None and self._journal.now() > keys.last_attempt_at(past.last_sent_at)

    async def _find_strange(self, chunk: Chunk) -> set[str]:
        """Return the phones that have a job since the upload began which the journal cannot explain."""
        since_ms = ((self._journal.past.begun_at or 0.0) - SKEW_SECONDS) * 1000
        phones = set(chunk.phones)
        jobs: Sequence[tuple[str, JobReport]] = [
            (phone, report)
            for report in await self._reports.fetch(chunk, [])
            if (phone := read_phone(report)) in phones
            and (report.created_at is None or report.created_at >= since_ms)
        ]
        if not jobs:
            return set()
        known = await self._journal.known_jobs({phone for phone, _ in jobs})
        return {phone for phone, report in jobs if report.call_job_id not in known.ids} - known.doubtful
