"""Which ID is whose, by position or by the report. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from calls_async.errors import ContactError
from calls_async.protocol.phones import normalise_phone
from calls_async.protocol.reports import JobReport
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.status import OutcomeStatus


def settle_by_report(
    phones: Sequence[str], contents: Sequence[bytes], ids: Sequence[str], reports: Sequence[JobReport]
) -> Verdict:
    """Give the jobs of one answer to the rows that were sent, where their numbers differ (C-M-19).

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
    """Return the verdict by position, where there are as many IDs as rows and the report contradicts none; else
    None."""
    known = {report.call_job_id: phone for report in reports if (phone := read_phone(report)) is not None}
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
    """Return those of `phones` of which `reports` know a job that may have come from a chunk first sent at that time.
    A report that does not say whose job it is may be of any (C-REP-4)."""
    since_ms = (first_sent_at - DOUBT_SECONDS) * 1000
    recent = [report for report in reports if report.created_at is None or report.created_at >= since_ms]
    called = {read_phone(report) for report in recent}
    return set(phones) if None in called or not called <= set(phones) else {phone for phone in called if phone}


def read_phone(report: JobReport) -> str | None:
    """Return the phone of a job, as we write it; None where the report does not say."""
    if report.phone is None:
        return None
    try:
        return normalise_phone(report.phone)
    except ContactError:
        return report.phone.removeprefix("+")


_RowVerdict = tuple[OutcomeStatus, str | None, str | None]


def _jobs_by_phone(ids: Sequence[str], reports: Sequence[JobReport]) -> tuple[dict[str, list[str]], set[str]]:
    """Return the answered jobs by phone, in the order of the answer, and the phones that have any job."""
    whose = {
        report.call_job_id: phone
        for report in reports
        if report.call_job_id is not None and (phone := read_phone(report)) is not None
    }
    new: dict[str, list[str]] = {}
    for job_id in dict.fromkeys(ids):
        if job_id in whose:
            new.setdefault(whose[job_id], []).append(job_id)
    return new, set(whose.values())


def _settle_phone(rows: int, jobs: Sequence[str], known: bool, same: bool) -> list[_RowVerdict]:
    """Return what became of the `rows` of one phone, of which `jobs` were created."""
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
