"""Looking into a journal: what happened, which contacts are unknown; and taking the people out of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import orjson

from calls_async.errors import JournalError, JournalRefusedError
from calls_async.protocol.keys import last_attempt_at
from calls_async.upload.journal.database import is_older
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.outcome import Receipt
from calls_async.upload.status import OutcomeStatus


@attrs.frozen(slots=True, kw_only=True)
class Overview:
    """A journal in numbers. Times are Unix time in seconds."""

    upload_id: str
    host: str
    source: str
    library: str
    created_at: float
    last_at: float | None
    """When anything was last written of a chunk."""
    finished: bool
    purged: bool
    chunks: dict[str, int]
    """By state: planned, sent, answered."""
    rows: dict[str, int]
    """By the status of their outcome."""
    pending_rows: int
    """Rows of chunks without an answer."""
    kind: str
    """`list` or `batcher`."""
    queued_rows: int
    """Contacts that were put into a batcher and wait for their chunk."""
    resume_before: float | None
    """Until when the oldest chunk without an answer may still be sent under its key (C-IDEM-7)."""


def open_for_reading(path: Path) -> Store:
    """Open a journal and change nothing. Raises `JournalError` where there is none."""
    return _open(path, writing=False)


def _open(path: Path, *, writing: bool) -> Store:
    if not path.is_file():
        raise JournalError(str(path), "there is no such file")
    store = Store(path, writing=writing)
    if store.empty:
        store.close()
        raise JournalError(str(path), "is empty; nothing was ever written down in it")
    return store


def overview(store: Store) -> Overview:
    upload, times = store.upload.record(), _times(store)
    rows: Counter[OutcomeStatus] = Counter()
    for receipt in store.chunks.receipts(store.chunks.answered()):
        rows.update(receipt.counts())
    pending = store.chunks.pending()
    sent = [chunk.first_sent_at for chunk in pending if chunk.first_sent_at is not None]
    return Overview(
        upload_id=upload.upload_id,
        host=upload.host,
        source=upload.source,
        library=upload.library,
        created_at=upload.created_at,
        last_at=max((last for _, _, last in times.values() if last is not None), default=None),
        finished=store.finished(),
        purged=upload.purged_at is not None,
        chunks={state: count for state, (count, _, _) in times.items()},
        rows={status.value: rows[status] for status in OutcomeStatus},
        pending_rows=sum(len(chunk.rows) + len(chunk.unsent) for chunk in pending),
        kind=upload.kind,
        queued_rows=len(store.batcher.queued()),
        resume_before=last_attempt_at(min(sent)) if sent else None,
    )


def _times(store: Store) -> dict[str, tuple[int, float | None, float | None]]:
    """Return for each state of chunks how many there are, and the first and last time that one got there."""
    found = store.database.read(
        "SELECT state, count(*), min(coalesce(answered_at, sent_at, planned_at)),"
        " max(coalesce(answered_at, sent_at, planned_at)) FROM chunk GROUP BY state"
    )
    return {state: (count, first, last) for state, count, first, last in found}


def all_receipts(store: Store) -> Iterator[Receipt]:
    """Return the receipts of all answered chunks, in the order of the source but for rows that were sent again."""
    return store.chunks.receipts(store.chunks.answered())


def read_called(path: Path) -> Iterator[str]:
    """Yield the numbers that have a job by an upload, may have one, or will get one when it goes on. Raises
    `JournalError`, also where the people were taken out of the journal."""
    with closing(open_for_reading(path)) as store:
        if store.upload.record().purged_at is not None:
            raise JournalError(str(path), "was purged: it does not know any more whom it has called")
        for receipt in all_receipts(store):
            for phone, status in zip(receipt.phones, receipt.verdict.statuses, strict=True):
                if status is not OutcomeStatus.REJECTED:
                    yield phone
        for chunk in store.chunks.pending():
            yield from chunk.phones


def unknown_contacts(store: Store) -> Iterator[bytes]:
    """Yield the contact of each unknown row, as a line of JSON that could be uploaded."""
    for number in store.chunks.with_unknown():
        chunk = store.chunks.chunk(number)
        statuses = store.chunks.receipt(number).verdict.statuses
        for contact, status in zip(orjson.loads(chunk.body), statuses, strict=True):
            if status is OutcomeStatus.UNKNOWN:
                yield orjson.dumps(contact, option=orjson.OPT_APPEND_NEWLINE)


def purge(path: Path, at: float, *, with_unknown: bool = False) -> None:
    """Remove phones, payloads and server's words from a journal that is done; counts, keys and job IDs stay.

    `with_unknown` says that a person has decided what to do about the rows that are unknown.

    Raises `JournalRefusedError` for a journal that still needs them.
    """
    if not path.is_file():
        raise JournalError(str(path), "there is no such file")
    if is_older(path):  # the version that wrote it may have to go on with it
        with closing(Store(path, writing=False)) as store:
            _check_done(store, with_unknown=with_unknown)
    with closing(Store(path)) as store:
        _check_done(store, with_unknown=with_unknown)
        store.purge(at)


def set_host(path: Path, host: str) -> None:
    """Say that the system with which a journal's upload was begun is at another base URL now: with its jobs and keys,
    or everybody would be called again there."""
    with closing(_open(path, writing=True)) as store:
        store.commit([lambda store: store.upload.note_host(host)])


def _check_done(store: Store, *, with_unknown: bool) -> None:
    if store.empty or not store.finished():
        raise JournalRefusedError(str(store.path), "is not finished; run the upload again first")
    if store.chunks.with_unknown() and not with_unknown:
        raise JournalRefusedError(
            str(store.path), "has unknown rows; reconcile them, or export them, decide, and purge --with-unknown"
        )
