"""Rows become chunks: by number of rows and by encoded bytes. Pure: `feed` and `flush`, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs
import orjson

from calls_async.protocol.keys import chunk_key, digest
from calls_async.upload.rows import EncodedRow, RejectedRow, Row

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
    """The rows that it covers, rejected ones among them."""
    rows: Sequence[int]
    """The rows that are sent."""
    phones: Sequence[str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    """The JSON array of the contacts; `[]` where every row was rejected."""
    key: str
    rejected: Sequence[RejectedRow] = attrs.field(default=(), repr=False)
    first_sent_at: float | None = None
    """When an earlier process first sent it (Unix time, seconds); its key's day began then (C-IDEM-7)."""

    def contents(self) -> list[bytes]:
        """The contact of each row that is sent, for comparing them."""
        return [orjson.dumps(contact) for contact in orjson.loads(self.body)]


@attrs.define(slots=True, kw_only=True)
class Chunker:
    """Gathers rows into chunks of at most `chunk_rows` contacts and `chunk_bytes` bytes of JSON.

    Rejected rows travel with the chunk in whose place they stood. `upload_id` goes into the keys.
    """

    upload_id: str
    chunk_rows: int
    chunk_bytes: int
    next_number: int = 1
    _sent: list[EncodedRow] = attrs.field(factory=list, init=False)
    _rejected: list[RejectedRow] = attrs.field(factory=list, init=False)
    _bytes: int = attrs.field(default=_BRACKETS_BYTES, init=False)

    @property
    def empty(self) -> bool:
        return not self._sent and not self._rejected

    def feed(self, rows: Iterable[Row]) -> Iterator[Chunk]:
        """The chunks that `rows` fill. Draw them all: what is not drawn is not yet taken in."""
        for row in rows:
            if isinstance(row, RejectedRow):
                self._rejected.append(row)
                if len(self._rejected) >= self.chunk_rows:
                    yield self._seal()
                continue
            size = len(row.body) + _COMMA_BYTES
            if self._bytes + size - _COMMA_BYTES > self.chunk_bytes:
                if _BRACKETS_BYTES + len(row.body) > self.chunk_bytes:
                    self._rejected.append(self._too_large(row))
                    continue
                yield self._seal()
            self._sent.append(row)
            self._bytes += size
            if len(self._sent) >= self.chunk_rows:
                yield self._seal()

    def flush(self) -> Iterator[Chunk]:
        """The last chunk, if anything is left."""
        if not self.empty:
            yield self._seal()

    def _too_large(self, row: EncodedRow) -> RejectedRow:
        size = _BRACKETS_BYTES + len(row.body)
        reason = f"needs {size} bytes as JSON, more than a chunk may have ({self.chunk_bytes})"
        return RejectedRow(row.row, row.phone, "row", reason)

    def _seal(self) -> Chunk:
        sent, refused = self._sent, self._rejected
        self._sent, self._rejected, self._bytes = [], [], _BRACKETS_BYTES
        rows = [row.row for row in sent]
        body = b"[%b]" % b",".join([row.body for row in sent])
        ends = [part[end] for part in (rows, [row.row for row in refused]) if part for end in (0, -1)]
        number = self.next_number
        self.next_number += 1
        return Chunk(
            number=number,
            first_row=min(ends),
            last_row=max(ends),
            rows=rows,
            phones=[row.phone for row in sent],
            body=body,
            key=chunk_key(self.upload_id, str(number), digest(body)),
            rejected=refused,
        )
