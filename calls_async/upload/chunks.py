"""Rows become chunks: by number of rows and by encoded bytes. Pure: `feed` and `flush`, no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import attrs

from calls_async.protocol.keys import chunk_key, digest
from calls_async.upload.rows import EncodedRow, Row, UnsentRow
from calls_async.upload.status import OutcomeStatus

_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str)
_BRACKETS_BYTES = 2
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
            number, picked = take_number(), pick(group)
            parts.append(
                Chunk(
                    number=number,
                    first_row=picked["rows"][0],
                    last_row=picked["rows"][-1],
                    key=chunk_key(upload_id, str(number), digest(picked["body"])),
                    **picked,
                )
            )
        return attrs.evolve(self, **pick(stays)), parts


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
    _sent: list[EncodedRow] = attrs.field(factory=list, init=False)
    _unsent: list[UnsentRow] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=_BRACKETS_BYTES, init=False)

    @property
    def empty(self) -> bool:
        return not self._sent and not self._unsent

    def feed(self, rows: Iterable[Row]) -> Iterator[Chunk]:
        """The chunks that `rows` fill. Draw them all: what is not drawn is not yet taken in."""
        most = min(self.chunk_bytes, self.wanted_bytes or self.chunk_bytes)
        for row in rows:
            if isinstance(row, UnsentRow):
                self._unsent.append(row)
                if len(self._unsent) >= self.chunk_rows:
                    yield self._seal()
                continue
            size = len(row.body) + _COMMA_BYTES
            if self._bytes + size - _COMMA_BYTES > most:
                if _BRACKETS_BYTES + len(row.body) > self.chunk_bytes:
                    self._unsent.append(self._too_large(row))
                    continue
                if self._sent:
                    yield self._seal()
            self._sent.append(row)
            self._bytes += size
            if len(self._sent) >= self.chunk_rows:
                yield self._seal()

    def flush(self) -> Iterator[Chunk]:
        """The last chunk, if anything is left."""
        if not self.empty:
            yield self._seal()

    def _too_large(self, row: EncodedRow) -> UnsentRow:
        size = _BRACKETS_BYTES + len(row.body)
        reason = f"row: needs {size} bytes as JSON, more than a chunk may have ({self.chunk_bytes})"
        return UnsentRow(row.row, row.phone, OutcomeStatus.REJECTED, reason)

    def take_number(self) -> int:
        """The number of the next chunk."""
        number = self.next_number
        self.next_number += 1
        return number

    def _seal(self) -> Chunk:
        sent, unsent = self._sent, self._unsent
        self._sent, self._unsent, self._bytes = [], [], _BRACKETS_BYTES
        rows = [row.row for row in sent]
        body = b"[%b]" % b",".join([row.body for row in sent])
        ends = [part[end] for part in (rows, [row.row for row in unsent]) if part for end in (0, -1)]
        self.sealed += 1
        number = self.take_number()
        return Chunk(
            number=number,
            first_row=min(ends),
            last_row=max(ends),
            rows=rows,
            phones=[row.phone for row in sent],
            body=body,
            key=chunk_key(self.upload_id, str(number), digest(body)),
            unsent=unsent,
        )
