"""Unknown answers are settled, not guessed: the API is asked for the jobs of the phones that had none.

A job of an unknown row's phone that was created since the row was first sent, and that is no other row's, is its
job. Rows whose phone has no such job may be sent again, under new keys, if the user says so. What cannot be told
apart (the same phone in several rows, more jobs than rows, a job from about the same time) stays unknown, for a
person to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from calls_async.errors import ConfigurationError
from calls_async.protocol import endpoints, keys
from calls_async.protocol.reports import JobReport
from calls_async.protocol.token import Token
from calls_async.transport.attempts import CallPlan
from calls_async.transport.caller import Caller
from calls_async.transport.connection import Connection
from calls_async.upload.assembly import UploadRequest
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.journal.journal import FileJournal
from calls_async.upload.journal.opening import open_journal
from calls_async.upload.journal.settings import JournalOwner, JournalSettings
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.attribution import (
    DOUBT_SECONDS,
    LATE_SECONDS,
    SKEW_SECONDS,
    make_sense_of,
    read_phone,
)
from calls_async.upload.outcomes.outcome import Summary, Verdict
from calls_async.upload.screening.exclusions import to_paths
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.source import NoSource
from calls_async.upload.status import OutcomeStatus
from calls_async.upload.upload import Upload

PHONES_PER_REPORT = 500
DATE_SECONDS = 30.0
"""How exact the server's `Date` is for the times of its jobs: it has whole seconds, and may be another machine's."""
MAX_OUTAGE = UploadSettings().max_outage_seconds
NO_JOB = "the API knows no job of this phone since it was sent; reconcile with --resend sends it again"


@attrs.frozen(slots=True, kw_only=True)
class Reconciliation:
    """What has become of a journal's unknown rows."""

    unknown: int = 0
    """Rows that were unknown."""
    adopted: int = 0
    """Rows whose job was found."""
    without_job: int = 0
    """Rows of which no job is known; sent again, where that was asked for."""
    unclear: int = 0
    """Rows that stay unknown for a person to decide."""
    resent: bool = False
    summary: Summary | None = None
    """The whole upload, as it is now."""


@attrs.frozen(slots=True)
class UnknownRow:
    """A row of which nobody knows whether it has a job."""

    chunk: int
    index: int
    phone: str
    content: bytes = attrs.field(repr=False)
    since: float
    """When it was first sent, by the server's clock as far as that is known; Unix time, seconds."""
    until: float
    """When a request of it could be acted upon at the latest, by the same clock."""
    skew_seconds: float
    """How exact these times are."""


@attrs.frozen(slots=True)
class Finding:
    """What the report says of an unknown row: its job, or why not. Neither: there is none."""

    job_id: str | None = None
    unclear: str | None = None


async def reconcile(
    connection: Connection,
    token: Token,
    settings: JournalSettings,
    *,
    resend: bool,
    exclude: Sequence[str | Path] = (),
) -> Reconciliation:
    """Settle the unknown rows of a journal; see `Campaign.reconcile`."""
    owner, excluded = JournalOwner(token=token, host=connection.base_url), to_paths(exclude)
    caller, clock = connection.make_upload_caller(max_outage_seconds=MAX_OUTAGE), connection.clock

    async def send_pending() -> Summary:
        request = UploadRequest(
            source=NoSource(),
            settings=UploadSettings(),
            owner=owner,
            journal=settings,
            screening=Screening(exclude=excluded),
        )
        return await Upload(request, connection).run()

    async def settle(*, resend: bool = False) -> tuple[Reconciliation, float | None]:
        journal = await open_journal(settings, owner, clock)
        try:
            found = await _settle(journal, caller, token, resend=resend)
            return found, await journal.do(_became_unknown_at) if found.without_job else None
        finally:
            await journal.close()

    await send_pending()
    found, unknown_at = await settle()
    if resend and unknown_at is not None:
        wait = unknown_at + LATE_SECONDS - clock.wall()
        await clock.sleep(min(max(0.0, wait), LATE_SECONDS))
        again, _ = await settle(resend=True)  # asked again: what was late may have arrived
        found = attrs.evolve(
            again, unknown=found.unknown, adopted=found.adopted + again.adopted, resent=again.without_job > 0
        )
    return attrs.evolve(found, summary=await send_pending())


