"""Names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from calls_async.errors import ConfigurationError, ContactError
from calls_async.protocol.phones import normalise_phone
from calls_async.upload.outcomes.outcome import Outcome
from calls_async.upload.outcomes.results_file import read_results
from calls_async.upload.sources.slices import Drawing, in_slices
from calls_async.upload.status import OutcomeStatus

JobId = str | int | Outcome
JobIds = str | Path | Iterable[JobId] | AsyncIterable[JobId]
Phones = Iterable[str | int] | AsyncIterable[str | int]
_RESULTS = (".jsonl", ".csv")


class _Job(NamedTuple):
    """What names a call job, or the jobs of a number."""

    name: str
    by_phone: bool
    place: str
    """Where it stood, for errors."""


def _job_of(name: Any, place: str, *, by_phone: bool) -> _Job | None:
    """None: an outcome without a job. Raises `ContactError`."""
    if isinstance(name, Outcome):
        if name.job_id is not None:
            return _Job(name.job_id, False, f"row {name.row}")
        if name.status is not OutcomeStatus.UNKNOWN or name.phone is None:
            return None
        name, by_phone, place = name.phone, True, f"row {name.row}"  # it may have a job, whose ID nobody knows
    if by_phone:
        return _Job(normalise_phone(name), True, place)
    text = str(name).strip() if isinstance(name, str | int) and not isinstance(name, bool) else ""
    if not text or not text.isprintable():
        raise ContactError("ids", f"{name!r:.40} is no ID; give a string or a whole number")
    return _Job(text, False, place)


def _lists_of(names: Any, what: str) -> AsyncGenerator[list[Any], None]:
    """Raises `ConfigurationError` for what gives no names."""
    if isinstance(names, str | Path):
        if what == "phones" or Path(names).suffix.lower() not in _RESULTS:
            raise ConfigurationError(
                f"{what} must be a list, or something else to iterate over"
                + ("" if what == "phones" else ", or a results file (.jsonl or .csv)")
            )
        return _read_in_thread(Path(names))
    if isinstance(names, AsyncIterable):
        return Drawing(names).lists()
    if not isinstance(names, bytes | bytearray | memoryview) and isinstance(names, Iterable):
        return in_slices(names)
    raise ConfigurationError(f"{what} must be a list, or something else to iterate over")


async def _read_in_thread(path: Path) -> AsyncGenerator[list[Outcome], None]:
    lists = read_results(path)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="calls_async-results") as thread:
        while (some := await loop.run_in_executor(thread, next, lists, None)) is not None:
            yield some
