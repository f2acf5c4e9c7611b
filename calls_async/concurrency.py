"""Waiting: for what must not be left half done, and for whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


async def see_through(work: asyncio.Future[Any]) -> None:
    """Waits until `work` is done. A cancellation meanwhile is raised after that; what `work` raised is not."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def first_of(*waits: Awaitable[Any]) -> None:
    """Waits until one of them is done, and cancels the others. What they raise is not raised here."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class InTurn:
    """A thread of its own. What has begun is seen through, also by who is cancelled: a file must not be closed while
    another thread writes into it."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"calls_async-{name}")

    async def do(self, work: Callable[[], None]) -> None:
        """Raises what `work` raises."""
        doing = asyncio.get_running_loop().run_in_executor(self._thread, work)
        await see_through(doing)
        doing.result()
