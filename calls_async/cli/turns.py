"""Writing off the event loop, one thing after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from calls_async.upload.waiting import see_through


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
