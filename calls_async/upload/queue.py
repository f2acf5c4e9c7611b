"""Sealed chunks on their way from the reader to the workers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from calls_async.upload.chunks import Chunk


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
        self._news = asyncio.Event()

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
        self._news.set()
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

    def close(self) -> None:
        """Only workers put any more."""
        self._closed = True
        self._news.set()

    async def get(self) -> Chunk | None:
        """The next chunk, to be ended by `done`; None when there is none and none can come."""
        while not self._chunks:
            if self._closed and self._at_work == 0:
                return None
            self._news.clear()
            await self._news.wait()
        self._at_work += 1
        chunk = self._chunks.popleft()
        if self.has_room:
            self._room.set()
        return chunk

    def done(self) -> None:
        """A chunk that was taken needs no more work."""
        self._at_work -= 1
        self._news.set()
