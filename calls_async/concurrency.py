"""Waiting, threads and channels: what the parts of this package share to run beside each other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def wait_until_done(work: asyncio.Future[Any]) -> None:
    """Wait until `work` is done, through cancellations; raise the last of those then, but not what `work` raised."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def first_of(*waits: Awaitable[Any]) -> None:
    """Wait until one of `waits` is done and cancel the others. What they raise is not raised here."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class SerialThread:
    """Runs blocking work in one thread of its own, one piece after the other."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"calls_async-{name}")

    def submit(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        """Start `work` as soon as the thread is free; whoever awaits the future may be cancelled without it."""
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run `work` to its end, also when the caller is cancelled meanwhile: a file must not be closed while another
        thread writes into it. Return what it returns, raise what it raises."""
        running = self.submit(work)
        await wait_until_done(running)
        return running.result()

    def close(self, *, wait: bool = False) -> None:
        """Drop what has not begun and end the thread; `wait` blocks until what has begun has ended."""
        self._pool.shutdown(wait=wait, cancel_futures=True)


async def iterate_in_thread(
    items: Iterator[Item], name: str, *, may_block: bool = False
) -> AsyncGenerator[Item, None]:
    """Yield what a blocking iterator gives, drawn by a thread of its own: the default pool is the service's, and a
    slow disk must not fill it. The next item is drawn beforehand. `may_block`: it may never come, so that it is not
    drawn before it is asked for, and its end is not waited for."""
    thread, nothing = SerialThread(name), object()

    def draw() -> asyncio.Future[Any]:
        drawing = thread.submit(lambda: next(items, nothing))
        drawing.add_done_callback(_look_at)  # where nobody waits for it any more, its error is no news
        return drawing

    coming = draw()
    try:
        while (item := await coming) is not nothing:
            if not may_block:
                coming = draw()  # while this one is being dealt with
            yield item
            if may_block:
                coming = draw()
    finally:
        try:
            if not may_block:
                await wait_until_done(coming)  # closing the thread would wait for it, and hold the event loop up
        finally:
            thread.close(wait=not may_block)


def _look_at(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()


class ChannelClosed(Exception):  # noqa: N818  # the end of a channel, not an error
    """Nothing more comes."""


class Channel(Generic[Item]):
    """Hands items from any number of tasks to one reader; at most `size` wait. Closing takes no slot."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Item] = deque()
        self._closed = False
        self._some: asyncio.Future[None] | None = None
        """Set when there is something for the reader that waits."""
        self._putters: deque[asyncio.Future[None]] = deque()

    async def put(self, item: Item) -> None:
        """Put `item` in when there is room. Raises `ChannelClosed`."""
        while len(self._items) >= self._size and not self._closed:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._putters.append(room)
            try:
                await room
            except asyncio.CancelledError:
                if room.done() and not room.cancelled():
                    self._wake_putter()  # another one takes the room that this one was woken for
                raise
        if self._closed:
            raise ChannelClosed
        self._items.append(item)
        self._wake_reader()

    async def get(self) -> Item:
        """Return the next item, as soon as there is one. Raises `ChannelClosed` when all were read and none comes."""
        while not self._items:
            if self._closed:
                raise ChannelClosed
            self._some = asyncio.get_running_loop().create_future()
            try:
                await self._some
            finally:
                self._some = None
        item = self._items.popleft()
        self._wake_putter()
        return item

    def take_all(self) -> list[Item]:
        """Return all items that are there, without waiting."""
        items = list(self._items)
        self._items.clear()
        for _ in items:
            self._wake_putter()
        return items

    def close(self) -> None:
        """Let nothing more in; what is there can still be read."""
        self._closed = True
        self._wake_reader()
        while self._putters:
            self._wake_putter()

    def _wake_reader(self) -> None:
        if self._some is not None and not self._some.done():
            self._some.set_result(None)

    def _wake_putter(self) -> None:
        while self._putters:
            waiter = self._putters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
