"""Sealed chunks on their way from the reader to the workers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from calls_async.upload.chunks.chunk import Chunk


class ChunkQueue:
    """Putting never waits, so that a cancellation cannot lose a sealed chunk; the reader waits for room afterwards. A
    worker that has taken a chunk may put others in its place, and says when it is done with it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._chunks: deque[Chunk] = deque()
        self._at_work = 0
        self._closed = False
        self._dropping = False
        self.dropped = False
        """Whether something was not sent."""
        self._room = asyncio.Event()
        self._room.set()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_room(self) -> bool:
        return len(self._chunks) < self._size

    def put(self, chunks: Sequence[Chunk], *, first: bool = False) -> None:
        """Behind those that wait, or before them."""
        if self._dropping:
            self.dropped = self.dropped or bool(chunks)
            return
        if first:
            self._chunks.extendleft(reversed(chunks))
        else:
            self._chunks.extend(chunks)
        self._wake(len(chunks))
        if not self.has_room:
            self._room.clear()

    async def room(self) -> None:
        await self._room.wait()

    def drop(self) -> None:
        """Nothing that waits, or comes later, is to be sent any more."""
        self._dropping = True
        self.dropped = self.dropped or bool(self._chunks)
        self._chunks.clear()
        self._room.set()
        self._wake_if_over()

    def close(self) -> None:
        """Only workers put any more."""
        self._closed = True
        self._wake_if_over()

    async def get(self) -> Chunk | None:
        """The next chunk, to be ended by `done`; None when there is none and none can come."""
        while not self._chunks:
            if self._closed and self._at_work == 0:
                self._wake_if_over()  # whoever was woken for a chunk that was dropped tells the others
                return None
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake(1)  # another one takes what this one was woken for
                raise
        self._at_work += 1
        chunk = self._chunks.popleft()
        if self.has_room:
            self._room.set()
        return chunk

    def done(self) -> None:
        """A chunk that was taken needs no more work."""
        self._at_work -= 1
        self._wake_if_over()

    def _wake(self, count: int) -> None:
        """One worker for each chunk: if all were woken, most would only go back to sleep."""
        while count > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def _wake_if_over(self) -> None:
        if self._closed and self._at_work == 0 and not self._chunks:
            self._wake(len(self._waiting))
