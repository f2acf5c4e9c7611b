"""Sealed chunks on their way from the reader to the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from calls_async.upload.chunks import Chunk


class ChunkQueue:
    """Sealed chunks on their way to the workers. Putting never waits, so that a cancellation cannot lose a sealed
    chunk; whoever has put waits for room afterwards."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._chunks: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def has_room(self) -> bool:
        return self._chunks.qsize() < self._size

    def put(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self._chunks.put_nowait(chunk)
        if not self.has_room:
            self._room.clear()

    async def room(self) -> None:
        await self._room.wait()

    def clear(self) -> None:
        """Nothing that waits is to be sent any more."""
        while not self._chunks.empty():
            self._chunks.get_nowait()

    async def get(self) -> Chunk | None:
        chunk = await self._chunks.get()
        if self.has_room:
            self._room.set()
        return chunk

    def close(self, workers: int) -> None:
        """Each of the workers gets None when all chunks are taken."""
        for _ in range(workers):
            self._chunks.put_nowait(None)
