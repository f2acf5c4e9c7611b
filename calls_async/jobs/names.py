"""What names call jobs: IDs, phones, outcomes, results files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from calls_async.concurrency import iterate_in_thread
from calls_async.errors import ConfigurationError, ContactError
from calls_async.protocol.phones import AsGiven, normalise_phone
from calls_async.upload.outcomes.outcome import Outcome
from calls_async.upload.outcomes.results_file import RESULTS_FORMATS, WORKBOOK, read_results
from calls_async.upload.sources.slices import AsyncSlices, sliced
from calls_async.upload.status import OutcomeStatus

JobId = str | int | Outcome
JobIds = str | Path | Iterable[JobId] | AsyncIterable[JobId]
Phones = Iterable[str | int] | AsyncIterable[str | int]


class JobName(NamedTuple):
    """What names a call job, or the jobs of a number."""

    name: str
    by_phone: bool
    place: str
    """Where it stood, for errors."""


def read_name(name: Any, place: str, *, by_phone: bool) -> JobName | None:
    """Return what names a job; None for an outcome without one. Raises `ContactError`."""
    if isinstance(name, Outcome):
        if name.job_id is not None:
            return JobName(name.job_id, False, f"row {name.row}")
        if name.status is not OutcomeStatus.UNKNOWN or name.phone is None:
            return None
        # It may have a job, whose ID nobody knows; and it is asked for as it was sent.
        name, by_phone, place = AsGiven(name.phone), True, f"row {name.row}"
    if by_phone:
        return JobName(normalise_phone(name), True, place)
    text = str(name).strip() if isinstance(name, str | int) and not isinstance(name, bool) else ""
    if not text or not text.isprintable():
        raise ContactError("ids", f"{name!r:.40} is no ID; give a string or a whole number")
    return JobName(text, False, place)


def open_names(names: Any, what: str) -> AsyncGenerator[list[Any], None]:
    """Return what yields lists of names; `what` they are goes into the error. Raises `ConfigurationError`."""
    if isinstance(names, str | Path):
        if what == "phones" or Path(names).suffix.lower() not in (*RESULTS_FORMATS, WORKBOOK):
            raise ConfigurationError(
                f"{what} must be a list, or something else to iterate over"
                + ("" if what == "phones" else ", or a results file (.jsonl, .csv or .xlsx)")
            )
        return iterate_in_thread(read_results(Path(names)), "results")
    if isinstance(names, AsyncIterable):
        return AsyncSlices(names).lists()
    if not isinstance(names, bytes | bytearray | memoryview) and isinstance(names, Iterable):
        return sliced(names)
    raise ConfigurationError(f"{what} must be a list, or something else to iterate over")
