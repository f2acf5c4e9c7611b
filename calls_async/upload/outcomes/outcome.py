"""What became of each contact: outcomes, the receipt of a chunk, and the summary of an upload."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter

import attrs

from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.rows.row import UnsentRow
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
        """Return how many rows have which status."""
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
        """Make the verdict of no rows."""
        return cls(statuses=[], job_ids=[], errors=[])

    @classmethod
    def all(cls, status: OutcomeStatus, count: int, error: str | None) -> Verdict:
        """Make the same verdict for all rows: none has a job, or none is known to have one."""
        return cls(statuses=[status] * count, job_ids=[None] * count, errors=[error] * count)

    @classmethod
    def accepted(cls, job_ids: Sequence[str]) -> Verdict:
        """Make the verdict of as many IDs as rows: by position (C-M-19)."""
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
        """Return a receipt of the rows that have this status."""
        indexes = [index for index, one in enumerate(self.verdict.statuses) if one is status]
        return attrs.evolve(self.sent_at(indexes), unsent=[row for row in self.unsent if row.status is status])

    def sent_at(self, indexes: Sequence[int]) -> Receipt:
        """Return a receipt of those of the rows that were sent that have these indexes; `unsent` stays."""
        verdict = Verdict(
            statuses=[self.verdict.statuses[index] for index in indexes],
            job_ids=[self.verdict.job_ids[index] for index in indexes],
            errors=[self.verdict.errors[index] for index in indexes],
        )
        rows, phones = [self.rows[index] for index in indexes], [self.phones[index] for index in indexes]
        return attrs.evolve(self, rows=rows, phones=phones, verdict=verdict)

    def counts(self) -> Counter[OutcomeStatus]:
        """Return how many rows have which status."""
        counts = self.verdict.counts()
        if self.unsent:
            counts.update(row.status for row in self.unsent)
        return counts


@attrs.define(slots=True, kw_only=True)
class Summary:
    """An upload in numbers. `requests` are the HTTP requests sent for chunks, `retries` the repeated among them."""

    upload_id: str
    rows: int = attrs.field(default=0, init=False)
    accepted: int = attrs.field(default=0, init=False)
    duplicates: int = attrs.field(default=0, init=False)
    rejected: int = attrs.field(default=0, init=False)
    unknown: int = attrs.field(default=0, init=False)
    requests: int = attrs.field(default=0, init=False)
    retries: int = attrs.field(default=0, init=False)
    seconds: float = attrs.field(default=0.0, init=False)

    def begin(self, upload_id: str) -> None:
        """Take the identity that the upload turns out to have, where an earlier process began it."""
        self.upload_id = upload_id

    def add(self, receipt: Receipt) -> None:
        """Count the rows of a receipt."""
        counts = receipt.counts()
        self.rows += counts.total()
        self.accepted += counts[OutcomeStatus.ACCEPTED]
        self.duplicates += counts[OutcomeStatus.DUPLICATE]
        self.rejected += counts[OutcomeStatus.REJECTED]
        self.unknown += counts[OutcomeStatus.UNKNOWN]

    def note_request(self, attempt: int) -> None:
        """Count a request, which is a retry where `attempt` is not 1."""
        self.requests += 1
        self.retries += attempt > 1

    def note_time(self, seconds: float) -> None:
        """Note how long the upload has been running."""
        self.seconds = seconds
