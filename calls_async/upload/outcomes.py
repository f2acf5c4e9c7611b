"""What became of each contact: outcomes, the receipt of a chunk, and the summary of an upload."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from operator import attrgetter

import attrs

from calls_async.protocol.reports import JobReport
from calls_async.upload.chunks import Chunk
from calls_async.upload.rows import RejectedRow


class OutcomeStatus(StrEnum):
    """What became of a contact."""

    ACCEPTED = "accepted"
    """It has a call job."""
    DUPLICATE = "duplicate"
    """The server ignored it, for it has the same contact already (C-DUP-1)."""
    REJECTED = "rejected"
    """It was not sent, or the server refused it: nobody is called."""
    UNKNOWN = "unknown"
    """No certain answer came: it may or may not have a call job. It is never sent again blindly."""

    def __str__(self) -> str:
        return self.value


@attrs.frozen(slots=True)
class Outcome:
    """What became of one row of the source."""

    row: int
    phone: str | None = attrs.field(repr=False)
    status: OutcomeStatus
    job_id: str | None = None
    error: str | None = None


@attrs.frozen(slots=True, kw_only=True)
class Verdict:
    """What became of the rows that a chunk sent, in their order."""

    statuses: Sequence[OutcomeStatus]
    job_ids: Sequence[str | None]
    errors: Sequence[str | None]

    @classmethod
    def all(cls, status: OutcomeStatus, count: int, error: str | None) -> Verdict:
        """The same for all rows: none has a job, or none is known to have one."""
        return cls(statuses=[status] * count, job_ids=[None] * count, errors=[error] * count)

    @classmethod
    def accepted(cls, job_ids: Sequence[str]) -> Verdict:
        """As many IDs as rows: by position (C-M-19)."""
        count = len(job_ids)
        return cls(statuses=[OutcomeStatus.ACCEPTED] * count, job_ids=job_ids, errors=[None] * count)


@attrs.frozen(slots=True, kw_only=True)
class Receipt:
    """The answer to one chunk. `outcomes()` has every row that the chunk covers, in the order of the source."""

    chunk: int
    first_row: int
    last_row: int
    rows: Sequence[int] = attrs.field(repr=False)
    phones: Sequence[str] = attrs.field(repr=False)
    verdict: Verdict = attrs.field(repr=False)
    rejected: Sequence[RejectedRow] = attrs.field(default=(), repr=False)
    replayed: bool = False
    """Whether an earlier process had it answered, and it comes again from the journal."""

    @classmethod
    def of(cls, chunk: Chunk, verdict: Verdict) -> Receipt:
        return cls(
            chunk=chunk.number,
            first_row=chunk.first_row,
            last_row=chunk.last_row,
            rows=chunk.rows,
            phones=chunk.phones,
            verdict=verdict,
            rejected=chunk.rejected,
        )

    def outcomes(self) -> Iterator[Outcome]:
        verdict = self.verdict
        sent = map(Outcome, self.rows, self.phones, verdict.statuses, verdict.job_ids, verdict.errors)
        if not self.rejected:
            return sent
        refused = (Outcome(r.row, r.phone, OutcomeStatus.REJECTED, None, r.error) for r in self.rejected)
        return heapq.merge(sent, refused, key=attrgetter("row"))

    def counts(self) -> Counter[OutcomeStatus]:
        """How many rows have which status."""
        counts = Counter(self.verdict.statuses)
        counts[OutcomeStatus.REJECTED] += len(self.rejected)
        return counts


@attrs.define(slots=True, kw_only=True)
class Summary:
    """An upload in numbers. `requests` are the HTTP requests sent for chunks, `retries` the repeated among them."""

    upload_id: str
    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    unknown: int = 0
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0

    def add(self, receipt: Receipt) -> None:
        counts = receipt.counts()
        self.rows += counts.total()
        self.accepted += counts[OutcomeStatus.ACCEPTED]
        self.duplicates += counts[OutcomeStatus.DUPLICATE]
        self.rejected += counts[OutcomeStatus.REJECTED]
        self.unknown += counts[OutcomeStatus.UNKNOWN]


def settle_by_report(
    phones: Sequence[str], contents: Sequence[bytes], ids: Sequence[str], reports: Sequence[JobReport]
) -> Verdict:
    """Gives the jobs of one answer to the rows that were sent, where their numbers differ (C-M-19).

    `contents` are the rows' contacts as bytes, `reports` those of `ids` and of `phones`. A row without a job of its
    own is a duplicate where its phone has a job at all (C-DUP-1), and unknown otherwise. Where a phone stands in rows
    of different content and only some of them have a job, nobody can tell which: they are unknown.
    """
    new, known = _jobs_by_phone(set(ids), reports)
    if sum(map(len, new.values())) != len(set(ids)) or not new.keys() <= set(phones):
        reason = f"{len(phones)} rows were answered with {len(ids)} IDs, and the report does not tell whose"
        return Verdict.all(OutcomeStatus.UNKNOWN, len(phones), reason)
    rows_of: dict[str, list[int]] = {}
    for index, phone in enumerate(phones):
        rows_of.setdefault(phone, []).append(index)
    verdicts: list[_RowVerdict] = [(OutcomeStatus.UNKNOWN, None, None)] * len(phones)
    for phone, indexes in rows_of.items():
        same = len({contents[index] for index in indexes}) == 1
        settled = _settle_phone(len(indexes), new.get(phone, []), phone in known, same)
        for index, verdict in zip(indexes, settled, strict=True):
            verdicts[index] = verdict
    statuses, job_ids, errors = zip(*verdicts, strict=True)
    return Verdict(statuses=statuses, job_ids=job_ids, errors=errors)


SKEW_SECONDS = 300.0
"""How far the server's clock may be behind ours: a job from this long before the first send may be ours."""
DOUBT_SECONDS = 25 * 3600.0
"""A job from up to this long before the first send might be ours all the same, where a clock was wrong."""