async def _settle(journal: FileJournal, caller: Caller, token: Token, *, resend: bool) -> Reconciliation:
    chunks = await journal.do(lambda store: [store.chunks.chunk(number) for number in store.chunks.with_unknown()])
    verdicts = {}
    for chunk in chunks:
        receipt = await journal.do(lambda store, number=chunk.number: store.chunks.receipt(number))  # type: ignore[misc]
        verdicts[chunk.number] = receipt.verdict
    rows = []
    for chunk in chunks:
        given_up_at, ahead = await journal.do(lambda store, number=chunk.number: _times_of(store, number))  # type: ignore[misc]
        rows += list_unknown(chunk, verdicts[chunk.number], given_up_at, ahead)
    phones = sorted({row.phone for row in rows})
    taken = (await journal.known_jobs(set(phones))).ids
    reports = []
    for first in range(0, len(phones), PHONES_PER_REPORT):
        some = phones[first : first + PHONES_PER_REPORT]
        request = endpoints.job_report(token, [], some, keys.new_key())
        reports += make_sense_of(await caller.call(CallPlan(request=request), endpoints.read_job_reports))
        if resend:
            _check_clock(caller.server_ahead)
    now = caller.clock.wall() + (caller.server_ahead or 0.0)  # for the server, as the rows' times
    findings = settle_unknown(rows, reports, taken, now)
    by_chunk: dict[int, dict[int, Finding]] = {}
    for row, finding in findings.items():
        by_chunk.setdefault(row.chunk, {})[row.index] = finding
    for chunk in chunks:
        await _write(journal, chunk, verdicts[chunk.number], by_chunk.get(chunk.number, {}), resend=resend)
    unclear = sum(finding.unclear is not None for finding in findings.values())
    adopted = sum(finding.job_id is not None for finding in findings.values())
    return Reconciliation(
        unknown=len(rows), adopted=adopted, unclear=unclear, without_job=len(rows) - adopted - unclear
    )


def _check_clock(server_ahead: float | None) -> None:
    """Raise `ConfigurationError` for a clock that is wrong: it could not tell which jobs are new. `server_ahead` is
    None where the server does not say what time it is."""
    if server_ahead is not None and abs(server_ahead) > SKEW_SECONDS:
        raise ConfigurationError(
            f"this machine's clock is {-server_ahead:+.0f} s off the server's; correct it, then resend"
        )


def settle_unknown(
    rows: Sequence[UnknownRow], reports: Iterable[JobReport], taken: frozenset[str], now: float
) -> dict[UnknownRow, Finding]:
    """Return what `reports` say of unknown rows. `taken` are the IDs of other rows' jobs. Pure."""
    jobs: dict[str | None, list[JobReport]] = {}
    for report in reports:
        if report.call_job_id is None or report.call_job_id not in taken:
            whose = read_phone(report) if report.call_job_id is not None else None
            jobs.setdefault(whose, []).append(report)
    asked = {row.phone for row in rows}
    nobodys = [report for phone, some in jobs.items() if phone not in asked for report in some]
    by_phone: dict[str, list[UnknownRow]] = {}
    for row in rows:
        by_phone.setdefault(row.phone, []).append(row)
    findings: dict[UnknownRow, Finding] = {}
    for phone, same in by_phone.items():
        # A job that the report does not say whose it is may be of any row (C-REP-4).
        findings.update(zip(same, _settle_same_phone(same, [*jobs.get(phone, []), *nobodys], now), strict=True))
    return findings


