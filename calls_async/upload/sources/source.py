"""What a source is: numbered rows in batches, once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from calls_async.protocol.contact import Contact
from calls_async.upload.chunks.chunk import Mark
from calls_async.upload.rows.row import Run
from calls_async.upload.sources.checkpoint import NOTHING, Consumed


class Batch(NamedTuple):
    """Rows, and how far the source had been read when they were handed over."""

    runs: Sequence[Run]
    mark: Mark | None = None
    encoding: str | None = None
    """What the text is read as, where that was found out or named."""
    seals: bool = False
    """Whether its last rows do not wait for others to fill their chunk."""


ContactLike = Contact | Mapping[str, Any]
SourceLike = str | Path | BinaryIO | Iterable[ContactLike] | AsyncIterable[ContactLike]


class Source(Protocol):
    """Numbered rows in batches, once."""

    name: str
    is_file: bool
    """Whether it is read in blocks, and marked as far as it was read: what was not taken in of it is read again."""
    row_options: str | None
    """The options that decide which rows it has; None where it is no file."""
    options: str | None
    """How it is read, as a JSON object; None where it is no file."""
    may_pause: bool
    """Whether it may wait long between rows, so that a chunk should not wait until it is full."""
    answers_callers: bool
    """Whether those who brought a contact wait for what becomes of it, and are told of failures themselves."""
    given_again: bool
    """Whether it gives again what an earlier process took from it, to be compared before anything is sent."""

    def batches(self, consumed: Consumed = NOTHING) -> AsyncGenerator[Batch, None]:
        """Yield the rows after those that are `consumed`. Raises `JournalRefusedError` where these have changed."""

    async def has_grown(self, consumed: Consumed) -> bool:
        """Return whether there are rows behind those that are `consumed`; not where it can be read only once. Raises
        `JournalRefusedError` where those have changed, and `SourceError`."""

    def left(self) -> Sequence[Run]:
        """Return what was drawn, was not handed over, and cannot be drawn again, when its batches are closed."""

    def fraction_read(self) -> float | None:
        """Return how much of the source has been read, 0 to 1; None where that cannot be known."""


class ReadOnce:
    """A source that is no file, or one that can be read only once."""

    row_options: str | None = None
    options: str | None = None

    async def has_grown(self, consumed: Consumed) -> bool:
        return False


class GivenAgain(ReadOnce):
    """A source that is given again when an upload goes on, and hands over all that it has drawn."""

    answers_callers = False
    given_again = True

    def left(self) -> Sequence[Run]:
        return ()


class NoSource(GivenAgain):
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
