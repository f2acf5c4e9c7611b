"""Files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

from calls_async.errors import ConfigurationError, SourceError
from calls_async.upload.sources.checkpoint import NOTHING, Consumed
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading, format_of
from calls_async.upload.sources.source import Batch, _HandsOver


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
