"""All that an upload does, but for sending: every row that would be rejected, and every repetition."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.outcomes.outcome import Receipt, Summary, Verdict
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.source import Source
from calls_async.upload.status import OutcomeStatus


class Check:
    """Reads a source as an upload would. Iterating gives receipts, in which `accepted` means fit to be sent."""

    def __init__(self, source: Source, settings: UploadSettings, screening: Screening) -> None:
        self.summary = Summary(upload_id="")
        self._source = source
        self._settings = settings
        self._screening = screening

    def fraction_read(self) -> float | None:
        """Return how much of the source has been read, 0 to 1; None where that cannot be known."""
        return self._source.fraction_read()

    async def receipts(self) -> AsyncGenerator[Receipt, None]:
        """Yield one receipt a chunk. Raises `SourceError`."""
        settings = self._settings
        chunker = Chunker(upload_id="", chunk_rows=settings.chunk_rows, chunk_bytes=settings.chunk_bytes)
        async with self._screening, aclosing(self._source.batches()) as batches:
            async for batch in batches:
                for chunk in chunker.feed(await self._screening.sift(batch.runs, known=0)):
                    yield self._receipt(chunk)
        for chunk in chunker.flush():
            yield self._receipt(chunk)

    def _receipt(self, chunk: Chunk) -> Receipt:
        receipt = Receipt.of(chunk, Verdict.all(OutcomeStatus.ACCEPTED, len(chunk.rows), None))
        self.summary.add(receipt)
        return receipt
