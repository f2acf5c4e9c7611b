"""Sends the rejected rows of a list again: those alone, and only of the list that they stood in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calls_async.errors import JournalRefusedError
from calls_async.upload.journal.rejected_rows import RejectedRows
from calls_async.upload.rows.row import (
    HAS_JOB_HERE,
    EncodedRow,
    Row,
    Run,
    UnsentRow,
    each_row,
    group_into_runs,
    last_row,
)
from calls_async.upload.sources.formats import read_path
from calls_async.upload.sources.options import Reading
from calls_async.upload.status import OutcomeStatus

_CURE = (
    "Only rejected rows may be changed, at their places, with the same --sheet, --header-row and --skip-hidden. To"
    " send these rows alone, as a list of their own: --journal OTHER --not-in"
)


class RetryFilter:
    """Lets through the rows that were rejected, and those that were never taken in. Of all others it compares the
    number. Raises `JournalRefusedError` for another list."""

    def __init__(self, journal: str, rejected: RejectedRows, *, finished: bool) -> None:
        """Take whether everything was sent before."""
        self._journal = journal
        self._rejected = rejected
        self._last_row = 0
        self._finished = finished
        self._held: list[Run] = []
        """The rows that will be let through once all others were compared."""
        self._numbers: set[str] = set()
        """Theirs."""
        self._any = False
        """Whether a row was let through."""

    def sift(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Return those of the rows that are to be sent, or rejected once more: nothing before all that were taken in
        are known to be the same."""
        found = self._sift(runs)
        if self._last_row < self._rejected.rows:
            self._held += found
            return ()
        held, self._held = self._held, []
        self._any = self._any or bool(held or found)
        return [*held, *found] if held else found

    def _sift(self, runs: Sequence[Run]) -> Sequence[Run]:
        if not runs:
            return runs
        first = self._last_row + 1
        self._last_row = last_row(runs[-1])
        if first > self._rejected.rows:
            return runs
        if not any(self._rejected.holders[first : self._last_row + 1]) and all(map(self._is_known, runs)):
            return ()
        return group_into_runs(row for row in map(self._sifted, each_row(runs)) if row is not None)

    def end(self) -> None:
        """Note that the source has no more rows."""
        if self._last_row < self._rejected.rows:
            raise self._changed(f"it has {self._last_row:,} rows, and {self._rejected.rows:,} were taken in before")
        if self._finished and not self._any:
            done = "this upload is finished: none of its rows was rejected, and its list has no new ones"
            raise JournalRefusedError(self._journal, done)

    def _is_known(self, run: Run) -> bool:
        """Return whether all of its rows were sent under the same numbers."""
        if isinstance(run, UnsentRow) or run.unsent or not isinstance(run.rows, range):
            return False
        if last_row(run) > self._rejected.rows:
            return False
        before = self._rejected.phones[run.rows.start : run.rows.stop]
        return list(map(int, run.phones)) == list(before)

    def _sifted(self, row: Row) -> Row | None:
        rejected = self._rejected
        if row.row > rejected.rows:
            return row
        before = rejected.phones[row.row]
        if not rejected.holders[row.row]:
            if isinstance(row, EncodedRow) and before and int(row.phone) != before:
                raise self._changed(f"row {row.row} has another number than when it was sent")
            return None
        if not isinstance(row, EncodedRow):
            return row
        again = row.row in rejected.repeated and row.phone in self._numbers
        if again or int(row.phone) in rejected.called:
            # Rows may have been moved: whoever has a job gets no second one by this.
            return UnsentRow(row.row, row.phone, OutcomeStatus.DUPLICATE, HAS_JOB_HERE)
        self._numbers.add(row.phone)
        return row

    def _changed(self, how: str) -> JournalRefusedError:
        reason = f"is of another list than this: {how}. {_CURE} {self._journal}"
        return JournalRefusedError(self._journal, reason)


def compare_numbers(path: Path, reading: Reading, journal: str, rejected: RejectedRows) -> None:
    """Read a list and compare its numbers with those that were sent. Raises `JournalRefusedError` for another list,
    and `SourceError`."""
    comparing = RetryFilter(journal, rejected, finished=False)
    for batch in read_path(path, reading):
        comparing.sift(batch.runs)
    comparing.end()
