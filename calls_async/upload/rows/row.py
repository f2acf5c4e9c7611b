"""Rows on their way into chunks: runs of contacts ready to be sent, and rows that are not sent."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
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
    """Contacts of a source, ready to be sent, in the order of their rows; and the rows between and around them that
    are not sent. Iterating gives one row at a time."""

    rows: Sequence[int]
    """The numbers of the contacts' rows."""
    phones: Sequence[str] = attrs.field(repr=False)
    text: memoryview = attrs.field(repr=False)
    """The contacts as JSON, each with a comma behind it."""
    starts: Sequence[int] = attrs.field(repr=False)
    """Where in `text` each begins, and at last where the text ends."""
    unsent: Sequence[UnsentRow] = attrs.field(default=(), repr=False)

    @classmethod
    def of(
        cls, rows: Sequence[int], phones: Sequence[str], bodies: Sequence[bytes], unsent: Sequence[UnsentRow] = ()
    ) -> EncodedRows:
        """Make a run of the contacts of these rows, at least one."""
        text = b"%b," % b",".join(bodies)
        starts = [0, *accumulate([len(body) + 1 for body in bodies])]
        return cls(as_range(rows), phones, memoryview(text), starts, unsent)

    def __len__(self) -> int:
        """Return how many contacts it has."""
        return len(self.phones)

    def __iter__(self) -> Iterator[Row]:
        passed = 0
        for index, (row, phone) in enumerate(zip(self.rows, self.phones, strict=True)):
            while passed < len(self.unsent) and self.unsent[passed].row < row:
                yield self.unsent[passed]
                passed += 1
            yield EncodedRow(row, phone, bytes(self.cut(index, index + 1)))
        yield from self.unsent[passed:]

    @property
    def last_row(self) -> int:
        """The number of its last row."""
        return max(*self.rows[-1:], *(row.row for row in self.unsent[-1:]), 0)

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

    def count_unsent_before(self, row: int) -> int:
        """Return how many rows that are not sent stand before the row of this number."""
        return bisect_left(self.unsent, row, key=_number_of) if self.unsent else 0


def as_range(rows: Sequence[int]) -> Sequence[int]:
    """Return ascending numbers of rows as a range, where none is left out."""
    whole = range(rows[0], rows[-1] + 1) if rows else range(0)
    return whole if len(whole) == len(rows) else rows


_number_of = attrgetter("row")
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
    return run.row if isinstance(run, UnsentRow) else run.last_row


BATCH_ROWS = 500
"""Rows that the row lane hands over at a time."""
BATCH_BYTES = 2**20
"""And bytes of them; a batch ends with the row that reaches it."""


class RowBuffer:
    """Rows of the row lane, one after the other, until there is a batch of them."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._phones: list[str] = []
        self._bodies: list[bytes] = []
        """Of the contacts."""
        self._unsent: list[UnsentRow] = []
        self._bytes = 0

    def add(self, row: Row) -> None:
        if not isinstance(row, EncodedRow):
            self._unsent.append(row)
            return
        self._rows.append(row.row)
        self._phones.append(row.phone)
        self._bodies.append(row.body)
        self._bytes += len(row.body)

    @property
    def full(self) -> bool:
        return len(self._rows) + len(self._unsent) >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def take(self) -> list[Run]:
        """Return the rows so far, as few runs as there can be, and begin anew."""
        rows, phones, bodies, unsent = self._rows, self._phones, self._bodies, self._unsent
        self._rows, self._phones, self._bodies, self._unsent, self._bytes = [], [], [], [], 0
        return [EncodedRows.of(rows, phones, bodies, unsent)] if rows else list(unsent)


def group_into_runs(rows: Iterable[Row]) -> list[Run]:
    """Return rows in their order, gathered into as few runs as there can be."""
    gathered = RowBuffer()
    for row in rows:
        gathered.add(row)
    return gathered.take()
