"""Chunk table."""

from __future__ import annotations

from collections.abc import Sequence

from calls_async.upload.journal.codec import unsent_from_json


def _sent_rows(first: int, last: int, unsent: str) -> Sequence[int]:
    """The rows of the source that a chunk was made of: all that it covers, but those that were not sent."""
    if unsent == "[]":
        return range(first, last + 1)
    left_out = {row.row for row in unsent_from_json(unsent)}
    return [row for row in range(first, last + 1) if row not in left_out]
