"""Gathers rows into chunks. Pure: `feed` and `flush`, no I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import attrs

from calls_async.upload.chunks.chunk import BRACKETS_BYTES, Chunk, ChunkContent
from calls_async.upload.rows.row import EncodedRows, Run, UnsentRow, as_range
from calls_async.upload.status import OutcomeStatus

_COMMA_BYTES = 1


@attrs.define(slots=True, kw_only=True)
class Chunker:
    """Gathers rows into chunks of at most `chunk_rows` contacts and `chunk_bytes` bytes of JSON.

    Rows that are not sent travel with the chunk in whose place they stood. `upload_id` goes into the keys.
    """

    upload_id: str
    chunk_rows: int
    chunk_bytes: int
    next_number: int = 1
    """Of its first chunk."""
    generation: int = 0
    """Of all its chunks; see `Chunk`."""
    sealed: int = attrs.field(default=0, init=False)
    """How many chunks it has made."""
    _numbers: Iterator[int] = attrs.field(init=False)
    _phones: list[str] = attrs.field(factory=list, init=False)
    _spans: list[Sequence[int]] = attrs.field(factory=list, init=False)
    """The numbers of the rows that are sent."""
    _texts: list[memoryview] = attrs.field(factory=list, init=False)
    _unsent: list[UnsentRow] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=BRACKETS_BYTES, init=False)
    """What the body would have; with a comma behind what is there."""

    @_numbers.default
    def _count_on(self) -> Iterator[int]:
        return count(self.next_number)

    @property
    def empty(self) -> bool:
        """Whether nothing waits for its chunk to fill."""
        return not self._phones and not self._unsent

    def feed(self, runs: Iterable[Run]) -> Iterator[Chunk]:
        """Yield the chunks that `runs` fill. What is not drawn is not yet taken in."""
        for run in runs:
            if isinstance(run, UnsentRow):
                self._unsent.append(run)
                if self._full:
                    yield self._seal()
            else:
                yield from self._feed(run)

    def _feed(self, run: EncodedRows) -> Iterator[Chunk]:
        start = passed = 0
        while start < len(run):
            stop = min(len(run), start + self.chunk_rows - len(self._phones))
            stop = run.fitting(start, stop, self.chunk_bytes - self._bytes)
            if stop == start and not run.count_unsent_before(run.rows[start]) > passed:
                size = BRACKETS_BYTES + len(run.cut(start, start + 1))
                if size > self.chunk_bytes:
                    self._unsent.append(self._too_large(run, start, size))
                    start += 1
                    if self._full:
                        yield self._seal()
                    continue
                if self._phones:
                    yield self._seal()
                    continue
                stop = start + 1  # more than is wanted, but not more than is allowed
            if run.unsent:
                stop, behind = self._limit_unsent(run, start, stop, passed)
                self._unsent += run.unsent[passed:behind]
                passed = behind
            if stop > start:
                self._take_in(run, start, stop)
                start = stop
            if self._full:
                yield self._seal()
        for row in run.unsent[passed:]:
            self._unsent.append(row)
            if self._full:
                yield self._seal()

    def _limit_unsent(self, run: EncodedRows, start: int, stop: int, passed: int) -> tuple[int, int]:
        """Return before which contact, and which row that is not sent, of a run a chunk ends that is to take the
        contacts from `start` to before `stop`, with what stands between them: no more than it may have of either."""
        behind = run.count_unsent_before(run.rows[max(start, stop - 1)])
        room = self.chunk_rows - len(self._unsent)
        if behind - passed < room:
            return stop, behind
        behind = passed + room
        return bisect_left(run.rows, run.unsent[behind - 1].row, start, stop), behind

    @property
    def _full(self) -> bool:
        return len(self._phones) >= self.chunk_rows or len(self._unsent) >= self.chunk_rows

    def _take_in(self, run: EncodedRows, start: int, stop: int) -> None:
        text = run.cut(start, stop)
        self._texts.append(text)
        self._bytes += len(text) + _COMMA_BYTES
        self._phones += run.phones[start:stop]
        self._spans.append(run.rows[start:stop])

    def flush(self) -> Iterator[Chunk]:
        """Yield the last chunk, if anything is left."""
        if not self.empty:
            yield self._seal()

    def _too_large(self, run: EncodedRows, index: int, size: int) -> UnsentRow:
        reason = f"row: needs {size} bytes as JSON, more than a chunk may have ({self.chunk_bytes})"
        return UnsentRow(run.rows[index], run.phones[index], OutcomeStatus.REJECTED, reason)

    def take_number(self) -> int:
        """Return the number of the next chunk, to whatever thread."""
        return next(self._numbers)

    def _seal(self) -> Chunk:
        phones, spans, unsent = self._phones, self._spans, self._unsent
        body = b"[%b]" % b",".join(self._texts)
        self._phones, self._spans, self._texts, self._unsent = [], [], [], []
        self._bytes = BRACKETS_BYTES
        rows = as_range(spans[0] if len(spans) == 1 else [row for span in spans for row in span])
        ends = [*rows[:1], *rows[-1:], *(row.row for row in (unsent[:1] + unsent[-1:]))]
        self.sealed += 1
        content = ChunkContent(
            first_row=min(ends), last_row=max(ends), rows=rows, phones=phones, body=body, unsent=unsent
        )
        return Chunk.seal(content, number=self.take_number(), upload_id=self.upload_id, generation=self.generation)
