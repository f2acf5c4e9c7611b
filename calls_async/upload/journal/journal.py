"""What was intended and what was answered, written down: intent before send, outcome after answer, in that order.

`Journal` is what an upload needs of it. `FileJournal` keeps it in a file: one writer, off the event loop, commits
whatever has come together since its last commit, so that many chunks share one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

import attrs

from calls_async.concurrency import SerialThread, wait_until_done
from calls_async.errors import JournalError
from calls_async.events import Event, JournalLag
from calls_async.protocol.keys import new_upload_id
from calls_async.transport.clock import Clock
from calls_async.upload.chunks.chunk import Chunk, Mark
from calls_async.upload.journal.journal_time import JournalTime
from calls_async.upload.journal.known_jobs import KnownJobs, find_known_jobs
from calls_async.upload.journal.settings import Past, Purpose
from calls_async.upload.journal.store import Operation, Store
from calls_async.upload.outcomes.outcome import Receipt, Verdict
from calls_async.upload.rows.row import EncodedRow

Result = TypeVar("Result")

LAG_SECONDS = 0.5
"""A commit that takes longer is told of."""
REPLAYED_AT_A_TIME = 20
"""Receipts of earlier processes that are read from the file at once."""


class Journal:
    """Keeps what an upload intends and what it was answered. A method that is awaited returns when what it says is
    kept. Raises `JournalError`. This one keeps nothing, for an upload that cannot be resumed; others override it."""

    keeps = False
    """Whether what it is told survives the process."""
    closed = False
    """Whether it was closed, as opposed to broken."""
    name = "no journal"
    """What a person calls it."""

    def __init__(
        self, past: Past | None = None, purpose: Purpose = Purpose.UPLOAD, time: JournalTime | None = None
    ) -> None:
        self.past = past or Past(upload_id=new_upload_id())
        """What earlier processes wrote into it."""
        self.purpose = purpose
        self._time = time or JournalTime(Clock())

    def now(self) -> float:
        """Return the time by which keys grow old (Unix time, seconds)."""
        return self._time.now()

    def plan(self, chunk: Chunk, mark: Mark | None) -> None:
        """Keep a sealed chunk, sooner or later, but before `note_sent` of it returns."""

    def note_encoding(self, encoding: str) -> None:
        """Keep, sooner or later, what the source's text is read as."""

    async def note_sent(self, chunk: Chunk, at: float) -> None:
        """Note that `chunk` is about to be sent for the first time, at `at` (Unix time, seconds)."""

    async def note_unsent(self, chunk: Chunk) -> None:
        """Note that the first attempt at `chunk` came to nothing, for certain."""

    async def note_denied(self, chunk: Chunk) -> None:
        """Note that the first attempt at `chunk` was told that nothing goes here, and no other was made."""

    async def note_answered(self, chunk: Chunk, verdict: Verdict) -> None:
        """Note what became of a chunk's rows."""

    async def split(self, rest: Chunk, verdict: Verdict, parts: Sequence[Chunk]) -> None:
        """Note in one step that some rows of a chunk went into `parts`; `rest` stays behind with its `verdict`."""

    async def note_body_limit(self, body_bytes: int) -> None:
        """Note that the server takes no larger body."""

    async def note_to_ask(self, rows: int) -> None:
        """Note of how many rows of the next chunks the report is to be asked first."""

    async def note_source_done(self) -> None:
        """Note that the source has been read to its end, and its reader has had every receipt."""

    async def replay(self) -> AsyncGenerator[Receipt, None]:
        """Yield the receipts of the chunks that earlier processes have had answered."""
        return
        yield  # makes it a generator

    async def known_jobs(self, phones: Collection[str]) -> KnownJobs:
        """Return what it knows of the jobs of these phones."""
        return KnownJobs()

    async def enqueue(self, row: EncodedRow, key: str | None) -> int | None:
        """Keep a contact that was put into a batcher. Return the row under which it stands: an earlier one, where it
        was put under the same key before; None where another contact was."""
        raise JournalError(self.name, "keeps no contact")

    async def dequeue(self, row: int, key: str | None) -> bool:
        """Remove a contact whose `put` was cancelled; return True if it must stay, for it was put again since
        then."""
        return False

    def note_told(self, numbers: Sequence[int]) -> None:
        """Note that the batcher's owner has had the receipts of these chunks."""

    async def forget(self, keep_seconds: float) -> None:
        """Remove from a batcher's journal what was answered longer ago, whatever clock is asked, a little at a time;
        but nothing unknown or untold."""

    async def close(self) -> None:
        """Keep what is waiting and end."""


