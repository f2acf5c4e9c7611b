"""Answers about any number of call jobs, as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Generic, Self

from calls_async.concurrency import ChannelClosed, wait_until_done
from calls_async.jobs.requests import Answer, JobRequests


class JobStream(Generic[Answer]):
    """Answers about call jobs, as they come; iterate it. `async with`, or `aclose`, ends it early and cancels what is
    in flight; what has been asked by then may have been done, also where its answer was not read.

    What the server refuses is split until it stands alone; when all others have been answered, `JobsRefusedError`
    tells of those. Other failures are those of single calls, with the patience of uploads; they surface when what was
    in flight has been answered.
    """

    def __init__(self, work: JobRequests[Answer]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._some: deque[Answer] = deque()
        self._over = False

    @property
    def asked(self) -> int:
        """How many names of call jobs there were."""
        return self._work.asked

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Answer:
        while not self._some:
            self._some.extend(await self._next_batch())
        return self._some.popleft()

    async def batches(self) -> AsyncGenerator[list[Answer], None]:
        """Yield the answers in lists, one a request: for a reader that writes them somewhere."""
        while True:
            try:
                batch = list(self._some) or await self._next_batch()
            except StopAsyncIteration:
                return
            self._some.clear()
            yield batch

    async def aclose(self) -> None:
        """Cancel what is in flight."""
        self._over = True
        if self._task is not None:
            self._task.cancel()
            await wait_until_done(self._task)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Nobody will read any more. The loop may be gone, and this may be another thread.
        task = self._task
        if task is not None and not task.done() and not task.get_loop().is_closed():
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def _next_batch(self) -> list[Answer]:
        if self._over:
            raise StopAsyncIteration
        if self._task is None:
            self._task = asyncio.create_task(self._work.run(), name="calls_async jobs")
            self._task.add_done_callback(self._work.note_end)
        try:
            return await self._work.answers.get()
        except ChannelClosed:
            pass
        self._over = True
        await wait_until_done(self._task)
        if self._work.error is not None:
            raise self._work.error
        raise StopAsyncIteration
