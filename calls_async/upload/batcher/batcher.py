"""Single adds from many tasks, gathered into chunks: an upload whose source is an inbox."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self
from uuid import UUID

import attrs

from calls_async.concurrency import first_of, wait_until_done
from calls_async.errors import KEPT, BatcherClosedError, ConfigurationError, ContactError, JournalError
from calls_async.transport.clock import Clock
from calls_async.upload.batcher.deliveries import Deliveries
from calls_async.upload.batcher.inbox import Inbox
from calls_async.upload.batcher.remaining import Remaining
from calls_async.upload.chunks.chunk import BRACKETS_BYTES
from calls_async.upload.journal.journal import Journal
from calls_async.upload.outcomes.outcome import Outcome, Receipt, Summary
from calls_async.upload.rows.contacts import encode_item
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.row import EncodedRow, UnsentRow, each_row
from calls_async.upload.settings import BatcherSettings
from calls_async.upload.sources.source import ContactLike
from calls_async.upload.upload import Upload

_LOGGER = logging.getLogger("calls_async.upload")


FORGET_SECONDS = 60.0
"""How often at most old outcomes are taken out of the journal."""


@attrs.frozen(slots=True, kw_only=True)
class ContactRules:
    """What a contact must be like."""

    numbers: NumberRules
    chunk_bytes: int
    """Bytes of JSON that it may need, brackets around it."""


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
        deliveries: Deliveries,
        settings: BatcherSettings,
        rules: ContactRules,
        clock: Clock,
    ) -> None:
        self.remaining = Remaining()
        """What was not finished when it was closed; nothing before that."""
        self._upload = upload
        self._inbox = inbox
        self._deliveries = deliveries
        self._settings = settings
        self._rules = rules
        self._clock = clock
        self._journal: Journal = Journal()
        self._opened_at = self._forget_at = 0.0
        self._error: Exception | None = None
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    # --- for the user ---

    async def add(self, contact: ContactLike, *, nowait: bool = False) -> Outcome:
        """Add a contact and return what became of it, once that is known. `outcome.row` counts the contacts of this
        batcher, and of its journal.

        Waits while the buffer is full; with `nowait`, raises `BatcherFullError` instead. A contact that cannot be
        sent is an outcome, `rejected`, as in an upload. Whoever is cancelled before the contact is in a chunk has it
        taken out; after that it is sent, and its outcome goes to the journal and to `on_receipt`.

        Raises `BatcherClosedError` where the batcher was closed before there was an outcome, and whatever ended it.
        """
        row = encode_item(0, contact, self._rules.numbers)
        number = await self._reserve(nowait=nowait)
        waiter = self._deliveries.expect(number)
        self._inbox.put_in(row._replace(row=number), kept=False)
        self._deliveries.take_in()
        try:
            return await waiter
        except asyncio.CancelledError:
            if self._inbox.take_out(number):
                self._deliveries.let_go()
            raise
        finally:
            self._deliveries.forget(number)

    async def put(
        self, contact: ContactLike, *, nowait: bool = False, idempotence_key: str | UUID | None = None
    ) -> int:
        """Return the contact's row as soon as the journal has it on disk: whatever happens then, it is sent, if need
        be by the next batcher with that journal. Its outcome goes to the journal and to `on_receipt`.

        The same contact put again under the same `idempotence_key`, within `keep_seconds`, is not taken a second
        time: its first row is returned. So whoever got no answer may repeat it.

        Raises `ContactError` for a contact that cannot be sent, or another one under the same key;
        `ConfigurationError` where there is no journal; otherwise as `add`. Whoever is cancelled before it returns has
        the contact taken out.
        """
        journal = self._journal
        if self._task is not None and not journal.keeps:
            raise ConfigurationError(
                "only a batcher with a journal can promise to keep a contact: campaign.batcher(journal=FILE)"
            )
        row = encode_item(0, contact, self._rules.numbers)
        if isinstance(row, UnsentRow):
            field, _, reason = row.error.partition(": ")
            raise ContactError(field, reason)
        if (size := len(row.body) + BRACKETS_BYTES) > self._rules.chunk_bytes:
            raise ContactError("row", f"needs {size} bytes as JSON, more than a chunk may have")
        key = None if idempotence_key is None else str(idempotence_key)
        if key is not None and (not key or key != key.strip()):  # which a header would lose
            raise ContactError("idempotence_key", "is empty, or begins or ends with a space")
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
        return self._deliveries.under_way

    async def __aenter__(self) -> Self:
        await self._upload.__aenter__()
        try:
            self._journal = await self._upload.opened()
        except BaseException as error:
            await self._upload.__aexit__(type(error), error, error.__traceback__)
            raise
        self._opened_at = self._clock.monotonic()
        past = self._journal.past
        self._inbox.restore(past.queued, past.last_row)
        self._deliveries.take_in(len(past.queued) + sum(len(one.rows) + len(one.unsent) for one in past.pending))
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
        """End the batcher, for nothing can be written down any more; or raise why it has ended, where the journal was
        closed for that."""
        if self._task is None:
            return
        if journal.closed:
            await asyncio.wait([self._task])
            raise BatcherClosedError if self._error is None else _copy(self._error)
        self._error = self._error or error
        self._task.cancel()

    def _take_in(self, row: EncodedRow) -> None:
        """Take in a contact that the journal keeps."""
        self._inbox.put_in(row, kept=True)
        self._deliveries.take_in()

    async def _take_back(self, journal: Journal, row: EncodedRow, key: str | None) -> None:
        """Remove a contact whose `put` was cancelled, unless another caller was promised the same meanwhile."""
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
        raise _copy(self._error)

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
                await self._deliveries.tell_owner(receipts)
                await self._note_told(receipts)

    async def _note_told(self, receipts: Sequence[Receipt]) -> None:
        journal, elapsed = self._journal, self._clock.monotonic() - self._opened_at
        journal.note_told([receipt.chunk for receipt in receipts])
        if elapsed >= self._forget_at:
            self._forget_at = elapsed + FORGET_SECONDS
            await journal.forget(self._settings.keep_seconds)

    def _end(self) -> None:
        """Tell all that still wait that nothing more comes, and note what remains."""
        in_doubt = sum(receipt.counts().total() for receipt in self._upload.in_doubt)
        handed_over = {row.row for row in each_row(self._upload.untaken)}
        not_kept = self._inbox.drop() | (handed_over - self._inbox.kept)
        under_way, keeps = self._deliveries.under_way, self._journal.keeps
        kept = under_way - len(not_kept) if keeps else 0
        self.remaining = Remaining(kept=kept, not_sent=under_way - kept, in_doubt=in_doubt)
        self._deliveries.end(lambda kept: self._reason(kept=kept and keeps), not_kept)

    def _reason(self, *, kept: bool) -> Exception:
        if self._error is None:
            return BatcherClosedError(kept=kept)
        error = _copy(self._error)
        if kept and error is not self._error:
            error.add_note(KEPT)
        return error


def _copy(error: Exception) -> Exception:
    """Return a copy for one of many who are told the same; an error that cannot be copied is told as it is."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001  # whatever its constructor wants
        return error
