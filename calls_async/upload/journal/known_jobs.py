"""Which jobs a journal can explain."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from calls_async.upload.journal.store import Store
from calls_async.upload.status import OutcomeStatus


@attrs.frozen(slots=True)
class KnownJobs:
    """What a journal says of the jobs of some phones."""

    ids: frozenset[str] = frozenset()
    """Those that its rows have."""
    doubtful: frozenset[str] = frozenset()
    """The phones of rows that may have a job whose ID is not known."""


def find_known_jobs(store: Store, phones: Collection[str]) -> KnownJobs:
    """Return what the journal knows of the jobs of these phones."""
    ids, doubtful = set(), set()
    for receipt in store.chunks.receipts(store.chunks.answered()):
        verdict = receipt.verdict
        for phone, status, job_id in zip(receipt.phones, verdict.statuses, verdict.job_ids, strict=True):
            if phone in phones:
                if job_id is not None:
                    ids.add(job_id)
                elif status is OutcomeStatus.UNKNOWN:
                    doubtful.add(phone)
    for chunk in store.chunks.pending():
        if chunk.first_sent_at is not None:
            doubtful.update(phone for phone in chunk.phones if phone in phones)
    return KnownJobs(frozenset(ids), frozenset(doubtful))
