"""What became of each contact: outcomes, the receipt of a chunk, and the summary of an upload."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter

import attrs

from calls_async.errors import ContactError
from calls_async.protocol.phones import normalise_phone
from calls_async.protocol.reports import JobReport
from calls_async.upload.chunks import Chunk
from calls_async.upload.runs import UnsentRow
from calls_async.upload.status import OutcomeStatus


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

    def counts(self) -> Counter[OutcomeStatus]:
        """How many rows have which status."""
        statuses = self.statuses
        if statuses and statuses.count(statuses[0]) == len(statuses):  # nearly always
            return Counter({statuses[0]: len(statuses)})
        return Counter(statuses)

    @property
    def plain(self) -> bool:
        """Whether every row is accepted, and there is nothing more to say of any."""
        count = len(self.statuses)
        return self.statuses.count(OutcomeStatus.ACCEPTED) == count == self.errors.count(None)

    @classmethod
    def none(cls) -> Verdict:
        """Of no rows."""
        return cls(statuses=[], job_ids=[], errors=[])

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
    unsent: Sequence[UnsentRow] = attrs.field(default=(), repr=False)
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
            unsent=chunk.unsent,
        )

    def outcomes(self) -> Iterator[Outcome]:
        verdict = self.verdict
        sent = map(Outcome, self.rows, self.phones, verdict.statuses, verdict.job_ids, verdict.errors)
        if not self.unsent:
            return sent
        unsent = (Outcome(row.row, row.phone, row.status, None, row.error) for row in self.unsent)
        return iter(sorted([*sent, *unsent], key=attrgetter("row")))

    def only(self, status: OutcomeStatus) -> Receipt:
        """With the rows that have this status."""
        indexes = [index for index, one in enumerate(self.verdict.statuses) if one is status]
        verdict = Verdict(
            statuses=[status] * len(indexes),
            job_ids=[self.verdict.job_ids[index] for index in indexes],
            errors=[self.verdict.errors[index] for index in indexes],
        )
        return attrs.evolve(
            self,
            rows=[self.rows[index] for index in indexes],
            phones=[self.phones[index] for index in indexes],
            verdict=verdict,
            unsent=[row for row in self.unsent if row.status is status],
        )

    def counts(self) -> Counter[OutcomeStatus]:
        """How many rows have which status."""
        counts = self.verdict.counts()
        if self.unsent:
            counts.update(row.status for row in self.unsent)
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
    new, known = _jobs_by_phone(ids, reports)
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


def verify_by_report(phones: Sequence[str], ids: Sequence[str], reports: Sequence[JobReport]) -> Verdict | None:
    """The verdict by position, where there are as many IDs as rows and the report contradicts none; else None."""
    known = {report.call_job_id: phone for report in reports if (phone := phone_of(report)) is not None}
    if len(set(ids)) != len(phones) or len(ids) != len(phones):
        return None
    if any(known.get(job_id, phone) != phone for job_id, phone in zip(ids, phones, strict=True)):
        return None
    errors = [None if job_id in known else "the report does not know the job" for job_id in ids]
    return Verdict(statuses=[OutcomeStatus.ACCEPTED] * len(ids), job_ids=ids, errors=errors)


LATE_SECONDS = 120.0
"""How long a request that had no answer might still be on its way; as long as an attempt takes at most."""
SKEW_SECONDS = 300.0
"""How far the server's clock may be behind ours: a job from this long before the first send may be ours."""
DOUBT_SECONDS = 25 * 3600.0
"""A job from up to this long before the first send might be ours all the same, where a clock was wrong."""


def phones_with_job_since(first_sent_at: float, reports: Sequence[JobReport], phones: Sequence[str]) -> set[str]:
    """Those of `phones` of which `reports` know a job that may have come from a chunk first sent at that time. A
    report that does not say whose job it is may be of any (C-REP-4)."""
    since_ms = (first_sent_at - DOUBT_SECONDS) * 1000
    recent = [report for report in reports if report.created_at is None or report.created_at >= since_ms]
    called = {phone_of(report) for report in recent}
    return set(phones) if None in called or not called <= set(phones) else {phone for phone in called if phone}


def phone_of(report: JobReport) -> str | None:
    """The phone of a job, as we write it; None where the report does not say."""
    if report.phone is None:
        return None
    try:
        return normalise_phone(report.phone)
    except ContactError:
        return report.phone.removeprefix("+")


_RowVerdict = tuple[OutcomeStatus, str | None, str | None]


def _jobs_by_phone(ids: Sequence[str], reports: Sequence[JobReport]) -> tuple[dict[str, list[str]], set[str]]:
    """The answered jobs by phone, in the order of the answer, and the phones that have any job."""
    whose = {
        report.call_job_id: phone
        for report in reports
        if report.call_job_id is not None and (phone := phone_of(report)) is not None
    }
    new: dict[str, list[str]] = {}
    for job_id in dict.fromkeys(ids):
        if job_id in whose:
            new.setdefault(whose[job_id], []).append(job_id)
    return new, set(whose.values())


def _settle_phone(rows: int, jobs: Sequence[str], known: bool, same: bool) -> list[_RowVerdict]:
    """What became of the `rows` of one phone, of which `jobs` were created."""
    if 0 < len(jobs) < rows and not same:
        reason = f"phone: stands in {rows} rows of the chunk, of which {len(jobs)} got a job; nobody can tell which"
        return [(OutcomeStatus.UNKNOWN, None, reason)] * rows
    doubt = None if same else f"phone: stands in {rows} rows of the chunk; which of its jobs is whose is not certain"
    accepted: list[_RowVerdict] = [(OutcomeStatus.ACCEPTED, job_id, doubt) for job_id in jobs[:rows]]
    if known:
        return accepted + [(OutcomeStatus.DUPLICATE, None, None)] * (rows - len(accepted))
    return [
        (OutcomeStatus.UNKNOWN, None, "phone: was answered without an ID, and the report knows no job of it")
    ] * rows
