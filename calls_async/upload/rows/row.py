"""Rows on their way into chunks: runs of contacts ready to be sent, and rows that are not sent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import attrs

from calls_async.upload.status import OutcomeStatus


class EncodedRow(NamedTuple):
    """A contact, ready to be sent."""

    row: int
    phone: str
    body: bytes


class UnsentRow(NamedTuple):
    """A row that is not sent: it cannot be a contact, must not be called, or says the same as an earlier one."""

    row: int
    phone: str | None
    status: OutcomeStatus
    error: str
    fields: Mapping[str, Any] | None = None
    """What stands in it, where somebody asked for that, or where it can be no row at all."""


EXCLUDED = "excluded by "
SAME_CONTENT, SAME_NUMBER = "says the same as row ", "has the number of row "
HAS_JOB_HERE = "has a job by another row of this list"
"""Why rows are not sent: how their reasons begin."""

Row = EncodedRow | UnsentRow


def at_line(line: int, row: Row) -> Row:
    """Say in which line of its file a row stands, where it is not sent."""
    return row._replace(error=f"line {line}: {row.error}") if isinstance(row, UnsentRow) else row


@attrs.frozen(slots=True)
class EncodedRows:
    """Consecutive contacts of a source, ready to be sent. Iterating gives them one at a time."""

    first_row: int
    phones: Sequence[str] = attrs.field(repr=False)
    text: memoryview = attrs.field(repr=False)
    """The contacts as JSON, each with a comma behind it."""
    starts: Sequence[int] = attrs.field(repr=False)
    """Where in `text` each begins, and at last where the text ends."""

    @classmethod
    def of(cls, first_row: int, phones: Sequence[str], bodies: Sequence[bytes]) -> EncodedRows:
        """Make a run of the contacts of consecutive rows, at least one."""
        text = b"%b," % b",".join(bodies)
        starts = [0, *accumulate([len(body) + 1 for body in bodies])]
        return cls(first_row, phones, memoryview(text), starts)

    def __len__(self) -> int:
        return len(self.phones)

    def __iter__(self) -> Iterator[EncodedRow]:
        for index, phone in enumerate(self.phones):
            yield EncodedRow(self.first_row + index, phone, bytes(self.cut(index, index + 1)))

    def part(self, start: int, stop: int) -> EncodedRows:
        """Return the contacts from index `start` to before `stop`."""
        return EncodedRows(self.first_row + start, self.phones[start:stop], self.text, self.starts[start : stop + 1])

    def cut(self, start: int, stop: int) -> memoryview:
        """Return the contacts from index `start` to before `stop`, with commas between them."""
        return self.text[self.starts[start] : self.starts[stop] - 1]

    def fitting(self, start: int, stop: int, size_bytes: int) -> int:
        """Return the highest index up to `stop` before which the contacts from `start` on, commas between them, have
        at most `size_bytes`; `start` where not even one has."""
        end = self.starts[start] + size_bytes + 1
        if self.starts[stop] <= end:
            return stop
        return max(start, bisect_right(self.starts, end, start, stop + 1) - 1)


Run = EncodedRows | UnsentRow


def each_row(runs: Iterable[Run]) -> Iterator[Row]:
    """Yield the rows of all runs, one at a time."""
    for run in runs:
        if isinstance(run, UnsentRow):
            yield run
        else:
            yield from run


def last_row(run: Run) -> int:
    """Return the number of its last row."""
    return run.row if isinstance(run, UnsentRow) else run.first_row + len(run) - 1


BATCH_ROWS = 500
"""Rows that the row lane hands over at a time."""
BATCH_BYTES = 2**20
"""And bytes of them; a batch ends with the row that reaches it."""


class RowBuffer:
    """Rows of the row lane, one after the other, until there is a batch of them."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._first_row = 0
        """Of the contacts that are no run yet."""
        self._phones: list[str] = []
        self._bodies: list[bytes] = []
        self._rows = 0
        self._bytes = 0

    def add(self, row: Row) -> None:
        self._rows += 1
        if not isinstance(row, EncodedRow):
            self._end_run()
            self._runs.append(row)
            return
        if row.row != self._first_row + len(self._phones):
            self._end_run()
        if not self._phones:
            self._first_row = row.row
        self._phones.append(row.phone)
        self._bodies.append(row.body)
        self._bytes += len(row.body)

    @property
    def full(self) -> bool:
        return self._rows >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def take(self) -> list[Run]:
        self._end_run()
        runs, self._runs = self._runs, []
        self._rows = self._bytes = 0
        return runs

    def _end_run(self) -> None:
        if self._phones:
            self._runs.append(EncodedRows.of(self._first_row, self._phones, self._bodies))
            self._phones, self._bodies = [], []


def group_into_runs(rows: Iterable[Row]) -> list[Run]:
    """Return rows in their order, gathered into as few runs as there can be."""
    gathered = RowBuffer()
    for row in rows:
        gathered.add(row)
    return gathered.take()
