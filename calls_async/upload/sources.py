"""Where contacts come from: files, streams, iterables and async iterables, as numbered rows in batches.

Files are read by a thread of their own, so that the event loop never waits for a disk or a parser. Iterables are
drawn on the loop, in slices of a few milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from calls_async.errors import ConfigurationError, SourceError
from calls_async.protocol.contact import Contact
from calls_async.upload.drawing import Drawing, in_slices
from calls_async.upload.files import Batch, Reading, format_of, read_batches
from calls_async.upload.marks import NOTHING, Consumed, RowCheck
from calls_async.upload.rows import check_region, encode_items
from calls_async.upload.runs import Run

ContactLike = Contact | Mapping[str, Any]
SourceLike = str | Path | BinaryIO | Iterable[ContactLike] | AsyncIterable[ContactLike]


class Source(Protocol):
    """Numbered rows in batches, once."""

    name: str
    is_file: bool
    """Whether it is read in blocks, and marked as far as it was read: what was not taken in of it is read again."""
    may_pause: bool
    """Whether it may wait long between rows, so that a chunk should not wait until it is full."""
    given_again: bool
    """Whether it gives again what an earlier process took from it, to be compared before anything is sent."""

    def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        """The rows after those that are `consumed`. Raises `JournalRefusedError` where these have changed."""

    def left(self) -> Sequence[Run]:
        """When its batches are closed: what was drawn, was not handed over, and cannot be drawn again."""

    def fraction_read(self) -> float | None:
        """How much of the source has been read, 0 to 1; None where that cannot be known."""


class _HandsOver:
    """A source that hands over what it has drawn."""

    given_again = True

    def left(self) -> Sequence[Run]:
        return ()


def open_source(source: SourceLike | None, reading: Reading) -> Source:
    """The source that `source` means. Raises `ConfigurationError`; a file is opened only when it is read."""
    check_region(reading.region)
    if source is None:
        return NoSource()
    if isinstance(source, str | Path):
        return FileSource(Path(source), reading)
    if isinstance(source, AsyncIterable):
        return AsyncIterableSource(source, reading.region)
    if callable(getattr(source, "read", None)):
        return StreamSource(source, reading)  # type: ignore[arg-type]  # by its method, it is a binary file
    if not isinstance(source, bytes | Mapping) and isinstance(source, Iterable):
        return IterableSource(cast("Iterable[ContactLike]", source), reading.region)
    raise ConfigurationError(
        f"a {type(source).__name__} is no source; give a path, a binary file, or an iterable of contacts"
    )


class NoSource(_HandsOver):
    """Nothing to read: only what a journal holds is sent."""

    name = "the journal"
    is_file = True
    given_again = False
    may_pause = False

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        return
        yield  # makes it a generator

    def fraction_read(self) -> float | None:
        return None


class FileSource(_HandsOver):
    """A contact list in a file, or in a named pipe."""

    is_file = True

    def __init__(self, path: Path, reading: Reading) -> None:
        self.name = str(path)
        self._path = path
        self.may_pause = path.exists() and not path.is_file()
        self._reading = reading
        self._size = 0
        self._file: BinaryIO | None = None
        format_of(self.name, reading)

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        # A named pipe opens when somebody writes into it: not on the event loop.
        self._file = await asyncio.to_thread(self._open)
        with self._file as file:
            async with aclosing(
                _read_in_thread(self.name, file, self._reading, consumed, may_block=self.may_pause)
            ) as batches:
                async for batch in batches:
                    yield batch

    def fraction_read(self) -> float | None:
        file = self._file
        if file is None or file.closed or not self._size:
            return None
        return min(1.0, file.tell() / self._size)

    def _open(self) -> BinaryIO:
        try:
            self._size = self._path.stat().st_size
            # Unbuffered: its position is shown as progress; the readers buffer for themselves.
            return self._path.open("rb", buffering=0)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        raise SourceError(self.name, f"cannot be read: {reason}")


class StreamSource(_HandsOver):
    """A contact list from an open binary file, such as standard input; closing it is its owner's matter."""

    is_file = True
    may_pause = True

    def __init__(self, stream: BinaryIO, reading: Reading) -> None:
        self.name = str(getattr(stream, "name", "the stream"))
        if reading.format is None:
            raise ConfigurationError("a stream has no name to tell the format by; give the format")
        self._stream = stream
        self._reading = reading

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        async with aclosing(
            _read_in_thread(self.name, self._stream, self._reading, consumed, may_block=True)
        ) as batches:
            async for batch in batches:
                yield batch

    def fraction_read(self) -> float | None:
        return None


async def _read_in_thread(
    name: str, file: BinaryIO, reading: Reading, consumed: Consumed, *, may_block: bool
) -> AsyncGenerator[Batch, None]:
    loop = asyncio.get_running_loop()
    batches = read_batches(name, file, reading, consumed)
    # A thread of its own: the default pool is the service's, and a slow disk must not fill it.
    thread = ThreadPoolExecutor(1, thread_name_prefix="calls_async-source")
    try:
        while (batch := await loop.run_in_executor(thread, next, batches, None)) is not None:
            yield batch
    finally:
        # A pipe may never send its next line; a file's next batch is there in a moment.
        thread.shutdown(wait=not may_block, cancel_futures=True)


class IterableSource(_HandsOver):
    """Contacts or mappings from an iterable, drawn on the event loop: what is drawn is handed over at once."""

    is_file = False
    may_pause = False

    def __init__(self, items: Iterable[ContactLike], region: str | None) -> None:
        self.name = f"a {type(items).__name__}"
        self._items = items
        self._region = region
        self._read = 0

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        check = RowCheck(consumed)
        async with aclosing(in_slices(self._items)) as lists:
            async for items in lists:
                first_row = self._read + 1
                self._read += len(items)
                yield Batch(check.see(encode_items(first_row, items, self._region)))
        check.end()

    def fraction_read(self) -> float | None:
        length = len(self._items) if isinstance(self._items, Sized) else 0
        return min(1.0, self._read / length) if length else None


class AsyncIterableSource:
    """Contacts or mappings from an async iterable."""

    is_file = False
    may_pause = True
    given_again = True

    def __init__(self, items: AsyncIterable[ContactLike], region: str | None) -> None:
        self.name = f"a {type(items).__name__}"
        self._drawing = Drawing(items)
        self._region = region
        self._rows = 0
        self._check = RowCheck(NOTHING)

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        self._check = RowCheck(consumed)
        async with aclosing(self._drawing.lists()) as lists:
            async for items in lists:
                yield Batch(self._encoded(items))
        self._check.end()

    def left(self) -> Sequence[Run]:
        items = self._drawing.take()
        return self._encoded(items) if items else ()

    def fraction_read(self) -> float | None:
        return None

    def _encoded(self, items: Sequence[ContactLike]) -> list[Run]:
        first_row, self._rows = self._rows + 1, self._rows + len(items)
        return self._check.see(encode_items(first_row, items, self._region))
