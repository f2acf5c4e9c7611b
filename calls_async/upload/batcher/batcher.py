"""Single adds from many tasks, gathered into chunks: an upload whose source is an inbox."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
from collections.abc import Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self
from uuid import UUID

from calls_async.concurrency import first_of, wait_until_done
from calls_async.errors import KEPT, BatcherClosedError, CallsError, ConfigurationError, ContactError, JournalError
from calls_async.transport.clock import Clock
from calls_async.upload.batcher.deliveries import FORGET_SECONDS, OnReceipt
from calls_async.upload.batcher.inbox import Inbox
from calls_async.upload.batcher.remaining import Remaining
from calls_async.upload.chunks.chunk import BRACKETS_BYTES
from calls_async.upload.journal.journal import Journal
from calls_async.upload.outcomes.outcome import Outcome, Receipt, Summary
from calls_async.upload.rows.contacts import encode_item
from calls_async.upload.rows.row import EncodedRow, UnsentRow, each_row
from calls_async.upload.settings import BatcherSettings
from calls_async.upload.sources.source import ContactLike
from calls_async.upload.upload import Upload

_LOGGER = logging.getLogger("calls_async.upload")


class Batcher:
    """Gathers single contacts into chunks; `async with` starts and closes it. See `Campaign.batcher`.

    Leaving the block takes nothing more in, and waits up to `drain_seconds` until everything has its outcome; leaving
    it by an error or by cancellation stops at once. `remaining` says then what was not finished. What makes every
    further request fail (`AccessError`, a journal that cannot be written …) ends the batcher: it is raised to
    everybody who waits, by every later `add` and `put`, and at the end of the block.
    """

    def __init__(
        self,
        upload: Upload,
        inbox: Inbox,
        settings: BatcherSettings,
        *,
        clock: Clock,
        region: str | None = None,
        on_receipt: OnReceipt | None = None,
    ) -> None:
        if on_receipt is not None and not callable(on_receipt):
            raise ConfigurationError("on_receipt must be a function that takes one receipt; it may be `async def`")
        self.remaining = Remaining()
        """What was not finished when it was closed; nothing before that."""
        upload.on_answer = self._note
        self._upload = upload
        self._inbox = inbox
        self._settings = settings
        self._clock = clock
        self._region = region
        self._on_receipt = on_receipt
        self._journal: Journal | None = None
        self._waiters: dict[int, asyncio.Future[Outcome]] = {}
        self._under_way = 0
        """Contacts that were taken in and have no outcome."""
        self._opened_at = self._opened_wall = self._forget_at = 0.0
        self._error: Exception | None = None
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    # --- for the user ---

    async def add(self, contact: ContactLike, *, nowait: bool = False) -> Outcome:
        """Adds a contact and returns what became of it, once that is known. `outcome.row` counts the contacts of this
        batcher, and of its journal.

        Waits while the buffer is full; with `nowait`, raises `BatcherFullError` instead. A contact that cannot be
        sent is an outcome, `rejected`, as in an upload. Whoever is cancelled before the contact is in a chunk has it
        taken out; after that it is sent, and its outcome goes to the journal and to `on_receipt`.

        Raises `BatcherClosedError` where the batcher was closed before there was an outcome, and whatever ended it.
        """
        row = encode_item(0, contact, self._region)
        number = await self._reserve(nowait=nowait)
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiters[number] = waiter
        self._inbox.put_in(row._replace(row=number), kept=False)
        self._under_way += 1
        try:
            return await waiter
        except asyncio.CancelledError:
            if self._inbox.take_out(number):
                self._under_way -= 1
            raise
        finally:
            del self._waiters[number]

    async def put(
        self, contact: ContactLike, *, nowait: bool = False, idempotence_key: str | UUID | None = None
    ) -> int:
        """Returns the contact's row as soon as the journal has it on disk: whatever happens then, it is sent, if need
        be by the next batcher with that journal. Its outcome goes to the journal and to `on_receipt`.

        The same contact put again under the same `idempotence_key`, within `keep_seconds`, is not taken a second
        time: its first row is returned. So whoever got no answer may repeat it.

        Raises `ContactError` for a contact that cannot be sent, or another one under the same key;
        `ConfigurationError` where there is no journal; otherwise as `add`. Whoever is cancelled before it returns has
        the contact taken out.
        """
        journal = self._journal
        if journal is None:
            raise ConfigurationError(
                "only a batcher with a journal can promise to keep a contact: campaign.batcher(journal=FILE)"
            )
        row = encode_item(0, contact, self._region)
        if isinstance(row, UnsentRow):
            field, _, reason = row.error.partition(": ")
            raise ContactError(field, reason)
        if (size := len(row.body) + BRACKETS_BYTES) > self._upload.chunk_bytes:
            raise ContactError("row", f"needs {size} bytes as JSON, more than a chunk may have")
        key = None if idempotence_key is None else str(idempotence_key)
        if key is not None and not key.strip():
            raise ContactError("idempotence_key", "is empty")
        number = await self._reserve(nowait=nowait)
        row = row._replace(row=number)
        try:
            known = await journal.enqueue(row, key)
        except asyncio.CancelledError:
            await self._take_back(journal, row, key)
            raise
        except JournalError as error:
            self._inbox.give_back()
            await self._break(journal, error)
            raise
        if known == number:
            self._take_in(row)
            return number
        self._inbox.give_back()
        if known is None:
            raise ContactError("idempotence_key", "was used for another contact before; take a new one for this one")
        return known

    @property
    def summary(self) -> Summary:
        """This batcher's work in numbers, at any time."""
        return self._upload.summary

    @property
    def error(self) -> Exception | None:
        """What has ended it, if anything: for a service's health."""
        return self._error

    @property
    def waiting(self) -> int:
        """How many contacts are in no chunk yet."""
        return len(self._inbox)

    @property
    def under_way(self) -> int:
        """How many contacts were taken in and have no outcome yet; those of earlier processes, too."""
        return self._under_way

    async def __aenter__(self) -> Self:
        await self._upload.__aenter__()
        try:
            self._journal = await self._upload.opened()
        except BaseException as error:
            await self._upload.__aexit__(type(error), error, error.__traceback__)
            raise
        self._opened_at, self._opened_wall = self._clock.monotonic(), self._clock.wall()
        if self._journal is not None:
            past = self._journal.past
            self._inbox.restore(past.queued, past.last_row)
            self._under_way = len(past.queued) + sum(len(one.rows) + len(one.unsent) for one in past.pending)
        self._task = asyncio.create_task(self._run(), name="calls_async batcher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = self._task
        if task is None:
            return
        self._inbox.close()
        try:
            if kind is None:
                await first_of(asyncio.shield(task), self._clock.sleep(self._settings.drain_seconds))
        finally:
            task.cancel()
            try:
                await wait_until_done(task)
            finally:
                await self._stop()
        if self.remaining:
            _LOGGER.warning("the batcher was closed: %s", self.remaining)
        if kind is None and self._error is not None:
            raise self._error

    # --- what happens meanwhile ---

    async def _break(self, journal: Journal, error: JournalError) -> None:
        """Nothing can be written down any more: that concerns everybody. Or it is closed because all has ended, and
        why will be known in a moment."""
        if self._task is None:
            return
        if journal.closed:
            await asyncio.wait([self._task])
            raise BatcherClosedError if self._error is None else _copied(self._error)
        self._error = self._error or error
        self._task.cancel()

    def _take_in(self, row: EncodedRow) -> None:
        """The journal keeps it."""
        self._inbox.put_in(row, kept=True)
        self._under_way += 1

    async def _take_back(self, journal: Journal, row: EncodedRow, key: str | None) -> None:
        """Whoever put it was cancelled; but somebody else may have been promised the same meanwhile."""
        taking = asyncio.ensure_future(journal.dequeue(row.row, key))
        try:
            await wait_until_done(taking)
        finally:
            if taking.exception() is None and taking.result():
                self._take_in(row)
            else:
                self._inbox.give_back()

    async def _reserve(self, *, nowait: bool) -> int:
        if self._task is None:
            raise ConfigurationError("the batcher is not running; use `async with campaign.batcher(...) as batcher:`")
        try:
            return await self._inbox.reserve(nowait=nowait)
        except BatcherClosedError:
            if self._error is None:
                raise
        raise _copied(self._error)

    async def _run(self) -> None:
        try:
            await self._hand_out()
        except asyncio.CancelledError:
            if self._error is None:
                raise
        except Exception as error:  # noqa: BLE001  # raised to everybody who waits, and at the end of the block
            self._error = error
        await self._stop()

    async def _stop(self) -> None:
        self._inbox.close()
        try:
            await self._upload.__aexit__(asyncio.CancelledError, None, None)  # at once; or it has ended already
        finally:
            if not self._ended:
                self._ended = True
                self._end()

    async def _hand_out(self) -> None:
        async with aclosing(self._upload.batches()) as batches:
            async for receipts in batches:
                await self._tell(receipts)
                await self._note_told(receipts)

    def _note(self, receipt: Receipt) -> None:
        for outcome in receipt.outcomes():
            waiter = self._waiters.get(outcome.row)
            if waiter is not None and not waiter.done():
                waiter.set_result(outcome)
            self._under_way -= 1

    async def _tell(self, receipts: Sequence[Receipt]) -> None:
        if self._on_receipt is None:
            return
        for receipt in receipts:
            try:
                told = self._on_receipt(receipt)
                if inspect.isawaitable(told):
                    await told
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise CallsError("on_receipt was cancelled; the batcher has ended") from None

    async def _note_told(self, receipts: Sequence[Receipt]) -> None:
        journal, elapsed = self._journal, self._clock.monotonic() - self._opened_at
        if journal is None:
            return
        journal.note_told([receipt.chunk for receipt in receipts])
        if elapsed >= self._forget_at:
            self._forget_at = elapsed + FORGET_SECONDS
            # A clock that has jumped ahead must not make young things old.
            now = min(self._clock.wall(), self._opened_wall + elapsed)
            await journal.forget(now - self._settings.keep_seconds)

    def _end(self) -> None:
        """Whoever still waits is told that nothing more comes."""
        in_doubt = sum(receipt.counts().total() for receipt in self._upload.in_doubt)
        handed_over = {row.row for row in each_row(self._upload.untaken)}
        not_kept = self._inbox.drop() | (handed_over - self._inbox.kept)
        kept = 0 if self._journal is None else self._under_way - len(not_kept)
        self.remaining = Remaining(kept=kept, not_sent=self._under_way - kept, in_doubt=in_doubt)
        for row, waiter in self._waiters.items():
            if not waiter.done():
                waiter.set_exception(self._reason(kept=self._journal is not None and row not in not_kept))

    def _reason(self, *, kept: bool) -> Exception:
        if self._error is None:
            return BatcherClosedError(kept=kept)
        error = _copied(self._error)
        if kept and error is not self._error:
            error.add_note(KEPT)
        return error


def _copied(error: Exception) -> Exception:
    """For one of many who are told the same; an error that cannot be copied is told to all as it is."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001  # whatever its constructor wants
        return error
