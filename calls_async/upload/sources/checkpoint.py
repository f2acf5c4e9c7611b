"""How a source that is read again is known to be the same: by the digest of what had been read of it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import attrs

from calls_async.errors import JournalRefusedError
from calls_async.protocol.keys import digest
from calls_async.upload.chunks.chunk import Mark, PastChunk
from calls_async.upload.rows.row import EncodedRow, Run, each_row, group_into_runs, last_row


@attrs.frozen(slots=True, kw_only=True)
class Consumed:
    """What earlier processes took from a source: `rows` rows, in `chunks`."""

    journal: str = ""
    rows: int = 0
    old_rows: int = 0
    """The last of them that an older version has read, which decided otherwise which lines of a file are rows."""
    chunks: Sequence[PastChunk] = ()
    options: str | None = None
    """How it was read, as `Reading.to_json` says; None: nobody knows."""
    encoding: str | None = None
    """What its text was read as, where that was found out or named."""
    shown: bool = False
    """Whether these rows are handed over, too, for somebody to look at."""

    @property
    def skipped_rows(self) -> int:
        """How many rows are not handed over."""
        return 0 if self.shown else self.rows

    def holds(self, runs: Sequence[Run]) -> bool:
        """Return whether all of these rows are among those."""
        return all(last_row(run) <= self.rows for run in runs[-1:])

    @property
    def last_chunk(self) -> PastChunk:
        """The one with the highest rows; there must be one."""
        return max(self.chunks, key=lambda chunk: chunk.last_row)

    def changed(self, chunk: PastChunk, how: str) -> JournalRefusedError:
        """Make the error for a source whose consumed part is not what it was."""
        return JournalRefusedError(
            self.journal,
            f"is of another list than this: {how} (rows {chunk.first_row} to {chunk.last_row}). Give the list as it"
            " was; or, where only rejected rows were corrected, say --retry-rejected (retry_rejected=True); or upload"
            f" another list with --journal OTHER --not-in {self.journal}, so that nobody is called twice",
        )


NOTHING = Consumed()


_LINE_ENDS = (b"\n", b"\r", b"\n\0", b"\r\0")
_LINE_STARTS = (b"\n", b"\r", b"\0\n", b"\0\r")
"""What ends a line, and what goes on with its end; in UTF-8, and in UTF-16 of both orders."""


class SupportsRead(Protocol):
    """A binary file, as far as it is read."""

    def read(self, size: int, /) -> bytes: ...


class MarkedFile:
    """Reads a binary file, notes how far, and compares that with what an earlier process noted."""

    def __init__(self, file: SupportsRead, consumed: Consumed) -> None:
        # What a pipe has said already, without waiting for more.
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        self._consumed = consumed
        self._hash = hashlib.sha256()
        self._position = 0
        self._tail = b""
        """The last bytes."""
        self._ended = False
        self._line_of: PastChunk | None = None
        """Whose last line had no end when it was taken in, where reading has got just there again."""
        marked = {chunk.mark.position: chunk for chunk in consumed.chunks if chunk.mark is not None}
        self._expected = deque(marked[position] for position in sorted(marked))
        end = self._expected[-1].mark if self._expected else None
        self._old_end = end.position if end is not None and end.ended else None
        last = max(consumed.chunks, key=lambda chunk: chunk.last_row, default=None)
        if last is not None and last.mark is None:
            raise consumed.changed(last, "it was no file that was read in this way")

    def read(self, size: int) -> bytes:
        """Return what there is, up to `size` bytes; nothing at the end. Raises `JournalRefusedError`."""
        if self._old_end is not None and self._position < self._old_end:
            # What has come since then is read apart from it: a reader can tell what was there.
            size = min(size, self._old_end - self._position)
        data = self._read(size)
        if not data:
            self._refuse_shorter()
            self._ended = True
        self._note(data)
        return data

    @property
    def compared(self) -> bool:
        """Whether all that an earlier process noted has been read and is the same."""
        return not self._expected

    @property
    def has_grown(self) -> bool:
        """Whether something has been read behind what was the file's end when it was last read."""
        return self._old_end is not None and self._position > self._old_end

    def mark(self) -> Mark:
        """Return where reading has got to."""
        return Mark(self._position, self._hash.digest(), ended=self._ended)

    def read_all(self) -> Mark:
        """Read to the end, and return where that is: for formats that are not read in order."""
        while self.read(2**20):
            pass
        return self.mark()

    def _note(self, data: bytes) -> None:
        start = 0
        while (
            self._expected
            and (mark := self._expected[0].mark)
            and mark.position <= self._position + len(data) - start
        ):
            stop = start + mark.position - self._position
            self._advance(data[start:stop])
            start = stop
            chunk = self._expected.popleft()
            if mark.digest != self._hash.digest():
                raise self._consumed.changed(chunk, f"something before byte {mark.position:,} is different")
            if mark.ended and not self._tail.endswith(_LINE_ENDS):
                self._line_of = chunk
        self._advance(data[start:])

    def _advance(self, data: bytes) -> None:
        if data and self._line_of is not None:
            if not data.startswith(_LINE_STARTS):
                raise self._consumed.changed(self._line_of, "its last line has grown")
            self._line_of = None
        self._tail = (self._tail + data[-2:])[-2:]
        self._hash.update(data)
        self._position += len(data)

    def _refuse_shorter(self) -> None:
        if self._expected:
            raise self._consumed.changed(self._expected[0], f"it ends after {self._position:,} bytes now")


@attrs.define(slots=True)
class RowCheck:
    """Compares rows that are drawn again from an iterable with the chunks that were made of them."""

    consumed: Consumed
    _bodies: dict[int, bytes] = attrs.field(factory=dict, init=False)
    _waiting: deque[PastChunk] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._waiting = deque(sorted(self.consumed.chunks, key=lambda chunk: chunk.last_row))

    def see(self, runs: Iterable[Run]) -> list[Run]:
        """Take in `runs` and return those to be handed over. Raises `JournalRefusedError`."""
        if not self.consumed.rows:
            return list(runs)
        new = []
        for row in each_row(runs):
            if row.row > self.consumed.skipped_rows:
                new.append(row)
            if row.row > self.consumed.rows:
                continue
            if isinstance(row, EncodedRow):
                self._bodies[row.row] = row.body
            while self._waiting and self._waiting[0].last_row <= row.row:
                self._compare(self._waiting.popleft())
        return group_into_runs(new)

    def end(self) -> None:
        """Note the end. Raises `JournalRefusedError` where the iterable had more to give before."""
        if self._waiting:
            raise self.consumed.changed(self._waiting[0], "it has fewer rows now")

    def _compare(self, chunk: PastChunk) -> None:
        bodies = [self._bodies.pop(row, b"") for row in chunk.rows]
        for row in [row for row in self._bodies if row <= chunk.last_row]:
            del self._bodies[row]  # rejected then, for example for its size
        if chunk.digest != digest(b"[%b]" % b",".join(bodies)):
            raise self.consumed.changed(chunk, "it gives other contacts")
