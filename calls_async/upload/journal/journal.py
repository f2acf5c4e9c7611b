"""What was intended and what was answered, on disk: intent before send, outcome after answer, in that order.

One writer, off the event loop, commits whatever has come together since its last commit: many chunks share one
transaction, and an fsync a chunk is not needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from calls_async.concurrency import wait_until_done
from calls_async.errors import JournalError
from calls_async.events import Event, JournalLag
from calls_async.transport.clock import Clock
from calls_async.upload.chunks.chunk import Chunk, Mark
from calls_async.upload.journal.settings import Past
from calls_async.upload.journal.store import Operation, Store
from calls_async.upload.outcomes.outcome import Receipt, Verdict
from calls_async.upload.rows.row import EncodedRow

Result = TypeVar("Result")


LAG_SECONDS = 0.5
"""A commit that takes longer is told of."""
REPLAYED_AT_A_TIME = 20
"""Receipts of earlier processes that are read from the file at once."""


class Journal:
    """An open journal; see `open_journal`. Its methods return when what they say is on disk."""

    def __init__(self, store: Store, thread: ThreadPoolExecutor, past: Past, clock: Clock) -> None:
        self.past = past
        self._store = store
        self._thread = thread
        self._clock = clock
        self._waiting: list[tuple[Operation, asyncio.Future[None] | None]] = []
        self._writer: asyncio.Task[None] | None = None
        self._broken: JournalError | None = None
        self._closed = False
        self.tell: Callable[[Event], None] = lambda event: None
        """Hears when the disk is slow."""
        self.note_commit: Callable[[float], None] = lambda seconds: None
        """Hears how long each commit took."""

    @property
    def closed(self) -> bool:
        """Whether it was closed, as opposed to broken."""
        return self._closed and self._broken is None

    def now(self) -> float:
        """Unix time in seconds, by the clock that the journal's times go by."""
        return self._clock.wall()

    async def do(self, work: Callable[[Store], Result]) -> Result:
        """Does `work` on the file, in turn with everything else."""
        return await self._in_thread(lambda: work(self._store))

    def plan(self, chunk: Chunk, mark: Mark | None) -> None:
        """Writes a sealed chunk down, sooner or later, but before `note_sent` of it returns."""
        at = self._clock.wall()
        self._submit(lambda store: store.plan(chunk, mark, at), None)

    async def note_sent(self, chunk: Chunk, at: float) -> None:
        """`chunk` is about to be sent for the first time, at `at` (Unix time, seconds)."""
        await self._commit(lambda store: store.note_sent(chunk.number, at))

    async def note_unsent(self, chunk: Chunk) -> None:
        """The first attempt at `chunk` came to nothing, for certain."""
        await self._commit(lambda store: store.note_unsent(chunk.number))

    async def note_answered(self, chunk: Chunk, verdict: Verdict) -> None:
        at = self._clock.wall()
        await self._commit(lambda store: store.note_answered(chunk, verdict, at))

    async def split(self, rest: Chunk, verdict: Verdict, parts: Sequence[Chunk]) -> None:
        """Some rows of a chunk go into others, in one step; `rest` stays behind with its `verdict`."""
        at = self._clock.wall()
        await self._commit(lambda store: store.split(rest, verdict, parts, at))

    async def note_body_limit(self, body_bytes: int) -> None:
        """The server takes no larger body."""
        await self._commit(lambda store: store.note_body_limit(body_bytes))

    async def enqueue(self, row: EncodedRow, key: str | None) -> int | None:
        """A contact was put into a batcher. Returns the row under which it stands: an earlier one, where it was put
        under the same key before. None: under that key, another contact was."""
        at, found = self._clock.wall(), list[int | None]()
        await self._commit(lambda store: found.append(store.enqueue(row, key, at)))
        return found[0]

    async def dequeue(self, row: int, key: str | None) -> bool:
        """Whoever put it was cancelled before it was in a chunk. Whether it stays: it was put again since then."""
        stays: list[bool] = []
        await self._commit(lambda store: stays.append(store.dequeue(row, key)))
        return stays[0]

    def note_told(self, numbers: Sequence[int]) -> None:
        """The batcher's owner has had the receipts of these chunks."""
        self._submit(lambda store: store.note_told(numbers), None)

    async def forget(self, before: float) -> None:
        """Takes out of a batcher's journal what was answered before (Unix time, seconds), a little at a time; but
        nothing unknown or untold."""
        while await self.do(lambda store: store.forget(before)):
            pass

    async def note_source_done(self) -> None:
        await self._commit(Store.note_source_done)

    async def replay(self) -> AsyncGenerator[Receipt, None]:
        """The receipts of the chunks that earlier processes have had answered."""
        numbers = self.past.answered
        for first in range(0, len(numbers), REPLAYED_AT_A_TIME):
            some = numbers[first : first + REPLAYED_AT_A_TIME]
            for receipt in await self._in_thread(partial(self._some_receipts, some)):
                if receipt.rows or receipt.unsent:  # else all of it went into other chunks
                    yield receipt

    def _some_receipts(self, numbers: Sequence[int]) -> list[Receipt]:
        return list(self._store.receipts(numbers))

    async def close(self) -> None:
        """Writes what is waiting and gives the file free."""
        loop = asyncio.get_running_loop()
        closing = loop.create_task(self._close(), name="calls_async journal closing")
        await wait_until_done(closing)
        closing.result()

    async def _close(self) -> None:
        if self._writer is not None:
            await asyncio.wait([self._writer])
        self._closed = True
        await self._in_thread(self._give_back)
        self._thread.shutdown(wait=False)

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
            raise JournalError(str(self._store.path), "is closed")
        self._waiting.append((operation, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="calls_async journal")

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            began = self._clock.monotonic()
            try:
                await self._in_thread(partial(self._store.commit, [operation for operation, _ in batch]))
            except JournalError as error:
                self._broken = error
            except Exception as error:  # noqa: BLE001  # nobody must wait for ever for a write that has failed
                self._broken = JournalError(str(self._store.path), f"failed ({error!r})")
            for _, done in batch + (self._waiting if self._broken else []):
                if done is not None and not done.done():
                    if self._broken is None:
                        done.set_result(None)
                    else:
                        done.set_exception(self._broken)
            if self._broken is not None:
                break
            seconds = self._clock.monotonic() - began
            self.note_commit(seconds)
            if seconds >= LAG_SECONDS:
                self.tell(JournalLag(at=self._clock.wall(), seconds=seconds, waiting=len(self._waiting)))
        self._writer = None

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