@attrs.frozen(slots=True, kw_only=True)
class Watcher:
    """Who hears of a journal's commits."""

    tell: Callable[[Event], None] = lambda event: None
    """Hears when the disk is slow."""
    note_commit: Callable[[float], None] = lambda seconds: None
    """Hears how many seconds each commit took."""
    server_ahead: Callable[[], float | None] = lambda: None
    """Says how many seconds the server's clock is ahead; None where nobody knows."""


class FileJournal(Journal):
    """An open journal in a file; see `open_journal`."""

    keeps = True

    def __init__(
        self, store: Store, thread: SerialThread, past: Past, purpose: Purpose, clock: Clock, watcher: Watcher
    ) -> None:
        super().__init__(past, purpose, JournalTime(clock, latest=past.latest, server_ahead=watcher.server_ahead))
        self.name = str(store.path)
        self._store = store
        self._thread = thread
        self._clock = clock
        self._watcher = watcher
        self._waiting: list[tuple[Operation, asyncio.Future[None] | None]] = []
        self._writer: asyncio.Task[None] | None = None
        self._broken: JournalError | None = None
        self._closed = False
        self._sent_untimed: list[int] = []
        """The chunks that were first sent when nobody knew how far the server's clock was ahead."""

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether it was closed, as opposed to broken."""
        return self._closed and self._broken is None

    async def do(self, work: Callable[[Store], Result]) -> Result:
        """Do `work` on the file, in turn with everything else, and return what it returns."""
        return await self._thread.submit(lambda: work(self._store))

    def plan(self, chunk: Chunk, mark: Mark | None) -> None:
        at, rejected = self._clock.wall(), self.past.rejected
        if rejected is None:
            self._submit(lambda store: store.plan(chunk, mark, at), None)
        else:
            holders = rejected.find_holders(chunk)
            self._submit(lambda store: store.plan_again(chunk, at, holders), None)

    def note_encoding(self, encoding: str) -> None:
        self._submit(lambda store: store.upload.note_encoding(encoding), None)

    async def note_sent(self, chunk: Chunk, at: float) -> None:
        ahead = self._read_server_ahead()
        if ahead is None:
            self._sent_untimed.append(chunk.number)
        await self._commit(lambda store: store.chunks.note_sent(chunk.number, at, ahead))

    async def note_unsent(self, chunk: Chunk) -> None:
        await self._commit(lambda store: store.chunks.note_unsent(chunk.number))

    async def note_denied(self, chunk: Chunk) -> None:
        await self._commit(lambda store: store.chunks.note_denied(chunk.number))

    async def note_answered(self, chunk: Chunk, verdict: Verdict) -> None:
        at, ahead = self._clock.wall(), self._read_server_ahead()
        await self._commit(lambda store: store.note_answered(chunk, verdict, at, ahead))

    async def split(self, rest: Chunk, verdict: Verdict, parts: Sequence[Chunk]) -> None:
        at, ahead = self._clock.wall(), self._read_server_ahead()
        await self._commit(lambda store: store.split(rest, verdict, parts, at, ahead))

    def _read_server_ahead(self) -> float | None:
        """Return how far the server's clock is ahead; known for the first time, it is noted of what was sent."""
        ahead = self._watcher.server_ahead()
        if ahead is not None and self._sent_untimed:
            untimed, self._sent_untimed = self._sent_untimed, []
            self._submit(lambda store: store.chunks.note_sent_ahead(untimed, ahead), None)
        return ahead

    async def note_body_limit(self, body_bytes: int) -> None:
        await self._commit(lambda store: store.upload.note_body_limit(body_bytes))

    async def note_to_ask(self, rows: int) -> None:
        await self._commit(lambda store: store.upload.note_to_ask(rows))

    async def note_source_done(self) -> None:
        await self._commit(lambda store: store.upload.note_source_done())

    async def replay(self) -> AsyncGenerator[Receipt, None]:
        numbers = self.past.answered
        if self.past.rejected is not None:
            await self._commit(lambda store: None)  # all rows that are sent again have left their chunks
        for first in range(0, len(numbers), REPLAYED_AT_A_TIME):
            some = numbers[first : first + REPLAYED_AT_A_TIME]
            for receipt in await self.do(lambda store, some=some: list(store.chunks.receipts(some))):  # type: ignore[misc]
                if receipt.rows or receipt.unsent:  # else all of it went into other chunks
                    yield receipt

    async def known_jobs(self, phones: Collection[str]) -> KnownJobs:
        return await self.do(lambda store: find_known_jobs(store, phones))

    async def enqueue(self, row: EncodedRow, key: str | None) -> int | None:
        at, found = self._clock.wall(), list[int | None]()
        await self._commit(lambda store: found.append(store.enqueue(row, key, at)))
        return found[0]

    async def dequeue(self, row: int, key: str | None) -> bool:
        stays: list[bool] = []
        await self._commit(lambda store: stays.append(store.batcher.dequeue(row, key)))
        return stays[0]

    def note_told(self, numbers: Sequence[int]) -> None:
        self._submit(lambda store: store.batcher.note_told(numbers), None)

    async def forget(self, keep_seconds: float) -> None:
        before = self._time.youngest() - keep_seconds
        while await self.do(lambda store: store.forget(before)):
            pass

    async def close(self) -> None:
        """Write what is waiting and give the file free."""
        closing = asyncio.get_running_loop().create_task(self._close(), name="calls_async journal closing")
        await wait_until_done(closing)
        closing.result()

    async def _close(self) -> None:
        if self._writer is not None:
            await asyncio.wait([self._writer])
        self._closed = True
        await self._thread.submit(self._give_back)
        self._thread.close()

    def _give_back(self) -> None:
        try:
            if self._broken is None and self._store.blank():
                self._store.set_aside(keep=False)  # nothing came of it: there is nothing to go on with
        finally:
            self._store.close()

    async def _commit(self, operation: Operation) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submit(operation, done)
        await done

    def _submit(self, operation: Operation, done: asyncio.Future[None] | None) -> None:
        if self._broken is not None:
            raise self._broken
        if self._closed:
            raise JournalError(self.name, "is closed")
        self._waiting.append((operation, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="calls_async journal")

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            began = self._clock.monotonic()
            try:
                await self._thread.submit(partial(self._store.commit, [operation for operation, _ in batch]))
            except JournalError as error:
                self._broken = error
            except Exception as error:  # noqa: BLE001  # nobody must wait for ever for a write that has failed
                self._broken = JournalError(self.name, f"failed ({error!r})")
            for _, done in batch + (self._waiting if self._broken else []):
                if done is not None and not done.done():
                    if self._broken is None:
                        done.set_result(None)
                    else:
                        done.set_exception(self._broken)
            if self._broken is not None:
                break
            seconds = self._clock.monotonic() - began
            self._watcher.note_commit(seconds)
            if seconds >= LAG_SECONDS:
                lag = JournalLag(at=self._clock.wall(), seconds=seconds, waiting=len(self._waiting))
                self._watcher.tell(lag)
        self._writer = None
