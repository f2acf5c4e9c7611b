"""The tables `queued`, `put_key` and `untold`: what a batcher has promised and not yet done."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import attrs

from calls_async.protocol.contact import content_digest
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.journal.database import Database
from calls_async.upload.rows.row import EncodedRow

FORGOTTEN_AT_A_TIME = 1000
"""Chunks that are looked at in one transaction."""


@attrs.frozen(slots=True)
class Old:
    """What may be forgotten: numbers of chunks, and keys of `put`."""

    chunks: Sequence[int]
    keys: Sequence[tuple[str]]

    @property
    def full(self) -> bool:
        """Whether there may be more."""
        return FORGOTTEN_AT_A_TIME in (len(self.chunks), len(self.keys))


class BatcherTables:
    """Reads and writes what only a batcher's journal holds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._forgotten = 0
        """Up to which chunk there is nothing more to forget for now."""

    def queued(self) -> list[EncodedRow]:
        """Return the contacts that were put and are in no chunk yet."""
        return [
            EncodedRow(*values) for values in self._database.read("SELECT row, phone, body FROM queued ORDER BY row")
        ]

    def untold(self) -> list[int]:
        """Return the numbers of the answered chunks whose receipts the owner may not have had."""
        return [number for (number,) in self._database.read("SELECT chunk FROM untold ORDER BY chunk")]

    def any_queued(self) -> bool:
        """Return whether a contact is in no chunk yet."""
        return self._database.any("queued")

    def enqueue(self, row: EncodedRow, key: str | None, at: float) -> int | None:
        """Keep a contact that was put. Return its row: an earlier one, where the same was put under the same key
        before; None where that was another contact."""
        if key is not None:
            content = content_digest(row.body)  # the order of its fields does not count
            found = self._database.read("SELECT row, digest FROM put_key WHERE key = ?", (key,))
            if found:
                ((earlier, its_content),) = found
                if its_content != content:
                    return None
                self._database.write("UPDATE put_key SET repeated = 1 WHERE key = ?", (key,))
                return int(earlier)
            self._database.write(
                "INSERT INTO put_key (key, digest, row, put_at) VALUES (?, ?, ?, ?)", (key, content, row.row, at)
            )
        self._database.write("INSERT INTO queued VALUES (?, ?, ?)", row)
        return row.row

    def dequeue(self, row: int, key: str | None) -> bool:
        """Remove a contact whose `put` was cancelled; return True if it must stay, because another caller was
        promised it."""
        if self._database.read("SELECT 1 FROM put_key WHERE key = ? AND row = ? AND repeated", (key, row)):
            return True
        if self._database.write("DELETE FROM queued WHERE row = ?", (row,)):
            self._database.write("DELETE FROM put_key WHERE key = ?", (key,))
        return False

    def take_from_queue(self, chunk: Chunk) -> None:
        """Remove the contacts that are in a chunk now."""
        if self.any_queued():
            rows = [*chunk.rows, *(one.row for one in chunk.unsent)]
            self._database.write_many("DELETE FROM queued WHERE row = ?", [(row,) for row in rows])

    def leave_untold(self, number: int) -> None:
        """Note that the owner must be told of an answered chunk."""
        self._database.write("INSERT OR IGNORE INTO untold VALUES (?)", (number,))

    def note_told(self, numbers: Iterable[int]) -> None:
        """Note that the owner has had the receipts of these chunks."""
        self._database.write_many("DELETE FROM untold WHERE chunk = ?", [(number,) for number in numbers])

    def find_old(self, before: float) -> Old:
        """Return some of what was answered before (Unix time, seconds). The last chunk is never among it, for no
        number may be given a second time."""
        seen = self._database.read(
            "SELECT number, answered_at < ? AND number < (SELECT max(number) FROM chunk) FROM chunk "
            "WHERE number > ? ORDER BY number LIMIT ?",
            (before, self._forgotten, FORGOTTEN_AT_A_TIME),
        )
        keys = self._database.read(
            "SELECT key FROM put_key WHERE put_at < ? AND row NOT IN (SELECT row FROM queued) AND NOT EXISTS"
            " (SELECT 1 FROM chunk WHERE state <> 'answered' AND put_key.row BETWEEN first_row AND last_row) LIMIT ?",
            (before, FORGOTTEN_AT_A_TIME),
        )
        return Old([number for number, is_old in itertools.takewhile(lambda one: one[1], seen)], keys)

    def forget(self, old: Old) -> None:
        """Remove what is old, but nothing unknown or untold."""
        self._database.write_many(
            "DELETE FROM chunk WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM body WHERE number = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM untold WHERE chunk = ?1)",
            [(number,) for number in old.chunks],
        )
        self._database.write_many("DELETE FROM put_key WHERE key = ?", old.keys)
        self._forgotten = old.chunks[-1] if old.chunks else self._forgotten
