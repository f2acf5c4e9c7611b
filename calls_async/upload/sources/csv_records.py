"""CSV records: which lines are one row, which are none, and which are broken. A broken quote costs its own line only.

Pure but for the lines, which are taken one by one, and given back where reading resumes at an earlier one.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import attrs

from calls_async.upload.sources.text import MAX_LINE_BYTES

MAX_CELL_BYTES = 1_000_000
"""The longest cell, as the default of `chunk_bytes`: a quote that is open for longer was never meant."""
WHITE_SPACE = " \t\u00a0"
"""A line of nothing but this and delimiters is blank."""
NUMBER_LIKE = re.compile(rb"[0-9][0-9 ().\-/]{3,}")
"""Where text holds none of this, no phone number stands in it."""
_PHONE_LIKE = re.compile(r"[\s\"'=+(]*[0-9][0-9 ().\-/]{3,}[\s\"']*")
_TOO_LONG = f"has more than {MAX_LINE_BYTES:,} bytes"
TEXT_BEHIND_QUOTE = "has text after a closing quote"
_UNEXPECTED_TEXT = "expected after"
"""In the csv module's words for text behind a closing quote."""


class Record(NamedTuple):
    """A row: the number of its first line, and its cells; or one line, and why it is broken."""

    line: int
    cells: Sequence[str]
    error: str | None = None

    @property
    def blank(self) -> bool:
        """Whether it is no row at all."""
        return self.error is None and not any(cell.strip(WHITE_SPACE) for cell in self.cells)

    @property
    def read_otherwise_before(self) -> bool:
        """Whether version 7 of the journal's schema counted its lines otherwise: a blank line of delimiters or white
        space was a row, and a quote that is never closed took other lines with it."""
        if self.error is not None:
            return self.error != TEXT_BEHIND_QUOTE
        return self.blank and list(self.cells) != [""]


class Lines:
    """The lines of a text, with their ends, in blocks. None stands for a line that is too long to be read.

    `more` returns the lines of the next block; none at the end.
    """

    def __init__(self, more: Callable[[], Sequence[str | None]]) -> None:
        self._more = more
        self._waiting: deque[str | None] = deque()
        self.taken = 0
        """The number of the last line that was taken."""

    def __len__(self) -> int:
        """Return how many lines are left of the blocks so far."""
        return len(self._waiting)

    def give(self, lines: Sequence[str | None]) -> None:
        """Add the lines of a block."""
        self._waiting.extend(lines)

    def pass_over(self, lines: int) -> None:
        """Count lines that somebody else has taken."""
        self.taken += lines

    def fetch(self) -> bool:
        """Get the lines of the next block; return whether there are any."""
        self.give(self._more())
        return bool(self._waiting)

    def take(self) -> str | None:
        """Return the next line. There must be one."""
        self.taken += 1
        return self._waiting.popleft()

    def look(self, count: int) -> list[str | None]:
        """Return the next `count` lines of the blocks so far, without taking them."""
        return list(islice(self._waiting, count))

    def give_back(self, lines: Sequence[str | None]) -> None:
        """Undo the taking of the last `lines`."""
        self._waiting.extendleft(reversed(lines))
        self.taken -= len(lines)

    def take_all(self) -> list[str | None]:
        """Return what is left of the blocks so far; they are taken when somebody passes over them."""
        lines = list(self._waiting)
        self._waiting.clear()
        return lines


@attrs.frozen(slots=True)
class Layout:
    """What the rows of a list look like, so that lines within a cell are known to be rows."""

    cells: int
    phone: int
    multiline: bool = False
    """Whether cells are meant to hold such lines."""

    def shows_row(self, line: str, delimiter: str, cells: range) -> bool:
        """Return whether a line looks like a row whose phone is one of these of its cells. It may have more cells
        than a row: there are delimiters in texts, too."""
        found = line.rstrip("\r\n").split(delimiter)
        if len(found) < self.cells or self.phone not in cells:
            return False
        return _PHONE_LIKE.fullmatch(found[self.phone]) is not None


class Records:
    """Reads records from lines."""

    def __init__(self, lines: Lines, delimiter: str) -> None:
        self._lines = lines
        self._delimiter = delimiter
        csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_LINE_BYTES))

    def next(self, layout: Layout | None) -> list[Record]:
        """Return the next record; several where its lines are broken, each by itself. Without a layout, no line is
        taken for a row (the header). There must be a line."""
        line = self._lines.take()
        number = self._lines.taken
        if line is None:
            return [Record(number, (), _TOO_LONG)]
        if '"' not in line:
            return [Record(number, line.rstrip("\r\n").split(self._delimiter))]
        taken: list[str] = [line]
        size = len(line)

        def following() -> Iterator[str]:
            nonlocal size
            yield line
            while size <= MAX_CELL_BYTES and (self._lines or self._lines.fetch()):
                another = self._lines.take()
                if another is None:
                    self._lines.give_back([None])
                    return
                taken.append(another)
                size += len(another)
                yield another

        try:
            cells = next(csv.reader(following(), delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            self._lines.give_back(taken[1:])
            closed = _UNEXPECTED_TEXT in str(error)
            if closed and len(taken) == 1:
                return [Record(number, (line,), TEXT_BEHIND_QUOTE)]
            return [Record(number, (line,), "has a quote that is never closed")]
        if len(taken) > 1 and layout is not None and not layout.multiline and self._holds_rows(taken, layout):
            last = number + len(taken) - 1
            span = f"lines {number} to {last}"
            reason = f"is in a quoted cell of {span}, which look like rows; if meant, say --multiline"
            numbered = enumerate(taken, start=number)
            return [
                Record(each, (text,), reason) if self._says_something(text) else Record(each, [""])
                for each, text in numbered
            ]
        return [Record(number, cells)]

    def _says_something(self, line: str) -> bool:
        return bool(line.strip(f"{WHITE_SPACE}{self._delimiter}\r\n"))

    def _holds_rows(self, lines: Sequence[str], layout: Layout) -> bool:
        """Return whether a line of a record looks like a row, and its phone stands inside a cell that goes over
        several lines."""
        first, *between, last = lines
        opened = len(next(csv.reader([first], delimiter=self._delimiter))) - 1
        inside = _before_closing_quote(last).count(self._delimiter)
        return (
            layout.shows_row(first, self._delimiter, range(opened + 1, layout.cells))
            or layout.shows_row(last, self._delimiter, range(inside + 1))
            or any(layout.shows_row(line, self._delimiter, range(layout.cells)) for line in between)
        )


def _before_closing_quote(line: str) -> str:
    """Return the part of a line that belongs to a cell that was opened before it."""
    place = line.find('"')
    while place >= 0 and line.startswith('""', place):
        place = line.find('"', place + 2)
    return line if place < 0 else line[:place]
