"""Which ID is whose, by position or by the report. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from calls_async.errors import ContactError
from calls_async.protocol.phones import read_sent_phone
from calls_async.protocol.reports import JobReport
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.status import OutcomeStatus

_READABLE_ID = re.compile(r"(?=.*[0-9])(?!0$)[0-9A-Za-z].*", re.DOTALL)


def tells_certainly(ids: Sequence[str], rows: int) -> bool:
    """Return whether an answer has an ID for each row, all different and none of them an error's word or `-1`."""
    different = set(ids)
    if not len(ids) == rows == len(different):
        return False
    digits = "".join(ids)
    if digits.isascii() and digits.encode().isdigit():  # nearly always; as bytes, it takes a tenth of the time
        return "0" not in different
    return all(map(_READABLE_ID.match, ids))


def settle_by_report(
    phones: Sequence[str],
    contents: Sequence[bytes],
    ids: Sequence[str],
    reports: Sequence[JobReport],
    *,
    first_sent_at: float,
) -> Verdict:
    """Give the jobs of one answer to the rows that were sent, where it does not tell whose they are (C-M-19).

    `contents` are the rows' contacts as bytes, `reports` those of `ids` and of `phones`; `first_sent_at` is when the
    chunk was first sent, Unix time in seconds. A row without a job of its own is a duplicate where its phone has a
    job of the day before that (C-DUP-1), and unknown otherwise. Where a phone stands in rows of different content and
    only some of them have a job, nobody can tell which: they are unknown.
    """
    known = {report.call_job_id for report in reports}
    jobs = _Jobs.read([one for one in ids if one in known or _READABLE_ID.match(one)], reports, first_sent_at)
    if sum(map(len, jobs.new.values())) != len(jobs.ids) or not jobs.new.keys() <= set(phones):
        reason = f"{len(phones)} rows were answered with {len(ids)} IDs, and the report does not tell whose"
        return Verdict.all(OutcomeStatus.UNKNOWN, len(phones), reason)
    rows_of: dict[str, list[int]] = {}
    for index, phone in enumerate(phones):
        rows_of.setdefault(phone, []).append(index)
    verdicts: list[_RowVerdict] = [(OutcomeStatus.UNKNOWN, None, None)] * len(phones)
    for phone, indexes in rows_of.items():
        different = len({contents[index] for index in indexes})
        settled = _settle_phone(len(indexes), different, jobs.new.get(phone, []), jobs.recent[phone])
        for index, verdict in zip(indexes, settled, strict=True):
            verdicts[index] = verdict
    statuses, job_ids, errors = zip(*verdicts, strict=True)
    return Verdict(statuses=statuses, job_ids=job_ids, errors=errors)


def verify_by_report(phones: Sequence[str], ids: Sequence[str], reports: Sequence[JobReport]) -> Verdict | None:
    """Return the verdict by position, where each row has an ID of its own, and the report contradicts none and knows
    each that does not look like one; else None."""
    known = {report.call_job_id: phone for report in reports if (phone := read_phone(report)) is not None}
    if not len(ids) == len(phones) == len(set(ids)):
        return None
    for job_id, phone in zip(ids, phones, strict=True):
        if known.get(job_id, phone if _READABLE_ID.match(job_id) else None) != phone:
            return None
    errors = [None if job_id in known else "the report does not know the job" for job_id in ids]
    return Verdict(statuses=[OutcomeStatus.ACCEPTED] * len(ids), job_ids=ids, errors=errors)


DUPLICATE_SECONDS = 24 * 3600.0
"""For how long the server ignores a number that is added again (C-DUP-1)."""
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


def make_sense_of(reports: Sequence[JobReport]) -> list[JobReport]:
    """Return reports as far as they can be understood: an ID or a phone that is no text, and a time that is no
    number, are None (C-REP-4)."""
    return [report if _is_plain(report) else _leave_out(report) for report in reports]


def _is_plain(report: JobReport) -> bool:
    created, texts = report.created_at, (report.call_job_id, report.phone)
    return (created is None or type(created) in (int, float)) and all(
        text is None or isinstance(text, str) for text in texts
    )


def _leave_out(report: JobReport) -> JobReport:
    created = report.created_at
    return attrs.evolve(
        report,
        call_job_id=report.call_job_id if isinstance(report.call_job_id, str) else None,
        phone=report.phone if isinstance(report.phone, str) else None,
        created_at=created if type(created) in (int, float) else None,
    )


def read_phone(report: JobReport) -> str | None:
    """Return the phone of a job, as we write it; None where the report does not say."""
    if report.phone is None:
        return None
    try:
        return read_sent_phone(report.phone)
    except ContactError:
        return report.phone.removeprefix("+")


_RowVerdict = tuple[OutcomeStatus, str | None, str | None]


@attrs.frozen(slots=True)
class _Jobs:
    """What the report says of the jobs of one answer, and of others of the same phones."""

    ids: Sequence[str]
    """Those of the answer, each once."""
    new: Mapping[str, Sequence[str]]
    """Those of them that the report knows, by phone, in the order of the answer."""
    recent: Mapping[str, int]
    """How many jobs each phone has for whose sake the server ignores a repetition (C-DUP-1)."""

    @classmethod
    def read(cls, ids: Sequence[str], reports: Sequence[JobReport], first_sent_at: float) -> _Jobs:
        since_ms = (first_sent_at - DUPLICATE_SECONDS) * 1000
        answered = dict.fromkeys(ids)
        whose: dict[str, str] = {}
        recent: Counter[str] = Counter()
        for report in reports:
            phone = read_phone(report)
            if report.call_job_id is None or phone is None:
                continue
            whose[report.call_job_id] = phone
            recent[phone] += report.call_job_id in answered or (report.created_at or 0) >= since_ms
        new: dict[str, list[str]] = {}
        for job_id in answered:
            if job_id in whose:
                new.setdefault(whose[job_id], []).append(job_id)
        return cls(list(answered), new, recent)


def _settle_phone(rows: int, different: int, jobs: Sequence[str], recent: int) -> list[_RowVerdict]:
    """Return what became of the `rows` of one phone, of `different` contents, of which `jobs` were created, where the
    phone has `recent` jobs in all."""
    if 0 < len(jobs) < rows and different > 1:
        reason = f"phone: stands in {rows} rows of the chunk, of which {len(jobs)} got a job; nobody can tell which"
        return [(OutcomeStatus.UNKNOWN, None, reason)] * rows
    doubt = None
    if different > 1:
        doubt = f"phone: stands in {rows} rows of the chunk; which of its jobs is whose is not certain"
    accepted: list[_RowVerdict] = [(OutcomeStatus.ACCEPTED, job_id, doubt) for job_id in jobs[:rows]]
    if recent >= different:
        return accepted + [(OutcomeStatus.DUPLICATE, None, None)] * (rows - len(accepted))
    reason = "phone: was answered without an ID, and the report knows no job of the last day that it could repeat"
    return [(OutcomeStatus.UNKNOWN, None, reason)] * rows
