"""Rows become chunks: by number of rows and by encoded bytes. Pure: `feed` and `flush`, no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise

import attrs
import orjson

from calls_async.protocol.keys import chunk_key, digest
from calls_async.upload.rows.row import UnsentRow

_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str)
BRACKETS_BYTES = 2
PLACE_STEP = ">"
"""What stands in a place between a chunk's rows and those of a part of it."""


@attrs.frozen(slots=True)
class Mark:
    """How far a file had been read, and the SHA-256 of that much of it."""

    position: int
    """Bytes."""
    digest: bytes
    ended: bool = False
    """Whether it ended there, in the middle of a line."""


@attrs.frozen(slots=True, kw_only=True)
class ChunkContent:
    """What a chunk is made of."""

    first_row: int
    last_row: int
    rows: Sequence[int]
    phones: Sequence[str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    unsent: Sequence[UnsentRow] = attrs.field(default=(), repr=False)


@attrs.frozen(slots=True, kw_only=True)
class Chunk:
    """Consecutive rows of the source, frozen: the body and its key are never made again."""

    number: int
    """Counts from 1, in the order in which chunks are made."""
    place: str
    """The chain of row ranges from the source's chunk down to this one, such as 1-500>1-250: it goes into the key,
    for it is the same whatever happened between."""
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
    generation: int = 0
    """Where its rows were rejected before, and are sent again: for how many times now."""
    first_sent_at: float | None = None
    """When an earlier process first sent it (Unix time, seconds); its key's day began then (C-IDEM-7)."""
    first_sent_ahead: float | None = None
    """How many seconds the server's clock was ahead then; None where nobody knows."""
    digest: bytes = attrs.field(repr=False)
    """Of the body."""

    @classmethod
    def seal(
        cls, content: ChunkContent, *, number: int, upload_id: str, parent: str | None = None, generation: int = 0
    ) -> Chunk:
        """Make a chunk, with the key of its upload, place and bytes; `parent` is the place of the chunk whose rows
        these were."""
        body_digest = digest(content.body)
        place = f"{content.first_row}-{content.last_row}"
        place = f"retry{generation}:{place}" if generation else place
        place = place if parent is None else f"{parent}{PLACE_STEP}{place}"
        return cls(
            number=number,
            place=place,
            first_row=content.first_row,
            last_row=content.last_row,
            rows=content.rows,
            phones=content.phones,
            body=content.body,
            key=chunk_key(upload_id, place, body_digest),
            unsent=content.unsent,
            generation=generation,
            digest=body_digest,
        )

    def contents(self) -> list[bytes]:
        """Return the contact of each row that is sent, in its exact bytes."""
        text, start = self.body.decode(), 1
        contents = []
        for _ in self.rows:
            _, end = _SCANNER.raw_decode(text, start)
            contents.append(text[start:end].encode())
            start = end + 1
        return contents

    def divide(
        self,
        stays: Sequence[int],
        groups: Sequence[Sequence[int]],
        *,
        take_number: Callable[[], int],
        upload_id: str,
    ) -> tuple[Chunk, list[Chunk]]:
        """Return what is left when only the rows of the indexes `stays` stay, and each group of the others as a chunk
        of its own place and content. What is left keeps number, place, key and `unsent`."""
        contents = self.contents()
        picked = [self._pick(group, contents) for group in groups]
        parts = [Chunk.seal(one, number=take_number(), upload_id=upload_id, parent=self.place) for one in picked]
        return self._left(stays, contents), parts

    def keep_only(self, stays: Sequence[int]) -> Chunk:
        """Return what is left when only the rows of these indexes stay: with the same number, place and key."""
        return self._left(stays, self.contents())

    def _left(self, stays: Sequence[int], contents: Sequence[bytes]) -> Chunk:
        left = self._pick(stays, contents)
        return attrs.evolve(self, rows=left.rows, phones=left.phones, body=left.body, digest=digest(left.body))

    def _pick(self, indexes: Sequence[int], contents: Sequence[bytes]) -> ChunkContent:
        rows = [self.rows[index] for index in indexes]
        return ChunkContent(
            first_row=rows[0] if rows else self.first_row,
            last_row=rows[-1] if rows else self.last_row,
            rows=rows,
            phones=[self.phones[index] for index in indexes],
            body=b"[%b]" % b",".join([contents[index] for index in indexes]),
        )


def phones_in(body: bytes) -> list[str]:
    """Return the phones of the contacts that a chunk's body holds."""
    try:
        contacts = orjson.loads(body)
    except ValueError:  # an integer that orjson cannot hold, say
        contacts = json.loads(body)
    return [contact["phone"] for contact in contacts]


def halves(indexes: Sequence[int]) -> list[Sequence[int]]:
    """Return two groups of nearly the same size, or one where there is only one."""
    return pieces(indexes, 2)


def pieces(indexes: Sequence[int], count: int) -> list[Sequence[int]]:
    """Return `count` groups of nearly the same size, none of them empty."""
    count = min(count, len(indexes))
    bounds = [len(indexes) * n // count for n in range(count + 1)] if count else []
    return [indexes[start:stop] for start, stop in pairwise(bounds)]


@attrs.frozen(slots=True, kw_only=True)
class PastChunk:
    """Where a chunk of an earlier process stood in the source."""

    number: int
    first_row: int
    last_row: int
    rows: Sequence[int]
    digest: bytes
    mark: Mark | None
