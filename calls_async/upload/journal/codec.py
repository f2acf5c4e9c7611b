"""Rows and verdicts as the JSON that a journal holds, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.rows.row import UnsentRow
from calls_async.upload.status import OutcomeStatus


def to_json(value: Any) -> str:
    """Return a value as JSON text."""
    return orjson.dumps(value).decode()


def rows_to_json(chunk: Chunk) -> str | None:
    """Return the rows that a chunk sends; None where it sends all that it covers."""
    whole = len(chunk.rows) == chunk.last_row - chunk.first_row + 1
    return None if whole else to_json(list(chunk.rows))


def rows_from_json(rows: str | None, first: int, last: int) -> Sequence[int]:
    """Read what `rows_to_json` returned."""
    return range(first, last + 1) if rows is None else orjson.loads(rows)


def unsent_to_json(rows: Sequence[UnsentRow]) -> str:
    """Return the rows that are not sent as [row, phone, status, error]."""
    return to_json([[row.row, row.phone, row.status, row.error] for row in rows])


def unsent_from_json(text: str) -> list[UnsentRow]:
    """Read what `unsent_to_json` returned."""
    return [UnsentRow(row, phone, OutcomeStatus(status), error) for row, phone, status, error in orjson.loads(text)]


def verdict_to_json(verdict: Verdict) -> str:
    """Return a verdict as an object of lists, or of one value where all are equal."""
    return to_json(
        {
            "statuses": _fold(verdict.statuses),
            "job_ids": list(verdict.job_ids) if any(verdict.job_ids) else None,
            "errors": _fold(verdict.errors),
        }
    )


def _fold(values: Sequence[Any]) -> Any:
    """Return one value in place of a list of equal ones."""
    return values[0] if values and values.count(values[0]) == len(values) else list(values)


def verdict_from_json(text: str, count: int) -> Verdict:
    """Read what `verdict_to_json` returned, for `count` rows."""
    fields = orjson.loads(text)
    statuses, job_ids, errors = (
        value if isinstance(value, list) else [value] * count
        for value in (fields["statuses"], fields["job_ids"], fields["errors"])
    )
    return Verdict(statuses=[OutcomeStatus(status) for status in statuses], job_ids=job_ids, errors=errors)
