"""Rows become chunks: by number of rows and by encoded bytes. Pure: `feed` and `flush`, no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import attrs
import orjson

from calls_async.protocol.keys import chunk_key, digest
from calls_async.upload.runs import EncodedRows, Run, UnsentRow
from calls_async.upload.status import OutcomeStatus

_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str)
BRACKETS_BYTES = 2
_COMMA_BYTES = 1


@attrs.frozen(slots=True)
class Mark:
    """How far a file had been read, and the SHA-256 of that much of it."""

    position: int
    """Bytes."""
    digest: bytes


@attrs.frozen(slots=True, kw_only=True)
class Chunk:
    """Consecutive rows of the source, frozen: the body and its key are never made again."""

    number: int
    """Counts from 1 in the order of the source."""
    first_row: int
    last_row: int
    """The rows that it covers, those that are not sent among them."""
    rows: Sequence[int]
    """The rows that are sent."""
    phones: Sequence[str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    """The JSON array of the contacts; `[]` where no row is sent."""
    key: str
    unsent: Sequence[UnsentRow] = attrs.field(default=(), repr=False)
    """The rows that are not."""
    first_sent_at: float | None = None
    """When an earlier process first sent it (Unix time, seconds); its key's day began then (C-IDEM-7)."""
    digest: bytes = attrs.field(repr=False)
    """Of the body."""

    @classmethod
    def new(cls, *, number: int, body: bytes, upload_id: str, **fields: Any) -> Chunk:
        """With the key of its place and content."""
        body_digest = digest(body)
        return cls(
            number=number, body=body, key=chunk_key(upload_id, str(number), body_digest), digest=body_digest, **fields
        )

    def contents(self) -> list[bytes]:
        """The contact of each row that is sent, in its exact bytes."""
        text, start = self.body.decode(), 1
        contents = []
        for _ in self.rows:
            _, end = _SCANNER.raw_decode(text, start)
            contents.append(text[start:end].encode())
            start = end + 1
        return contents

    def divide(
        self, stays: Sequence[int], groups: Sequence[Sequence[int]], *, take_number: Callable[[], int], upload_id: str
    ) -> tuple[Chunk, list[Chunk]]:
        """What is left of it when only the rows of the indexes `stays` stay, and each group of the others as a chunk
        of its own place and content. What is left keeps number, key and `unsent`."""
        contents = self.contents()

        def pick(indexes: Sequence[int]) -> dict[str, Any]:
            return {
                "rows": [self.rows[index] for index in indexes],
                "phones": [self.phones[index] for index in indexes],
                "body": b"[%b]" % b",".join([contents[index] for index in indexes]),
            }

        parts = []
        for group in groups:
            picked = pick(group)
            first, last = picked["rows"][0], picked["rows"][-1]
            parts.append(
                Chunk.new(number=take_number(), first_row=first, last_row=last, upload_id=upload_id, **picked)
            )
        left = pick(stays)
        return attrs.evolve(self, digest=digest(left["body"]), **left), parts


def phones_in(body: bytes) -> list[str]:
    """The phones of the contacts that a chunk's body holds."""
    try:
        contacts = orjson.loads(body)
    except ValueError:  # an integer that orjson cannot hold, say
        contacts = json.loads(body)
    return [contact["phone"] for contact in contacts]


def halves(indexes: Sequence[int]) -> list[Sequence[int]]:
    """Two groups of nearly the same size, or one where there is only one."""
    return pieces(indexes, 2)


def pieces(indexes: Sequence[int], count: int) -> list[Sequence[int]]:
    """`count` groups of nearly the same size, none of them empty."""
    count = min(count, len(indexes))
    bounds = [len(indexes) * n // count for n in range(count + 1)] if count else []
    return [indexes[start:stop] for start, stop in pairwise(bounds)]


@attrs.define(slots=True, kw_only=True)
class Chunker:
    """Gathers rows into chunks of at most `chunk_rows` contacts and `chunk_bytes` bytes of JSON.

    Rows that are not sent travel with the chunk in whose place they stood. `upload_id` goes into the keys.
    `wanted_bytes`, what the server is known to take, makes chunks smaller, but rejects no row.
    """

    upload_id: str
    chunk_rows: int
    chunk_bytes: int
    wanted_bytes: int | None = None
    next_number: int = 1
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
        return not self._phones and not self._unsent

    def feed(self, runs: Iterable[Run]) -> Iterator[Chunk]:
        """The chunks that `runs` fill. What is not drawn is not yet taken in."""
        for run in runs:
            if isinstance(run, UnsentRow):
                self._unsent.append(run)
                if len(self._unsent) >= self.chunk_rows:
                    yield self._seal()
            else:
                yield from self._feed(run)

    def _feed(self, run: EncodedRows) -> Iterator[Chunk]:
        most = min(self.chunk_bytes, self.wanted_bytes or self.chunk_bytes)
        start = 0
        while start < len(run):
            stop = min(len(run), start + self.chunk_rows - len(self._phones))
            stop = run.fitting(start, stop, most - self._bytes)
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
        """The last chunk, if anything is left."""
        if not self.empty:
            yield self._seal()

    def _too_large(self, run: EncodedRows, index: int, size: int) -> UnsentRow:
        reason = f"row: needs {size} bytes as JSON, more than a chunk may have ({self.chunk_bytes})"
        return UnsentRow(run.first_row + index, run.phones[index], OutcomeStatus.REJECTED, reason)

    def take_number(self) -> int:
        """The number of the next chunk."""
        number = self.next_number
        self.next_number += 1
        return number

    def _seal(self) -> Chunk:
        phones, spans, unsent = self._phones, self._spans, self._unsent
        body = b"[%b]" % b",".join(self._texts)
        self._phones, self._spans, self._texts, self._unsent = [], [], [], []
        self._bytes = BRACKETS_BYTES
        rows = spans[0] if len(spans) == 1 else _rows_of(spans)
        ends = [*rows[:1], *rows[-1:], *(row.row for row in (unsent[:1] + unsent[-1:]))]
        self.sealed += 1
        number = self.take_number()
        return Chunk.new(
            number=number,
            first_row=min(ends),
            last_row=max(ends),
            rows=rows,
            phones=phones,
            body=body,
            unsent=unsent,
            upload_id=self.upload_id,
        )


def _rows_of(spans: Sequence[range]) -> Sequence[int]:
    rows = [row for span in spans for row in span]
    whole = range(rows[0], rows[-1] + 1) if rows else range(0)
    return whole if len(whole) == len(rows) else rows
