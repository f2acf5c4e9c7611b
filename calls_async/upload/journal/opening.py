"""Opening."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from calls_async.concurrency import wait_until_done
from calls_async.errors import JournalError, JournalRefusedError
from calls_async.transport.clock import Clock
from calls_async.upload.journal.journal import Journal
from calls_async.upload.journal.schema import BATCHER, LIST
from calls_async.upload.journal.settings import Durability, JournalSettings, Past, Purpose
from calls_async.upload.journal.store import Store
from calls_async.upload.journal.upload_table import fingerprint

_KINDS = {Purpose.UPLOAD: LIST, Purpose.SETTLING: LIST, Purpose.BATCHER: BATCHER}
_SYNCHRONOUS = {Durability.PROCESS: "NORMAL", Durability.POWER: "FULL"}


async def open_journal(settings: JournalSettings, *, token: str, host: str, source: str, clock: Clock) -> Journal:
    """Begins a journal, or goes on with an unfinished one.

    Raises `JournalRefusedError` for one that is finished or belongs to another campaign, and `JournalError` for a
    file that cannot be used: not writable, damaged, of another program, of a newer version, in use.
    """
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="calls_async-journal")
    opening = loop.run_in_executor(
        thread, lambda: _open(settings, token=token, host=host, source=source, at=clock.wall())
    )
    try:
        await wait_until_done(opening)
        store, past = opening.result()
    except asyncio.CancelledError:
        if opening.exception() is None:
            opening.result()[0].close()  # the file must not stay taken
        thread.shutdown(wait=False)
        raise
    except BaseException:
        thread.shutdown(wait=False)
        raise
    return Journal(store, thread, past, clock)


def _open(settings: JournalSettings, *, token: str, host: str, source: str, at: float) -> tuple[Store, Past]:
    path = settings.path
    store = Store(path, synchronous=_SYNCHRONOUS[settings.durability])
    try:
        if not store.empty and _gives_way(store, settings, token):
            store.set_aside(keep=settings.again)
            store = Store(path, synchronous=_SYNCHRONOUS[settings.durability])
        if store.empty:
            kind = _KINDS[settings.purpose]
            store.begin(token=token, host=host, source=source, kind=kind, rehearsal=settings.rehearsal, at=at)
        return store, _past(store, settings.purpose)
    except (ValueError, TypeError, KeyError) as error:
        store.close()
        raise JournalError(str(path), f"is damaged ({error}); restore it, or name another file") from None
    except BaseException:
        store.close()
        raise


def _gives_way(store: Store, settings: JournalSettings, token: str) -> bool:
    """Whether another journal may begin in this one's place. Raises where this upload must not go on with it."""
    upload, finished, path = store.upload(), store.finished(), str(settings.path)
    if upload.rehearsal and not settings.rehearsal:
        return True
    if settings.purpose is not Purpose.SETTLING and upload.kind != _KINDS[settings.purpose]:
        how = "go on with it by campaign.batcher(journal=...), or " if upload.kind == BATCHER else ""
        raise JournalRefusedError(path, f"is the journal of a {upload.kind}; {how}name another file")
    if upload.purged_at is not None and not settings.again:
        raise JournalRefusedError(path, "is finished and purged; --again (again=True) starts a new upload")
    if finished and settings.purpose is Purpose.UPLOAD:
        if settings.again:
            return True
        raise JournalRefusedError(
            path,
            "this upload is finished. A second one would call everybody a second time; "
            "--again (again=True) starts one all the same",
        )
    forgettable = store.blank() if upload.kind == BATCHER else store.nothing_sent()
    if forgettable and not _same_campaign(store, token):
        return True  # begun with a mistyped token; nobody was called, and the list is still there
    check_campaign(store, token)
    return False


def check_campaign(store: Store, token: str) -> None:
    """Raises `JournalRefusedError` where the journal is another campaign's."""
    if not _same_campaign(store, token):
        raise JournalRefusedError(
            str(store.path),
            f"belongs to another campaign, at {store.upload().host}; check the token, or name another journal",
        )


def _same_campaign(store: Store, token: str) -> bool:
    upload = store.upload()
    return fingerprint(token, upload.salt) == upload.fingerprint


def _past(store: Store, purpose: Purpose) -> Past:
    upload, of_list = store.upload(), purpose is not Purpose.BATCHER
    return Past(
        upload_id=upload.upload_id,
        next_number=store.next_number(),
        chunks=store.past() if of_list else (),
        pending=store.pending(),
        answered=store.answered() if of_list else store.untold(),
        queued=() if of_list else store.queued(),
        last_row=upload.last_row,
        body_limit=upload.body_limit,
    )
