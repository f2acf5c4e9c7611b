"""Sealed chunks on their way from the reader to the workers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import Generic, TypeVar

Work = TypeVar("Work")


class QueueState(IntEnum):
    """What a queue still takes."""

    OPEN = 0
    """Everything."""
    ENDING = 1
    """What workers put; the reader puts nothing more."""
    DROPPING = 2
    """Nothing: what waits, or comes later, is dropped."""


class ChunkQueue(Generic[Work]):
    """Holds what is sealed and not taken. Putting never waits, so that a cancellation cannot lose a sealed chunk; the
    reader waits for room afterwards. A worker that has taken a chunk may put others in its place, and says when it is
    done with it."""

    def __init__(self, size: int) -> None:
        self.dropped = False
        """Whether something was dropped."""
        self._size = size
        self._state = QueueState.OPEN
        self._chunks: deque[Work] = deque()
        self._at_work = 0
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def has_room(self) -> bool:
        """Whether fewer wait than it is large."""
        return len(self._chunks) < self._size

    def put(self, chunks: Sequence[Work], *, first: bool = False) -> None:
        """Put chunks behind those that wait, or before them."""
        if self._state is QueueState.DROPPING:
            self.dropped = self.dropped or bool(chunks)
            return
        if first:
            self._chunks.extendleft(reversed(chunks))
        else:
            self._chunks.extend(chunks)
        self._wake(len(chunks))
        if not self.has_room:
            self._room.clear()
        if chunks:
            self._idle.clear()

    async def room(self) -> None:
        """Wait until it has room."""
        await self._room.wait()

    async def idle(self) -> None:
        """Wait until nothing waits in it and no worker is at work."""
        await self._idle.wait()

    def drop(self) -> None:
        """Drop all that waits, and all that comes later."""
        self._state = QueueState.DROPPING
        self.dropped = self.dropped or bool(self._chunks)
        self._chunks.clear()
        self._room.set()
        self._wake_if_over()

    def hold(self) -> None:
        """Note that a chunk that a worker has taken comes back later, by `put_back`."""
        self._at_work += 1

    def put_back(self, chunk: Work) -> None:
        """Put a chunk that was held before those that wait: also where everything else is dropped, for somebody must
        say what became of it."""
        self._at_work -= 1
        self._chunks.appendleft(chunk)
        self._wake(1)

    def close(self) -> None:
        """Let only workers put any more."""
        self._state = max(self._state, QueueState.ENDING)
        self._wake_if_over()

    async def get(self) -> Work | None:
        """Take the next chunk, to be ended by `done`; None when there is none and none can come."""
        while not self._chunks:
            if self._over:
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
        """Note that a chunk that was taken needs no more work."""
        self._at_work -= 1
        if self._at_work == 0 and not self._chunks:
            self._idle.set()
        self._wake_if_over()

    @property
    def running_dry(self) -> bool:
        """Whether nothing waits in it, and nothing is read any more."""
        return self._state is not QueueState.OPEN and not self._chunks

    @property
    def _over(self) -> bool:
        return self._state is not QueueState.OPEN and self._at_work == 0 and not self._chunks

    def _wake(self, count: int) -> None:
        """Wake one worker for each chunk: if all were woken, most would only go back to sleep."""
        while count > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def _wake_if_over(self) -> None:
        if self._over:
            self._wake(len(self._waiting))
