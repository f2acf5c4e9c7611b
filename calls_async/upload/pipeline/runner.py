"""The bounded runner of uploads, reports and cancels: some workers take what a queue gives, one chunk at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic

from calls_async.upload.pipeline.chunk_queue import ChunkQueue, Work

StandIn = Callable[[], None]
"""Lets another worker go on while this one waits long."""


class Runner(Generic[Work]):
    """Runs `work` on each chunk of a queue, by `workers` tasks. A worker that waits long is stood in for, as long as
    there are no more than `most`."""

    def __init__(
        self,
        queue: ChunkQueue[Work],
        work: Callable[[Work, StandIn], Awaitable[None]],
        *,
        workers: int,
        most: int,
    ) -> None:
        self._queue = queue
        self._work = work
        self._count = workers
        self._most = most
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the workers as tasks of `group`."""

        def hire() -> None:
            if len(self._tasks) < self._most:
                self._tasks.append(group.create_task(self._run(hire), name="calls_async worker"))

        for _ in range(self._count):
            hire()

    async def finish(self) -> None:
        """Wait until all workers have ended, which they do when the queue is closed and nothing is left in it."""
        while at_work := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(at_work)

    async def _run(self, stand_in: StandIn) -> None:
        while (chunk := await self._queue.get()) is not None:
            try:
                await self._work(chunk, stand_in)
            finally:
                self._queue.done()
