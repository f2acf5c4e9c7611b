"""The same contact, or the same number, twice in one list."""

from __future__ import annotations

import sqlite3

from calls_async.protocol.contact import content_digest
from calls_async.upload.rows.row import EncodedRow

SEEN_CACHE_BYTES = 64 * 2**20
"""What remembering the rows of a list takes of memory at most; the rest is on disk."""


class SeenContacts:
    """The contacts of a list so far, as digests, in a database that SQLite keeps in memory as long as it is small,
    and in a temporary file of its own beyond that."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"PRAGMA cache_size = -{SEEN_CACHE_BYTES // 1024}")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID")
        self._connection.execute("BEGIN")

    def find_first_row(self, row: EncodedRow) -> int:
        """Return the number of the first row that says the same: this one's, where there is none."""
        return self._find_first(content_digest(row.body), row.row)

    def find_first_of_number(self, row: EncodedRow) -> int:
        """Return the number of the first row with the same phone: this one's, where there is none."""
        return self._find_first(row.phone.encode(), row.row)  # shorter than any digest

    def _find_first(self, key: bytes, row: int) -> int:
        found = self._connection.execute(
            "INSERT INTO seen VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET row = row RETURNING row", (key, row)
        ).fetchone()
        return int(found[0])

    def close(self) -> None:
        self._connection.close()
