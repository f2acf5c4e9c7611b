"""Opening a journal: begin one, go on with one, or refuse to."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from calls_async.concurrency import SerialThread, wait_until_done
from calls_async.errors import JournalError, JournalRefusedError
from calls_async.transport.clock import Clock
from calls_async.upload.journal.database import is_older
from calls_async.upload.journal.journal import FileJournal, Watcher
from calls_async.upload.journal.rejected_rows import gather_rejected, without_rejected
from calls_async.upload.journal.schema import BATCHER, LIST
from calls_async.upload.journal.settings import Durability, JournalOwner, JournalSettings, Past, Purpose
from calls_async.upload.journal.store import Store
from calls_async.upload.journal.upload_table import UploadRecord
from calls_async.upload.status import OutcomeStatus

_KINDS = {Purpose.UPLOAD: LIST, Purpose.SETTLING: LIST, Purpose.BATCHER: BATCHER}
_SYNCHRONOUS = {Durability.PROCESS: "NORMAL", Durability.POWER: "FULL"}


async def open_journal(
    settings: JournalSettings, owner: JournalOwner, clock: Clock, watcher: Watcher | None = None
) -> FileJournal:
    """Begin a journal, or go on with an unfinished one.

    Raises `JournalRefusedError` for one that is of another campaign or server, and `JournalError` for a
    file that cannot be used: not writable, damaged, of another program, of a newer version, in use.
    """
    thread = SerialThread("journal")
    opening = thread.submit(lambda: _open(settings, owner, clock.wall()))
    try:
        await wait_until_done(opening)
        store, past = opening.result()
    except asyncio.CancelledError:
        if opening.exception() is None:
            opening.result()[0].close()  # the file must not stay taken
        thread.close()
        raise
    except BaseException:
        thread.close()
        raise
    return FileJournal(store, thread, past, settings.purpose, clock, watcher or Watcher())


def _open(settings: JournalSettings, owner: JournalOwner, at: float) -> tuple[Store, Past]:
    path = settings.path
    if (settings.purpose is Purpose.SETTLING or settings.retry_rejected) and not path.is_file():
        raise JournalError(str(path), "there is no such file")
    if settings.rehearsal:
        _spare_real_journal(path)
    if is_older(path):
        _look_first(settings, owner)
    store = Store(path, synchronous=_SYNCHRONOUS[settings.durability])
    try:
        if not store.empty and _gives_way(store, settings, owner):
            store.set_aside(keep=not settings.rehearsal and not store.blank())
            store = Store(path, synchronous=_SYNCHRONOUS[settings.durability])
        if store.empty:
            store.begin(owner, kind=_KINDS[settings.purpose], rehearsal=settings.rehearsal, at=at)
        else:
            _refuse_other_reading(store, settings, owner)
            _refuse_half_retried(store, settings, owner)
            store.commit([lambda store: _note_going_on(store, owner)])
        past = _read_past(store, settings)
        if owner.source_options is not None and owner.source_options != past.source_options:  # from now on
            store.note_options_with_next_chunk(owner.source_options)
        return store, past
    except (ValueError, TypeError, KeyError) as error:
        store.close()
        raise JournalError(str(path), f"is damaged ({error}); restore it, or name another file") from None
    except BaseException:
        store.close()
        raise


def _refuse_other_reading(store: Store, settings: JournalSettings, owner: JournalOwner) -> None:
    """Refuse options by which a file has other rows than those taken in before: the rest would be counted wrongly."""
    if owner.reading is None or settings.retry_rejected or not store.chunks.next_number() > 1:
        return
    before = store.upload.record().reading or ""
    if before != owner.reading:
        raise JournalRefusedError(
            str(settings.path),
            f"this upload was begun with {before or 'no option that chooses rows'}, and is gone on with "
            f"{owner.reading or 'none'}; give the same, or name another journal",
        )


def _refuse_half_retried(store: Store, settings: JournalSettings, owner: JournalOwner) -> None:
    """Refuse to go on without the rejected rows where these were being sent again: the list may be corrected since,
    and can only be compared row by row."""
    under_way = store.upload.record().generation and not store.finished()
    if under_way and owner.from_file is not None and not settings.retry_rejected:
        raise JournalRefusedError(
            str(settings.path),
            "its rejected rows were being sent again; go on with --retry-rejected (retry_rejected=True)",
        )


def _note_going_on(store: Store, owner: JournalOwner) -> None:
    store.upload.note_host(owner.host)
    if not store.chunks.any_sent():  # else it is the same: recognising it once more takes 60 ms
        store.upload.note_token(owner.token)
    store.chunks.forget_denials()


def _spare_real_journal(path: Path) -> None:
    """Raise `JournalRefusedError` for a real upload's journal, which a rehearsal does not even open for writing."""
    if not path.exists() or not path.stat().st_size:
        return
    with closing(Store(path, writing=False)) as store:
        real = not store.empty and not store.upload.record().rehearsal
    if real:
        raise JournalRefusedError(
            str(path), "is a real upload's journal, which no rehearsal touches; name another file"
        )


def _look_first(settings: JournalSettings, owner: JournalOwner) -> None:
    """Raise for a journal that this upload must not go on with, before it is migrated: the version that wrote it
    may."""
    with closing(Store(settings.path, writing=False)) as store, store.database.understanding():
        _gives_way(store, settings, owner)


