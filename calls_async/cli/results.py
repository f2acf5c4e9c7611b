"""Results files: what became of each row, as JSON Lines or CSV."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import orjson

from calls_async.errors import CallsError, ConfigurationError, SourceError
from calls_async.upload.outcomes import Outcome, Receipt

COLUMNS = ("row", "phone", "status", "job_id", "error")


def to_jsonl(outcomes: Iterable[Outcome]) -> bytes:
    return b"".join(
        orjson.dumps(
            {
                "row": one.row,
                "phone": one.phone,
                "status": one.status.value,
                "job_id": one.job_id,
                "error": one.error,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for one in outcomes
    )


def to_csv(outcomes: Iterable[Outcome]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows((one.row, one.phone, one.status.value, one.job_id, one.error) for one in outcomes)
    return text.getvalue().encode()


FORMATS: dict[str, tuple[bytes, Callable[[Iterable[Outcome]], bytes]]] = {
    ".jsonl": (b"", to_jsonl),
    ".csv": ((",".join(COLUMNS) + "\n").encode(), to_csv),
}
"""For each ending, how the file begins and how outcomes are written."""


class ResultsFile:
    """Writes the outcomes of one receipt after the other, off the event loop. Raises `CallsError` for a full disk."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        suffix = self._path.suffix.lower()
        if suffix not in FORMATS:
            raise ConfigurationError(f"--results {path}: the name must end with {' or '.join(FORMATS)}")
        self._header, self._write = FORMATS[suffix]
        self._file: BinaryIO | None = None

    async def open(self) -> None:
        await self._do(self._open)

    async def add(self, receipt: Receipt) -> None:
        await self._do(lambda: self._append(receipt))

    async def close(self) -> None:
        await self._do(self._close)

    def _open(self) -> None:
        self._file = self._path.open("wb", buffering=0)
        self._file.write(self._header)

    def _append(self, receipt: Receipt) -> None:
        if self._file is not None:
            self._file.write(self._write(receipt.outcomes()))

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    async def _do(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(work)
            return
        except OSError as error:
            reason = error.strerror or type(error).__name__
        raise CallsError(f"--results {self._path}: cannot be written: {reason}")


def read_job_ids(path: str) -> Iterator[str]:
    """The IDs of all call jobs of a results file. Raises `SourceError`."""
    name = Path(path)
    try:
        with name.open(encoding="utf-8", newline="") as file:
            if name.suffix.lower() == ".csv":
                yield from (record["job_id"] for record in csv.DictReader(file) if record["job_id"])
            else:
                yield from (job_id for line in file if (job_id := orjson.loads(line)["job_id"]))
        return
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except (KeyError, TypeError, ValueError):
        reason = "is not a results file; it needs job_id in every line"
    raise SourceError(path, reason)
