"""What is taken out of a source before anything is sent: numbers that must not be called, and repetitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from calls_async.concurrency import SerialThread
from calls_async.upload.rows.number_set import NumberSet
from calls_async.upload.rows.numbers import CHECKED, NumberRules
from calls_async.upload.rows.row import (
    EXCLUDED,
    SAME_CONTENT,
    SAME_NUMBER,
    EncodedRow,
    Row,
    Run,
    UnsentRow,
    each_row,
    group_into_runs,
)
from calls_async.upload.screening.exclusions import read_numbers
from calls_async.upload.screening.repeats import SeenContacts
from calls_async.upload.status import OutcomeStatus


class CalledBefore(NamedTuple):
    """Numbers that another upload has called: the name of its journal, and how they are read, in a thread."""

    name: str
    read: Callable[[], Iterator[str]]


class Screening:
    """Takes rows out of a source, in a thread of its own. `async with` reads the lists of `exclude`; raises
    `SourceError` for one that cannot be read."""

    def __init__(
        self,
        *,
        exclude: Sequence[Path] = (),
        called: Sequence[CalledBefore] = (),
        dedupe: bool = False,
        unique: bool = False,
        rules: NumberRules = CHECKED,
        on_hint: Callable[[str], None] | None = None,
    ) -> None:
        self._paths = exclude
        self._rules = rules.for_exclusions
        self._on_hint = on_hint
        self._lists: list[tuple[str, NumberSet]] = []
        self._called = called
        self._called_numbers: list[tuple[str, NumberSet]] = []
        self._dedupe = dedupe
        self._unique = unique
        self._seen: SeenContacts | None = None
        self._thread: SerialThread | None = None

    @property
    def needs_every_row(self) -> bool:
        """Whether it must also see the rows that an earlier process has sent."""
        return self._dedupe or self._unique

    async def __aenter__(self) -> Self:
        if not (self._paths or self._called or self.needs_every_row):
            return self
        thread = self._thread = SerialThread("screening")
        self._seen = SeenContacts() if self.needs_every_row else None
        try:
            for path in self._paths:
                numbers = await thread.submit(partial(read_numbers, path, self._rules))
                self._lists.append((str(path), numbers))
                self._hint(f"{path}: {len(numbers):,} numbers that must not be called")
            for called in self._called:
                numbers = await thread.submit(lambda called=called: NumberSet(map(int, called.read())))  # type: ignore[misc]
                self._called_numbers.append((called.name, numbers))
                self._hint(f"{called.name}: {len(numbers):,} numbers that have a job already")
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    def _hint(self, hint: str) -> None:
        if self._on_hint is not None:
            self._on_hint(hint)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread is not None:
            if self._seen is not None:
                await self._thread.run(self._seen.close)
            self._thread.close()

    async def sift(self, runs: Sequence[Run], *, known: int) -> Sequence[Run]:
        """Return the rows after the row `known`, with those that must not be sent marked."""
        if self._thread is None or not runs:
            return runs
        return await self._thread.submit(
            lambda: group_into_runs(row for row in map(self._sifted, each_row(runs)) if row.row > known)
        )

    def excluded(self, phones: Iterable[str]) -> dict[int, str]:
        """Return which of `phones` must not be called, by index, and why."""
        reasons = {}
        for index, phone in enumerate(phones):
            if (reason := self._excluded(phone)) is not None:
                reasons[index] = reason
        return reasons

    def _excluded(self, phone: str) -> str | None:
        for name, numbers in self._lists:
            if int(phone) in numbers:
                return f"{EXCLUDED}{name}"
        return None

    def _sifted(self, row: Row) -> Row:
        if not isinstance(row, EncodedRow):
            return row
        if (reason := self._excluded(row.phone)) is not None:
            return UnsentRow(row.row, row.phone, OutcomeStatus.REJECTED, reason)
        if (reason := self._find_duplicate(row)) is not None:
            return UnsentRow(row.row, row.phone, OutcomeStatus.DUPLICATE, reason)
        return row

    def _find_duplicate(self, row: EncodedRow) -> str | None:
        """Return why nobody need be called by a row once more; None where that is not so."""
        for name, numbers in self._called_numbers:
            if int(row.phone) in numbers:
                return f"has a job by {name}"
        if self._seen is None:
            return None
        if self._dedupe and (first := self._seen.find_first_row(row)) != row.row:
            return f"{SAME_CONTENT}{first}"
        if self._unique and (first := self._seen.find_first_of_number(row)) != row.row:
            return f"{SAME_NUMBER}{first}"
        return None
