"""Codec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.rows.row import UnsentRow
from calls_async.upload.status import OutcomeStatus


def to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def rows_to_json(chunk: Chunk) -> str | None:
    whole = len(chunk.rows) == chunk.last_row - chunk.first_row + 1
    return None if whole else to_json(list(chunk.rows))


def rows_from_json(rows: str | None, first: int, last: int) -> Sequence[int]:
    return range(first, last + 1) if rows is None else orjson.loads(rows)


def unsent_to_json(rows: Sequence[UnsentRow]) -> str:
    return to_json([list(row) for row in rows])


def unsent_from_json(text: str) -> list[UnsentRow]:
    return [UnsentRow(row, phone, OutcomeStatus(status), error) for row, phone, status, error in orjson.loads(text)]


def verdict_to_json(verdict: Verdict) -> str:
    return to_json(
        {
            "statuses": _folded(verdict.statuses),
            "job_ids": list(verdict.job_ids) if any(verdict.job_ids) else None,
            "errors": _folded(verdict.errors),
        }
    )


def _folded(values: Sequence[Any]) -> Any:
    """One value in place of a list of equal ones."""
    return values[0] if values and values.count(values[0]) == len(values) else list(values)


def verdict_from_json(text: str, count: int) -> Verdict:
    fields = orjson.loads(text)
    statuses, job_ids, errors = (
        value if isinstance(value, list) else [value] * count
        for value in (fields["statuses"], fields["job_ids"], fields["errors"])
    )
    return Verdict(statuses=[OutcomeStatus(status) for status in statuses], job_ids=job_ids, errors=errors)
