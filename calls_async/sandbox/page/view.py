"""What the page shows, from what the sandbox knows. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import attrs

from calls_async.sandbox.faults import Faults
from calls_async.sandbox.model.account import Account
from calls_async.sandbox.model.campaign import ANY, Campaign
from calls_async.sandbox.model.job import Job, packed
from calls_async.sandbox.request_log import Entry, RequestLog

STATUSES = (
    "planned", "inProcess", "onRetry", "longCallWithResult", "longCallWithNoResult", "noAnswer", "nonexistentNumber",
    "notDone", "canceled",
)  # fmt: skip
"""As the page lists them (C-REP-5)."""
SHOWN_JOBS = 25
SHOWN_REQUESTS = 25
SEARCHED_JOBS = 200_000
"""So many are looked through, the latest; this takes some 20 ms."""
SHOWN_CHARACTERS = 5_000
"""Of a payload."""
_VISIBLE_DIGITS = 4
"""The digits that choose what becomes of a call."""


def masked(phone: str) -> str:
    """Return a number that nobody can call."""
    return "•" * max(0, len(phone) - _VISIBLE_DIGITS) + phone[-_VISIBLE_DIGITS:]


def moment(seconds: float) -> str:
    """Return Unix time as people read it, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


@attrs.frozen
class Share:
    """How many jobs have a status; `start` and `width` are per cent, for the bar."""

    status: str
    count: int
    start: float
    width: float


def shares(campaign: Campaign) -> list[Share]:
    """Return the share of every status in turn."""
    total = len(campaign.jobs) or 1
    found, start = [], 0.0
    for status in STATUSES:
        width = 100 * campaign.counts[status] / total
        found.append(Share(status, campaign.counts[status], round(start, 3), round(width, 3)))
        start += width
    return found


# --- jobs ---


@attrs.frozen(kw_only=True)
class JobFilter:
    """Which jobs somebody wants to see; `status` may be `ANY`."""

    status: str = ANY
    digits: str = ""
    """A part of the number."""
    held: Sequence[str] = ()
    """The IDs of jobs that are to stay where they are, and no others: somebody is about to click one."""


@attrs.frozen(kw_only=True)
class JobRow:
    """One job; the number and the details only where they are asked for."""

    id: str
    phone: str
    shown: bool
    status: str
    test: bool
    created: str
    attempts: int
    last: str
    """When the last attempt began."""
    talk_seconds: int
    details: Mapping[str, Any] | None


def jobs(campaign: Campaign, wanted: JobFilter, *, shown: Collection[str], opened: Collection[str]) -> list[JobRow]:
    """Return first those of `shown` and `opened`, which are IDs, so that they do not run away from who looks at them;
    then those that changed last."""
    if wanted.held:
        return [_row(job, shown=shown, opened=opened) for job in campaign.pick((), wanted.held)]
    kept = campaign.pick((), sorted({*shown, *opened}, reverse=True))
    searched = islice(_candidates(campaign, wanted), SEARCHED_JOBS)
    found = (job for job in searched if wanted.digits in job.phone and wanted.status in (job.status, ANY))
    listed = islice(_once(chain(kept, found)), len(kept) + SHOWN_JOBS)
    return [_row(job, shown=shown, opened=opened) for job in listed]


def _candidates(campaign: Campaign, wanted: JobFilter) -> Iterable[Job]:
    recent = reversed(campaign.recent.get(wanted.status, OrderedDict()).values())
    return chain(reversed(campaign.of_phone(wanted.digits)), recent, reversed(campaign.jobs.values()))


def _once(found: Iterable[Job]) -> Iterator[Job]:
    seen = set()
    for job in found:
        if job.id not in seen:
            seen.add(job.id)
            yield job


def _row(job: Job, *, shown: Collection[str], opened: Collection[str]) -> JobRow:
    last = job.attempts[-1] if job.attempts else None
    return JobRow(
        id=job.id,
        phone=job.phone if job.id in shown else masked(job.phone),
        shown=job.id in shown,
        status=job.status,
        test=job.test,
        created=moment(job.created_at_ms / 1000),
        attempts=len(job.attempts),
        last="" if last is None else moment(last.started_at_ms / 1000),
        talk_seconds=sum(attempt.talk_seconds for attempt in job.attempts),
        details=_details(job) if job.id in opened else None,
    )


def _details(job: Job) -> dict[str, Any]:
    attempts = [
        {
            "begun": moment(one.started_at_ms / 1000),
            "over": "" if one.finished_at_ms is None else moment(one.finished_at_ms / 1000),
            "talk_seconds": one.talk_seconds,
            "result": "" if one.ending is None else str(one.ending),
        }
        for one in job.attempts
    ]
    return {
        "payload": None if job.packed_payload is None else _cut(job.packed_payload),
        "settings": _cut(packed(job.settings)) if job.settings else None,
        "attempts": attempts,
    }


def _cut(text: bytes) -> str:
    """Cut JSON as it is: indenting what is nested deep may make a thousand times as much of it."""
    start = text[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace")[:SHOWN_CHARACTERS]
    return start if len(text) == len(start.encode("utf-8", "replace")) else f"{start} …"


# --- requests ---


@attrs.frozen(kw_only=True)
class RequestFilter:
    """Which requests somebody wants to see."""

    key: str = ""
    """A part of the key."""
    only_troubles: bool = False


def requests(log: RequestLog, wanted: RequestFilter) -> list[Entry]:
    """Return the requests, the latest first."""
    entries: Sequence[Entry] = log.troubles if wanted.only_troubles else log.entries
    found = (one for one in reversed(entries) if not wanted.key or wanted.key in (one.key or ""))
    return list(islice(found, SHOWN_REQUESTS))


# --- for programs ---


def contacts(campaign: Campaign) -> list[dict[str, Any]]:
    """Return what each job was created from, with its ID and status."""
    # Fields of the same names that a client has sent give way.
    return [{**job.contact, "callJobId": job.id, "jobStatus": job.status} for job in campaign.jobs.values()]


def log(requests: RequestLog) -> list[dict[str, Any]]:
    """Return the last requests, in their order."""
    return [attrs.asdict(entry) for entry in requests.entries]


def summary(account: Account, log: RequestLog, faults: Faults, *, speed: float) -> dict[str, Any]:
    """Return the numbers of the page for programs."""
    return {
        "time_seconds": account.clock(),
        "speed": speed,
        "requests": log.total,
        "repeated_requests": log.repeated,
        "requests_without_key": log.without_key,
        "key_conflicts": len(account.key_conflicts),
        "faults": {str(kind): share for kind, share in faults.shares.items()},
        "campaigns": [
            {
                "token": campaign.token,
                "name": campaign.name,
                "status": campaign.status,
                "lines": campaign.settings.lines,
                "jobs": len(campaign.jobs),
                "jobs_by_status": {status: number for status, number in campaign.counts.items() if number},
            }
            for campaign in account.campaigns.values()
        ],
    }