def _gives_way(store: Store, settings: JournalSettings, owner: JournalOwner) -> bool:
    """Return whether another journal may begin in this one's place. Raises where this upload must not go on."""
    upload, finished, path = store.upload.record(), store.finished(), str(settings.path)
    if upload.rehearsal:
        return True  # nobody was called
    if settings.purpose is not Purpose.SETTLING and upload.kind != _KINDS[settings.purpose]:
        how = "go on with it by campaign.batcher(journal=...), or " if upload.kind == BATCHER else ""
        raise JournalRefusedError(path, f"is the journal of a {upload.kind}; {how}name another file")
    if upload.purged_at is not None and not settings.again:
        raise JournalRefusedError(path, "is finished and purged; --again (again=True) starts a new upload")
    if settings.retry_rejected and upload.kind == LIST and upload.purged_at is None:
        _refuse_other_campaign(upload, settings, owner)
        return False
    if finished and settings.purpose is Purpose.UPLOAD:
        if settings.again or not _may_have_called(store):
            return True
        if upload.old_rows:  # whether its list has grown cannot be told: an older version counted its rows
            raise refuse_finished(path)
    unsent = not store.chunks.any_sent()
    same_token = upload.is_of(owner.token)
    if same_token and (upload.host == owner.host or unsent):
        return False  # begun with a mistyped host, maybe; nobody was called
    if store.blank():
        return True
    if unsent and settings.purpose is Purpose.UPLOAD:  # begun with a mistyped token; nobody was called
        return owner.from_file is not None  # and the list is given again; else it stands nowhere but here
    if same_token:
        raise JournalRefusedError(
            path,
            f"is of another server, {upload.host}, which knows what was sent; go on there. Where that server has "
            f"moved to this one: calls-async journal set-host {path} {owner.host}",
        )
    raise JournalRefusedError(
        path, f"belongs to another campaign, at {upload.host}; check the token, or name another journal"
    )


def _refuse_other_campaign(upload: UploadRecord, settings: JournalSettings, owner: JournalOwner) -> None:
    if not upload.is_of(owner.token) or upload.host != owner.host:
        raise JournalRefusedError(str(settings.path), f"is of another campaign or server than this: {upload.host}")


def refuse_finished(journal: str) -> JournalRefusedError:
    """Make the error for an upload that is finished."""
    return JournalRefusedError(
        journal,
        "this upload is finished. A second one would call everybody a second time; --again (again=True) starts one"
        " all the same. --retry-rejected (retry_rejected=True) sends only the rows that were rejected",
    )


def _may_have_called(store: Store) -> bool:
    """Return whether somebody has a job by a finished upload, or may have one."""
    rejected = OutcomeStatus.REJECTED
    receipts = store.chunks.receipts(store.chunks.answered())
    return any(status is not rejected for receipt in receipts for status in receipt.verdict.statuses)


def _read_past(store: Store, settings: JournalSettings) -> Past:
    upload, chunks, of_list = store.upload.record(), store.chunks, settings.purpose is not Purpose.BATCHER
    past = chunks.past() if of_list else []
    pending, rejected = chunks.pending(), None
    if settings.retry_rejected:
        rejected = gather_rejected(
            chunks.receipts(chunks.answered()),
            pending,
            rows=max((chunk.last_row for chunk in past), default=0),
            generation=upload.generation + 1,
        )
        pending = [without_rejected(chunk) for chunk in pending]
    from_file = any(chunk.mark for chunk in past) if upload.from_file is None else bool(upload.from_file)
    return Past(
        upload_id=upload.upload_id,
        next_number=chunks.next_number(),
        chunks=past,
        from_file=from_file,
        chunk_size=upload.chunk_size,
        pending=pending,
        finished=store.finished(),
        generation=upload.generation,
        rejected=rejected,
        source_options=upload.source_options,
        encoding=upload.encoding,
        answered=chunks.answered() if of_list else store.batcher.untold(),
        queued=() if of_list else store.batcher.queued(),
        last_row=upload.last_row,
        begun_at=upload.created_at,
        was_sent=chunks.any_sent(),
        last_sent_at=_read_last_sent(store),
        to_ask=upload.to_ask,
        old_rows=upload.old_rows,
        of_batcher=upload.kind == BATCHER,
        latest=_read_latest(store),
        body_limit=upload.body_limit,
    )


def _read_last_sent(store: Store) -> float:
    """Return when a key was last used for the first time, or else when the upload began (Unix time, seconds)."""
    ((at,),) = store.database.read("SELECT coalesce((SELECT max(sent_at) FROM chunk), created_at) FROM upload")
    return float(at)


def _read_latest(store: Store) -> float:
    """Return the last time that stands in a journal (Unix time, seconds)."""
    ((created, chunk, put),) = store.database.read(
        "SELECT created_at, (SELECT max(max(planned_at, coalesce(sent_at, 0), coalesce(answered_at, 0))) FROM chunk),"
        " (SELECT max(put_at) FROM put_key) FROM upload"
    )
    return max(float(created), float(chunk or 0.0), float(put or 0.0))
