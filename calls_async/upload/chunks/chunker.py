"""Gathers rows into chunks. Pure: `feed` and `flush`, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from calls_async.upload.chunks.chunk import BRACKETS_BYTES, Chunk, ChunkContent
from calls_async.upload.rows.row import EncodedRows, Run, UnsentRow
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
    generation: int = 0
    """Of all its chunks; see `Chunk`."""
    sealed: int = attrs.field(default=0, init=False)
    """How many chunks it has made."""
    _phones: list[str] = attrs.field(factory=list, init=False)
    _spans: list[range] = attrs.field(factory=list, init=False)
    """The numbers of the rows that are sent."""
    _texts: list[memoryview] = attrs.field(factory=list, init=False)
    _unsent: list[UnsentRow] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=BRACKETS_BYTES, init=False)
    """What the body would have; with a comma behind what is there."""

    @property
    def empty(self) -> bool:
        """Whether nothing waits for its chunk to fill."""
        return not self._phones and not self._unsent

    def feed(self, runs: Iterable[Run]) -> Iterator[Chunk]:
        """Yield the chunks that `runs` fill. What is not drawn is not yet taken in."""
        for run in runs:
            if isinstance(run, UnsentRow):
                self._unsent.append(run)
                if len(self._unsent) >= self.chunk_rows:
                    yield self._seal()
            else:
                yield from self._feed(run)

    def _feed(self, run: EncodedRows) -> Iterator[Chunk]:
        start = 0
        while start < len(run):
            stop = min(len(run), start + self.chunk_rows - len(self._phones))
            stop = run.fitting(start, stop, self.chunk_bytes - self._bytes)
            if stop == start:
                size = BRACKETS_BYTES + len(run.cut(start, start + 1))
                if size > self.chunk_bytes:
                    self._unsent.append(self._too_large(run, start, size))
                    start += 1
                    continue
                if self._phones:
                    yield self._seal()
                    continue
                stop = start + 1  # more than is wanted, but not more than is allowed
            self._take_in(run, start, stop)
            start = stop
            if len(self._phones) >= self.chunk_rows:
                yield self._seal()

    def _take_in(self, run: EncodedRows, start: int, stop: int) -> None:
        text = run.cut(start, stop)
        self._texts.append(text)
        self._bytes += len(text) + _COMMA_BYTES
        self._phones += run.phones[start:stop]
        self._spans.append(range(run.first_row + start, run.first_row + stop))

    def flush(self) -> Iterator[Chunk]:
        """Yield the last chunk, if anything is left."""
        if not self.empty:
            yield self._seal()

    def _too_large(self, run: EncodedRows, index: int, size: int) -> UnsentRow:
        reason = f"row: needs {size} bytes as JSON, more than a chunk may have ({self.chunk_bytes})"
        return UnsentRow(run.first_row + index, run.phones[index], OutcomeStatus.REJECTED, reason)

    def take_number(self) -> int:
        """Return the number of the next chunk."""
        number = self.next_number
        self.next_number += 1
        return number

    def _seal(self) -> Chunk:
        phones, spans, unsent = self._phones, self._spans, self._unsent
        body = b"[%b]" % b",".join(self._texts)
        self._phones, self._spans, self._texts, self._unsent = [], [], [], []
        self._bytes = BRACKETS_BYTES
        rows = spans[0] if len(spans) == 1 else _join_spans(spans)
        ends = [*rows[:1], *rows[-1:], *(row.row for row in (unsent[:1] + unsent[-1:]))]
        self.sealed += 1
        content = ChunkContent(
            first_row=min(ends), last_row=max(ends), rows=rows, phones=phones, body=body, unsent=unsent
        )
        return Chunk.seal(content, number=self.take_number(), upload_id=self.upload_id, generation=self.generation)


def _join_spans(spans: Sequence[range]) -> Sequence[int]:
    rows = [row for span in spans for row in span]
    whole = range(rows[0], rows[-1] + 1) if rows else range(0)
    return whole if len(whole) == len(rows) else rows
