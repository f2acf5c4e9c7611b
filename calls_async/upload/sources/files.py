"""Contact lists in files, pipes and streams, read by a thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import attrs

from calls_async.concurrency import iterate_in_thread
from calls_async.errors import ConfigurationError, SourceError
from calls_async.upload.sources.checkpoint import NOTHING, Consumed
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading, detect_format
from calls_async.upload.sources.source import Batch, GivenAgain


class FileSource(GivenAgain):
    """A contact list in a file, or in a named pipe."""

    is_file = True

    def __init__(self, path: Path, reading: Reading) -> None:
        self.name = str(path)
        self._path = path
        self.may_pause = path.exists() and not path.is_file()
        self._reading = reading
        self.row_options = reading.row_options
        self.options = reading.to_json()
        self._size = 0
        self._file: BinaryIO | None = None
        self._begun = False
        """Whether rows have come: before, all of it may be looked through once."""
        detect_format(self.name, reading)

    async def has_grown(self, consumed: Consumed) -> bool:
        if self.may_pause:
            return False
        looked = FileSource(self._path, attrs.evolve(self._reading, on_hint=None))
        async with aclosing(looked.batches(consumed)) as batches:
            async for batch in batches:
                if batch.runs:
                    return True
        return False

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        # A named pipe opens when somebody writes into it: not on the event loop.
        opening = asyncio.get_running_loop().run_in_executor(None, self._open)
        try:
            self._file = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)  # perhaps it is open in a moment
            raise
        with self._file as file:
            found = read_batches(self.name, file, self._reading, consumed, may_pause=self.may_pause)
            async with aclosing(iterate_in_thread(found, "source", may_block=self.may_pause)) as batches:
                async for batch in batches:
                    self._begun = True
                    yield batch

    def fraction_read(self) -> float | None:
        file = self._file
        if file is None or file.closed or not self._size or not self._begun:
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


def _close_opened(opening: asyncio.Future[BinaryIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class StreamSource(GivenAgain):
    """A contact list from an open binary file, such as standard input; closing it is its owner's matter."""

    is_file = True
    may_pause = True

    def __init__(self, stream: BinaryIO, reading: Reading) -> None:
        self.name = str(getattr(stream, "name", "the stream"))
        if reading.format is None:
            raise ConfigurationError("a stream has no name to tell the format by; give the format")
        self._stream = stream
        self._reading = reading
        self.row_options = reading.row_options
        self.options = reading.to_json()

    async def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        found = read_batches(self.name, self._stream, self._reading, consumed, may_pause=True)
        async with aclosing(iterate_in_thread(found, "source", may_block=True)) as batches:
            async for batch in batches:
                yield batch

    def fraction_read(self) -> float | None:
        return None
