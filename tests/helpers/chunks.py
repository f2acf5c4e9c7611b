"""Chunks of contacts in their exact bytes."""

from __future__ import annotations

from calls_async.upload.chunks.chunk import Chunk, ChunkContent


def chunk_of(number: int, *contacts: bytes) -> Chunk:
    content = ChunkContent(
        first_row=number,
        last_row=number + len(contacts) - 1,
        rows=range(number, number + len(contacts)),
        phones=["16500000000"] * len(contacts),
        body=b"[%b]" % b",".join(contacts),
    )
    return Chunk.seal(content, number=number, upload_id="upload")


CONTACT = b'{"phone":"16500000000"}'
