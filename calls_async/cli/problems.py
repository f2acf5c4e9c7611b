"""Why rows did not get through, as a table: grouped by reason, with example rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

import attrs

from calls_async.upload.outcomes.outcome import Outcome, Receipt
from calls_async.upload.status import OutcomeStatus

SHOWN_REASONS = 10
"""How many reasons are listed."""
KEPT_REASONS = 1000
"""How many are told apart; a list of nonsense must not fill the memory."""
EXAMPLES = 3
SHOWN_CHARS = 40
SHOWN_DIGITS = 2
"""How many digits of a number are shown where it is masked."""
_NUMBER_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"[0-9]+")
_PLACE = re.compile(r"(?P<kind>line|sheet row) (?P<number>[0-9]+): ")
"""How a reason begins where the place in the file is known."""
BAD = (OutcomeStatus.REJECTED, OutcomeStatus.UNKNOWN)


class _Example(NamedTuple):
    """A row, where it stands in the file, and its phone's cell where the reason is about that."""

    row: int
    place: str
    cell: str

    def words(self, *, plain: bool) -> str:
        """Return it for the table; `plain` shows all of the cell's digits."""
        cell = show_cell(self.cell, plain=plain)
        more = ": ".join(part for part in (self.place, cell) if part)
        return f"{self.row} ({more})" if more else str(self.row)


def show_cell(cell: str, *, plain: bool) -> str:
    """Return a cell, cut; with its digits masked, but for the last ones, where somebody else may read it."""
    text = cell if len(cell) <= SHOWN_CHARS else f"{cell[:SHOWN_CHARS]}…"
    text = "".join(char if char.isprintable() else "?" for char in text)
    hidden = len(_NUMBER_DIGIT.findall(text)) - SHOWN_DIGITS
    if hidden > 0 and not plain:
        text = _NUMBER_DIGIT.sub("*", text, count=hidden)
    return f"{text!r}" if text else ""


@attrs.define(slots=True)
class _Group:
    status: str
    reason: str
    rows: int = 0
    varied: bool = False
    """Whether the reasons differ in their numbers."""
    examples: list[_Example] = attrs.field(factory=list)

    def add(self, example: _Example, reason: str) -> None:
        """Count a row with this reason."""
        self.rows += 1
        self.varied = self.varied or reason != self.reason
        self.examples = sorted([*self.examples, example])[:EXAMPLES]


class ProblemTable:
    """Reasons that differ in numbers only are the same; the first stands for all. `statuses` are those that are
    shown."""

    def __init__(self, statuses: Collection[OutcomeStatus] = BAD) -> None:
        self._shown = statuses
        self._groups: dict[str, _Group] = {}

    def note(self, receipt: Receipt) -> None:
        counts = receipt.counts()
        if not any(counts[status] for status in self._shown):
            return
        for outcome in receipt.outcomes():
            if outcome.status in self._shown:
                self._note(outcome, outcome.error or "")

    def _note(self, outcome: Outcome, reason: str) -> None:
        found = _PLACE.match(reason)
        place = "" if found is None else f"{found['kind']} {found['number']}"
        reason = reason if found is None else reason[found.end() :]
        status = outcome.status
        cell = (outcome.phone or "") if reason.startswith("phone: ") else ""
        key = f"{status} {_NUMBER.sub('0', reason)}"
        if key not in self._groups and len(self._groups) >= KEPT_REASONS:
            key, reason = str(status), "many other reasons"
        group = self._groups.setdefault(key, _Group(str(status), reason))
        group.add(_Example(outcome.row, place, cell), reason)

    def lines(self, *, plain: bool) -> Iterator[str]:
        """Yield the table's lines, the most frequent reason first; none where there was no trouble. `plain` shows
        whole numbers."""
        groups = sorted(self._groups.values(), key=lambda group: -group.rows)
        shown = [
            (f"{group.rows:,}", group.status, _examples(group, plain=plain), _reason(group))
            for group in groups[:SHOWN_REASONS]
        ]
        if not shown:
            return
        table = [("rows", "outcome", "for example", "reason"), *shown]
        widths = [max(len(cells[index]) for cells in table) for index in range(3)]
        for count, status, examples, reason in table:
            yield f"{count:>{widths[0]}}  {status:<{widths[1]}}  {examples:<{widths[2]}}  {reason}"
        if len(groups) > SHOWN_REASONS:
            yield f"… and {len(groups) - SHOWN_REASONS:,} more reasons; --results FILE has every row"


def _reason(group: _Group) -> str:
    return f"{group.reason} (and the like)" if group.varied else group.reason


def _examples(group: _Group, *, plain: bool) -> str:
    rows = ", ".join(example.words(plain=plain) for example in group.examples)
    return f"row {rows}" + (" …" if group.rows > len(group.examples) else "")
