"""The bounded runner of uploads, reports and cancels: some workers take what a queue gives, one chunk at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic

from calls_async.upload.pipeline.chunk_queue import ChunkQueue, Work


class Runner(Generic[Work]):
    """Runs `work` on each chunk of a queue, by `workers` tasks."""

    def __init__(self, queue: ChunkQueue[Work], work: Callable[[Work], Awaitable[None]], *, workers: int) -> None:
        self._queue = queue
        self._work = work
        self._count = workers
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the workers as tasks of `group`."""
        for _ in range(self._count):
            self._tasks.append(group.create_task(self._run(), name="calls_async worker"))

    async def finish(self) -> None:
        """Wait until all workers have ended, which they do when the queue is closed and nothing is left in it."""
        while at_work := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(at_work)

    async def _run(self) -> None:
        while (chunk := await self._queue.get()) is not None:
            try:
                await self._work(chunk)
            finally:
                self._queue.done()
