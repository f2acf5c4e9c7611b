"""Which rows of a list were rejected, and under which number each other row was sent: to send the former again."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence

import attrs

from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.outcomes.outcome import Outcome, Receipt
from calls_async.upload.rows.number_set import NumberSet
from calls_async.upload.rows.row import EXCLUDED, HAS_JOB_HERE, SAME_CONTENT, SAME_NUMBER, UnsentRow
from calls_async.upload.status import OutcomeStatus


@attrs.frozen(slots=True)
class RejectedRows:
    """The rows of a journal, 12 bytes each."""

    generation: int
    """The one whose keys they are sent under next."""
    rows: int
    """How many rows were taken in."""
    holders: Sequence[int]
    """For each row from 0: the number of the chunk as whose row it was rejected; 0 where it was not."""
    phones: Sequence[int]
    """For each row: the number that it was sent under; 0 where it was not sent, or was rejected."""
    repeated: frozenset[int]
    """Those of the rows that said the same as another, which may have been rejected; nobody is called for both."""
    called: NumberSet
    """The numbers that have a job, or may have one."""

    def find_holders(self, chunk: Chunk) -> Mapping[int, set[int]]:
        """Return which rows of a chunk were rejected before, by the numbers of the chunks that they leave."""
        found: dict[int, set[int]] = {}
        for row in (*chunk.rows, *(unsent.row for unsent in chunk.unsent)):
            if row <= self.rows and (holder := self.holders[row]):
                found.setdefault(holder, set()).add(row)
        return found


def gather_rejected(
    receipts: Iterable[Receipt], pending: Iterable[Chunk], *, rows: int, generation: int
) -> RejectedRows:
    """Return the rejected ones among the first `rows` rows of a list."""
    holders, phones = array("I", bytes(array("I").itemsize * (rows + 1))), array("Q", bytes(8 * (rows + 1)))
    repeated: set[int] = set()
    for receipt in receipts:
        counts, rejected = receipt.counts(), OutcomeStatus.REJECTED
        if counts[rejected] or receipt.unsent:
            for outcome in filter(_goes_again, receipt.outcomes()):
                holders[outcome.row] = receipt.chunk
                if outcome.status is not rejected:
                    repeated.add(outcome.row)
        sent = zip(receipt.rows, receipt.phones, receipt.verdict.statuses, strict=True)
        _note_phones(((row, phone) for row, phone, status in sent if status is not rejected), phones)
    for chunk in pending:
        for row in filter(_goes_again, chunk.unsent):
            holders[row.row] = chunk.number
            if row.status is not OutcomeStatus.REJECTED:
                repeated.add(row.row)
        _note_phones(zip(chunk.rows, chunk.phones, strict=True), phones)
    return RejectedRows(generation, rows, holders, phones, frozenset(repeated), NumberSet(filter(None, phones)))


def without_rejected(chunk: Chunk) -> Chunk:
    """Return a chunk without an answer, but for those of its rows that go again by themselves."""
    return attrs.evolve(chunk, unsent=[row for row in chunk.unsent if not _goes_again(row)])


def _goes_again(row: Outcome | UnsentRow) -> bool:
    """Return whether a retry looks at a row anew: not who must not be called, nor who has a job by another list."""
    reason = row.error or ""
    if row.status is OutcomeStatus.REJECTED:
        return not reason.startswith(EXCLUDED)
    return row.status is OutcomeStatus.DUPLICATE and reason.startswith((SAME_CONTENT, SAME_NUMBER, HAS_JOB_HERE))


def _note_phones(sent: Iterable[tuple[int, str]], phones: array[int]) -> None:
    for row, phone in sent:
        phones[row] = int(phone)
