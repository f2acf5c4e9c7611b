"""Rows that are written together, by one statement for many."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import attrs


@attrs.frozen(slots=True)
class Bulk:
    """A statement that takes many rows at once: `before`, so many times `row`, with commas between, and `behind`.

    Each statement that is carried out gives the interpreter's lock away, and waits for it while the event loop is
    busy: with one a row, a commit of 12 took 6 ms, a third of which was work.
    """

    order: int
    """Of those that wait, a lower one is carried out before a higher one."""
    before: str
    row: str
    behind: str = ""

    def spell(self, count: int) -> str:
        """Return the statement for so many rows."""
        return f"{self.before}{', '.join([self.row] * count)}{self.behind}"


MOST_ROWS = 24
"""As many at once: each number of rows is a statement of its own, which SQLite must read and remember."""


class WaitingRows:
    """Rows that wait to be written, by the bulk of each."""

    def __init__(self) -> None:
        self._rows: dict[Bulk, list[Sequence[Any]]] = {}

    def add(self, bulk: Bulk, values: Sequence[Any]) -> None:
        """Let a row wait."""
        self._rows.setdefault(bulk, []).append(values)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write all that wait. Raises `sqlite3.Error`; none of them waits any more then, either."""
        if not self._rows:
            return
        waiting, self._rows = self._rows, {}
        for bulk in sorted(waiting, key=attrgetter("order")):
            rows = waiting[bulk]
            for some in (rows[start : start + MOST_ROWS] for start in range(0, len(rows), MOST_ROWS)):
                connection.execute(bulk.spell(len(some)), list(chain.from_iterable(some)))

    def clear(self) -> None:
        """Write none of them."""
        self._rows = {}
