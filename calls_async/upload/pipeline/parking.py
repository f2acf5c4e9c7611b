"""Where chunks wait for what may be late: on disk, in the order in which they are due, and no worker with them."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import deque
from collections.abc import Callable
from typing import IO

import attrs

from calls_async.concurrency import SerialThread
from calls_async.transport.caller import Caller
from calls_async.upload.chunks.chunk import Chunk, phones_in
from calls_async.upload.outcomes.attribution import LATE_SECONDS
from calls_async.upload.pipeline.chunk_events import ChunkEvents
from calls_async.upload.pipeline.chunk_queue import ChunkQueue
from calls_async.upload.pipeline.send_result import Doubt


class Spool:
    """Keeps bytes on disk, in a file without a name. What cannot be written there stays in memory. For one thread."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._kept = 0

    def write(self, data: bytes) -> tuple[int, int] | bytes:
        """Return where `data` stands: position and length; `data` itself where the disk takes nothing."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="calls_async")  # noqa: SIM115  # closed by `close`
            if not self._kept:
                self._file.seek(0)
                self._file.truncate()
            position = self._file.seek(0, 2)
            self._file.write(data)
            self._file.flush()
        except OSError:
            return data
        self._kept += 1
        return position, len(data)

    def take(self, place: tuple[int, int] | bytes) -> bytes:
        """Return what stands there, and keep it no longer."""
        if isinstance(place, bytes):
            return place
        if self._file is None:
            raise RuntimeError("nothing was ever written")
        self._kept -= 1
        self._file.seek(place[0])
        return self._file.read(place[1])

    def close(self) -> None:
        """Give the disk's room free."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


@attrs.frozen(slots=True)
class _Parked:
    due_at: float
    """Monotonic seconds."""
    doubt: Doubt
    """Without the chunk's body and phones."""
    body: tuple[int, int] | bytes = attrs.field(repr=False)


class Parking:
    """Takes chunks that must wait, as many as there are, and puts each back into the queue when it is due: all at
    once where the upload stops."""

    def __init__(self, queue: ChunkQueue[Chunk], caller: Caller, events: ChunkEvents) -> None:
        self._queue = queue
        self._caller = caller
        self._events = events
        self._waiting: deque[_Parked] = deque()  # all wait equally long: the first is due first
        self._due: dict[int, _Parked] = {}
        """By the chunk's number: those that are back in the queue."""
        self._some = asyncio.Event()
        self._spool = Spool()
        self._thread = SerialThread("parking")

    @property
    def waiting(self) -> int:
        """How many chunks wait."""
        return len(self._waiting)

    async def park(self, doubt: Doubt) -> None:
        """Let a chunk wait, and its worker go on."""
        self._queue.hold()  # before anything is awaited: its worker may be the last one at work
        self._events.waits(doubt.chunk, LATE_SECONDS)
        due_at = self._caller.clock.monotonic() + LATE_SECONDS
        parked = _Parked(due_at, doubt, doubt.chunk.body)
        self._waiting.append(parked)
        self._some.set()
        place = await self._thread.submit(lambda: self._spool.write(doubt.chunk.body))
        slim = attrs.evolve(doubt, chunk=attrs.evolve(doubt.chunk, body=b"", phones=()))
        with contextlib.suppress(ValueError):  # it is back already, for the upload stops
            self._waiting[self._waiting.index(parked)] = _Parked(due_at, slim, place)

    async def take(self, chunk: Chunk) -> Doubt | None:
        """Return what is in doubt of a chunk that has waited, and is back; None for one that has not."""
        parked = self._due.get(chunk.number)
        if parked is None:
            return None
        doubt = await self._thread.submit(lambda: self._unpack(parked))
        del self._due[chunk.number]  # not before: until then, `run` abandons it
        return doubt

    async def run(self, abandon: Callable[[Chunk], None]) -> None:
        """Put back what is due, until this is cancelled; `abandon` is then given the chunks that still wait."""
        caller = self._caller
        try:
            while True:
                await self._some.wait()
                self._some.clear()
                while self._waiting:
                    await caller.nap(max(0.0, self._waiting[0].due_at - caller.clock.monotonic()))
                    self._put_back()
        finally:
            self._thread.close(wait=True)
            for parked in [*self._waiting, *self._due.values()]:
                abandon(self._unpack(parked).chunk)
            self._waiting.clear()
            self._due.clear()
            self._spool.close()

    def _put_back(self) -> None:
        now = self._caller.clock.monotonic()
        while self._waiting and (self._waiting[0].due_at <= now or self._caller.halted):
            parked = self._waiting.popleft()
            self._due[parked.doubt.chunk.number] = parked
            self._queue.put_back(parked.doubt.chunk)

    def _unpack(self, parked: _Parked) -> Doubt:
        body = self._spool.take(parked.body)
        return attrs.evolve(parked.doubt, chunk=attrs.evolve(parked.doubt.chunk, body=body, phones=phones_in(body)))
