"""All that an upload does, but for sending: every row that would be rejected, and every repetition."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from calls_async.upload.chunks import Chunk, Chunker
from calls_async.upload.outcomes import OutcomeStatus, Receipt, Summary, Verdict
from calls_async.upload.rows import EncodedRow, Row
from calls_async.upload.sources import Source
from calls_async.upload.uploader import UploadSettings

_DIGEST_BYTES = 8


class Check:
    """Reads a source as an upload would. Iterating gives receipts, in which `accepted` means fit to be sent and
    `duplicate` that an earlier row says exactly the same.

    Remembers 8 bytes of digest for each row, about 70 MB a million rows.
    """

    def __init__(self, source: Source, settings: UploadSettings) -> None:
        self.summary = Summary(upload_id="")
        self._source = source
        self._settings = settings
        self._seen: set[bytes] = set()
        self._repeated: set[int] = set()

    def fraction_read(self) -> float | None:
        """How much of the source has been read, 0 to 1; None where that cannot be known."""
        return self._source.fraction_read()

    async def receipts(self) -> AsyncGenerator[Receipt, None]:
        """One receipt a chunk. Raises `SourceError`."""
        settings = self._settings
        chunker = Chunker(upload_id="", chunk_rows=settings.chunk_rows, chunk_bytes=settings.chunk_bytes)
        async with aclosing(self._source.batches()) as batches:
            async for batch in batches:
                for chunk in chunker.feed(map(self._note, batch.rows)):
                    yield self._receipt(chunk)
        for chunk in chunker.flush():
            yield self._receipt(chunk)

    def _note(self, row: Row) -> Row:
        if isinstance(row, EncodedRow):
            digest = hashlib.blake2b(row.body, digest_size=_DIGEST_BYTES).digest()
            if digest in self._seen:
                self._repeated.add(row.row)
            self._seen.add(digest)
        return row

    def _receipt(self, chunk: Chunk) -> Receipt:
        statuses = [
            OutcomeStatus.DUPLICATE if row in self._repeated else OutcomeStatus.ACCEPTED for row in chunk.rows
        ]
        self._repeated.difference_update(chunk.rows)
        nothing = [None] * len(statuses)
        receipt = Receipt.of(chunk, Verdict(statuses=statuses, job_ids=nothing, errors=nothing))
        self.summary.add(receipt)
        return receipt