def phones_with_job_since(first_sent_at: float, reports: Sequence[JobReport]) -> set[str]:
    """The phones of which `reports` know a job that may have come from a chunk first sent at that time."""
    since_ms = (first_sent_at - DOUBT_SECONDS) * 1000
    return {
        report.phone.removeprefix("+")
        for report in reports
        if report.phone is not None and (report.created_at is None or report.created_at >= since_ms)
    }


_RowVerdict = tuple[OutcomeStatus, str | None, str | None]


def _jobs_by_phone(answered: set[str], reports: Sequence[JobReport]) -> tuple[dict[str, list[str]], set[str]]:
    """The answered jobs by phone, and the phones that have any job."""
    new: dict[str, list[str]] = {}
    known: set[str] = set()
    for report in reports:
        if report.phone is not None and report.call_job_id is not None:
            phone = report.phone.removeprefix("+")
            known.add(phone)
            if report.call_job_id in answered:
                new.setdefault(phone, []).append(report.call_job_id)
    return new, known


def _settle_phone(rows: int, jobs: Sequence[str], known: bool, same: bool) -> list[_RowVerdict]:
    """What became of the `rows` of one phone, of which `jobs` were created."""
    if 0 < len(jobs) < rows and not same:
        reason = f"phone: stands in {rows} rows of the chunk, of which {len(jobs)} got a job; nobody can tell which"
        return [(OutcomeStatus.UNKNOWN, None, reason)] * rows
    accepted: list[_RowVerdict] = [(OutcomeStatus.ACCEPTED, job_id, None) for job_id in jobs[:rows]]
    if known:
        return accepted + [(OutcomeStatus.DUPLICATE, None, None)] * (rows - len(accepted))
    return [
        (OutcomeStatus.UNKNOWN, None, "phone: was answered without an ID, and the report knows no job of it")
    ] * rows
