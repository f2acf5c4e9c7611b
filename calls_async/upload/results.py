"""Results files: what an upload wrote down of each row, read again."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import orjson

from calls_async.errors import SourceError
from calls_async.upload.outcomes import Outcome
from calls_async.upload.status import OutcomeStatus

LINES_AT_A_TIME = 500


def read_results(path: Path) -> Iterator[list[Outcome]]:
    """The outcomes in a results file (`.jsonl`, or `.csv`), in lists. Raises `SourceError`, with the line."""
    read = 0
    some: list[Outcome] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            records = csv.DictReader(file) if path.suffix.lower() == ".csv" else map(orjson.loads, file)
            for record in records:
                row, status = int(record.get("row") or read + 1), OutcomeStatus(record["status"])
                some.append(Outcome(row, record["phone"] or None, status, record["job_id"] or None))
                read += 1
                if len(some) >= LINES_AT_A_TIME:
                    yield some
                    some = []
        yield some
        return
    except GeneratorExit:
        raise
    except OSError as error:
        place, reason = None, f"cannot be read: {error.strerror}"
    except (AttributeError, KeyError, TypeError, ValueError, csv.Error):
        place = f"record {read + 1}"
        reason = "is not a line of a results file; it needs phone, status and job_id"
    if some:
        yield some  # what was read before is not lost
    raise SourceError(str(path), reason, place)