def _settle_same_phone(rows: Sequence[UnknownRow], jobs: Sequence[JobReport], now: float) -> list[Finding]:
    since, until = min(now, *(row.since for row in rows)), max(row.until for row in rows)
    skew = max(row.skew_seconds for row in rows)
    unique = {job.call_job_id: job for job in jobs}.values()
    near = [job for job in unique if job.created_at is None or job.created_at >= (since - DOUBT_SECONDS) * 1000]
    sure = [
        job
        for job in near
        if job.created_at is not None and (since - skew) * 1000 <= job.created_at <= (until + skew) * 1000
    ]
    if not near:
        return [Finding()] * len(rows)
    alike = len({row.content for row in rows}) == 1 and all(read_phone(job) == rows[0].phone for job in sure)
    if len(sure) == len(near) == len(rows) and alike:
        return [Finding(job_id=job.call_job_id) for job in sure]
    reason = (
        f"phone: {len(near)} jobs of about that time for {len(rows)} unknown rows of it, {len(sure)} of them from "
        "between its first send and its last; nobody can tell which is whose"
    )
    return [Finding(unclear=reason)] * len(rows)


def _times_of(store: Store, number: int) -> tuple[float, float | None]:
    return store.chunks.answered_at(number), store.chunks.server_ahead(number)


def list_unknown(chunk: Chunk, verdict: Verdict, given_up_at: float, ahead: float | None) -> list[UnknownRow]:
    """Return the unknown rows of a chunk that was given up at that time, when the server's clock was `ahead` seconds
    ahead (None: nobody knows). Pure."""
    sent_at, given_up = chunk.first_sent_at or 0.0, given_up_at + (ahead or 0.0)
    skew = SKEW_SECONDS if ahead is None else DATE_SECONDS
    if chunk.first_sent_ahead is None and ahead is not None and abs(ahead) > SKEW_SECONDS:
        # A clock was wrong, nobody knows when: the earlier of both times counts, and no job is its own for certain.
        since = min(sent_at, sent_at + ahead, given_up)
        until = since - DOUBT_SECONDS
    else:
        sent_ahead = chunk.first_sent_ahead if chunk.first_sent_ahead is not None else ahead
        since = min(sent_at + (sent_ahead or 0.0), given_up)  # the first send was not in the future
        until = min(given_up, keys.last_attempt_at(since)) + LATE_SECONDS
    contents = chunk.contents()
    return [
        UnknownRow(chunk.number, index, chunk.phones[index], contents[index], since, until, skew)
        for index, status in enumerate(verdict.statuses)
        if status is OutcomeStatus.UNKNOWN
    ]


def _became_unknown_at(store: Store) -> float:
    """Return when the youngest of the unknown answers was given up."""
    return max((store.chunks.answered_at(number) for number in store.chunks.with_unknown()), default=0.0)


async def _write(
    journal: FileJournal, chunk: Chunk, verdict: Verdict, findings: Mapping[int, Finding], *, resend: bool
) -> None:
    """Write the findings down. With `resend`, rows without a job move to a chunk of their own, in the same step."""
    statuses, job_ids, errors = list(verdict.statuses), list(verdict.job_ids), list(verdict.errors)
    gone = set()
    for index, finding in findings.items():
        if finding.job_id is not None:
            statuses[index], job_ids[index], errors[index] = OutcomeStatus.ACCEPTED, finding.job_id, None
        elif finding.unclear is not None:
            errors[index] = finding.unclear
        elif resend:
            gone.add(index)
        else:
            errors[index] = NO_JOB
    stays = [index for index in range(len(statuses)) if index not in gone]
    left = Verdict(
        statuses=[statuses[index] for index in stays],
        job_ids=[job_ids[index] for index in stays],
        errors=[errors[index] for index in stays],
    )
    if not gone:
        await journal.do(lambda store: store.settle(chunk.number, left))
        return
    upload_id, number = journal.past.upload_id, await journal.do(lambda store: store.chunks.next_number())
    rest, moved = chunk.divide(stays, [sorted(gone)], take_number=lambda: number, upload_id=upload_id)
    await journal.split(rest, left, moved)
