"""What iterables and async iterables give, in lists, without keeping the event loop for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import AsyncExitStack, aclosing
from typing import Generic, TypeVar

from calls_async.concurrency import wait_until_done
from calls_async.upload.rows.row import BATCH_ROWS

Item = TypeVar("Item")


SLICE_SECONDS = 0.002
"""The longest that drawing from an iterable keeps the event loop for itself."""


async def sliced(items: Iterable[Item]) -> AsyncGenerator[list[Item], None]:
    """List of at most `BATCH_ROWS` items. What an iterable gave before it failed comes before its error."""
    drawn: list[Item] = []
    slice_ends = time.monotonic() + SLICE_SECONDS
    try:
        for item in items:
            drawn.append(item)
            if len(drawn) >= BATCH_ROWS or time.monotonic() > slice_ends:
                full, drawn = drawn, []
                yield full
                await asyncio.sleep(0)
                slice_ends = time.monotonic() + SLICE_SECONDS
    except Exception:
        if drawn:
            yield drawn
        raise
    if drawn:
        yield drawn


class AsyncSlices(Generic[Item]):
    """Draws from an async iterable in a task of its own; what it has drawn is handed on when that waits, or when
    there is a list of `BATCH_ROWS`."""

    def __init__(self, items: AsyncIterable[Item]) -> None:
        self._items = items
        self._drawn: list[Item] = []
        self._closing = False

    def take(self) -> list[Item]:
        """Return what was drawn and not handed over yet; after `lists` was closed, what cannot be drawn again."""
        drawn, self._drawn = self._drawn, []
        return drawn

    async def lists(self) -> AsyncGenerator[list[Item], None]:
        some, room = asyncio.Event(), asyncio.Event()
        draws = asyncio.create_task(self._draw(some, room), name="calls_async drawing")
        try:
            while not draws.done() or self._drawn:
                await some.wait()
                some.clear()
                if self._drawn:
                    yield self.take()
                room.set()
            draws.result()
        finally:
            self._closing = True
            draws.cancel()
            room.set()
            await wait_until_done(draws)
            if not draws.cancelled():
                draws.exception()  # seen: it was told above, or nobody waits for it any more

    async def _draw(self, some: asyncio.Event, room: asyncio.Event) -> None:
        slice_ends = time.monotonic() + SLICE_SECONDS
        try:
            async with AsyncExitStack() as stack:
                if isinstance(self._items, AsyncGenerator):
                    await stack.enter_async_context(aclosing(self._items))
                async for item in self._items:
                    if not self._drawn:
                        some.set()  # whoever waits for it goes on when this task waits
                    self._drawn.append(item)
                    full = len(self._drawn) >= BATCH_ROWS
                    if self._closing:
                        if full:
                            break  # it does not care that it was cancelled
                    elif full or time.monotonic() > slice_ends:
                        room.clear()
                        await room.wait()
                        slice_ends = time.monotonic() + SLICE_SECONDS
        finally:
            some.set()
