"""Source."""

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
    seals: bool = False
    """Whether its last rows do not wait for others to fill their chunk."""


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
