"""Contacts that come one at a time, from any number of tasks: the source of a batcher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import islice
from operator import attrgetter

import attrs

from calls_async.concurrency import first_of
from calls_async.errors import BatcherClosedError, BatcherFullError
from calls_async.transport.clock import Clock
from calls_async.upload.rows.row import EncodedRow, Row, Run, group_into_runs
from calls_async.upload.sources.checkpoint import NOTHING, Consumed
from calls_async.upload.sources.source import Batch, ReadOnce


@attrs.frozen(slots=True)
class _Waiting:
    """A contact that is in no chunk yet."""

    row: Row
    since: float
    """Monotonic seconds."""
    kept: bool
    """Whether it stands in the journal."""


@attrs.frozen(slots=True, kw_only=True)
class InboxSettings:
    """When a chunk is full, how long its oldest contact waits, and how many contacts are held."""

    chunk_rows: int
    linger_seconds: float
    buffer_rows: int


class Inbox(ReadOnce):
    """Holds contacts until there is a chunk of them, or the oldest has waited `linger_seconds`. Until then each can
    be taken out again. At most `buffer_rows` are held; who brings more, waits."""

    name = "a batcher"
    is_file = False
    may_pause = False
    answers_callers = True
    given_again = False

    def __init__(self, settings: InboxSettings, clock: Clock) -> None:
        self.closed = False
        self._chunk_rows = settings.chunk_rows
        self._linger_seconds = settings.linger_seconds
        self._buffer_rows = buffer_rows = settings.buffer_rows
        self._clock = clock
        self._room = asyncio.Semaphore(buffer_rows)
        self._debt = 0
        """How many of those held are more than there is room for."""
        self._reserved = 0
        self._last_row = 0
        self._waiting: dict[int, _Waiting] = {}
        self.kept: set[int] = set()
        """Those of the rows that were handed over last that stand in the journal."""
        self._some = asyncio.Event()
        self._full = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def restore(self, rows: Sequence[EncodedRow], last_row: int) -> None:
        """Take in what an earlier process had queued, before anything else. `last_row` is the highest ever given."""
        self._last_row = last_row
        self._room = asyncio.Semaphore(max(0, self._buffer_rows - len(rows)))
        self._debt = max(0, len(rows) - self._buffer_rows)
        for row in rows:
            self._hold(_Waiting(row, self._clock.monotonic(), kept=True))

    async def reserve(self, *, nowait: bool) -> int:
        """Return the number of a new row, when there is room for it; to be followed by `put_in` or `give_back`.

        Raises `BatcherClosedError`, and `BatcherFullError` instead of waiting where `nowait`.
        """
        if nowait and self.closed:
            raise BatcherClosedError
        if nowait and self._room.locked():
            raise BatcherFullError(self._buffer_rows)
        await self._room.acquire()
        if self.closed:
            self._room.release()
            raise BatcherClosedError
        self._reserved += 1
        self._last_row += 1
        return self._last_row

    def give_back(self) -> None:
        """Give a reservation back of which nothing comes."""
        self._reserved -= 1
        self._free()

    def put_in(self, row: Row, *, kept: bool) -> None:
        """Take a contact in. `kept` says that it stands in the journal."""
        self._reserved -= 1
        self._hold(_Waiting(row, self._clock.monotonic(), kept))

    def take_out(self, row: int) -> bool:
        """Take a contact out again; return False where it is in a chunk already."""
        if self._waiting.pop(row, None) is None:
            return False
        self._free()
        return True

    def close(self) -> None:
        """Take nothing more in; what is held does not wait any longer."""
        self.closed = True
        self._some.set()
        self._full.set()

    def drop(self) -> set[int]:
        """Let go of all that is held. Return the rows that no journal keeps."""
        dropped, self._waiting = self._waiting, {}
        for _ in dropped:
            self._free()
        return {row for row, one in dropped.items() if not one.kept}

    # --- as a source ---

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        while await self._filled():
            yield Batch(self._seal(), seals=True)

    def left(self) -> Sequence[Run]:
        return ()

    def fraction_read(self) -> float | None:
        return None

    async def _filled(self) -> bool:
        """Wait until there is enough for a chunk, or something has waited long enough; return False where nothing
        more comes."""
        while True:
            if not self._waiting:
                if self.closed and not self._reserved:
                    return False
                self._some.clear()
                await self._some.wait()
                continue
            oldest = next(iter(self._waiting.values()))
            wait = oldest.since + self._linger_seconds - self._clock.monotonic()
            if self.closed or len(self._waiting) >= self._chunk_rows or wait <= 0:
                return True
            self._full.clear()
            await first_of(self._full.wait(), self._clock.sleep(wait))

    def _seal(self) -> list[Run]:
        some = list(islice(self._waiting.values(), self._chunk_rows))
        rows = [one.row for one in some]
        self.kept = {one.row.row for one in some if one.kept}
        for row in rows:
            del self._waiting[row.row]
            self._free()
        # Whoever had to be written down first may have come behind others.
        return group_into_runs(sorted(rows, key=attrgetter("row")))

    def _hold(self, one: _Waiting) -> None:
        self._waiting[one.row.row] = one
        self._some.set()
        if len(self._waiting) >= self._chunk_rows:
            self._full.set()

    def _free(self) -> None:
        if self._debt:
            self._debt -= 1
        else:
            self._room.release()
        if self.closed:
            self._some.set()
