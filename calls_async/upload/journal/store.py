"""The journal's file: an SQLite database, and the statements that write it, for one thread. See `schema.py`."""

from __future__ import annotations

import contextlib
import errno
import itertools
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from calls_async.errors import JournalError
from calls_async.protocol.contact import content_digest
from calls_async.protocol.keys import digest, new_upload_id
from calls_async.upload.chunks.chunk import Chunk, Mark
from calls_async.upload.journal.batcher_tables import FORGOTTEN_AT_A_TIME
from calls_async.upload.journal.bodies import Bodies, bodies_path
from calls_async.upload.journal.codec import rows_to_json, to_json, unsent_to_json, verdict_to_json
from calls_async.upload.journal.database import DISK_FULL, Records, _connect, disk_failed
from calls_async.upload.journal.locks import lock_file, unlock_file
from calls_async.upload.journal.schema import APPLICATION_ID, BATCHER, LIST, SCHEMA, SCHEMA_VERSION
from calls_async.upload.journal.upload_table import fingerprint
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.rows.row import EncodedRow
from calls_async.upload.status import OutcomeStatus

Operation = Callable[["Store"], None]


class Store(Records):
    """An open journal. `close` gives it back. Raises `JournalError` for whatever the disk or the file does wrong."""

    def __init__(self, path: Path, *, synchronous: str = "FULL", writing: bool = True) -> None:
        self.path = path
        self._bodies = Bodies(path, synced=synchronous == "FULL")
        self._answered: list[int] = []
        """In the transaction under way; afterwards their bytes are not needed any more."""
        self._lock: int | None = None
        self._of_batcher = False
        self._forgotten = 0
        """Up to which chunk there is nothing more to forget for now."""
        self.empty = True
        """Whether nothing stands in it yet."""
        if writing:
            self._lock = lock_file(path)
        try:
            self._connection = _connect(path, writing)
            self.empty = self._check()
            if writing:
                self._connection.execute(f"PRAGMA synchronous = {synchronous}")
                if not self.empty:
                    self._of_batcher = self.upload().kind == BATCHER
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    self._gather_bodies()
        except sqlite3.Error as error:
            self.close()
            raise self._wrong(error) from None
        except JournalError:
            self.close()
            raise

    def close(self) -> None:
        """After this the file is free for the next process."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            with contextlib.suppress(sqlite3.Error, JournalError):
                if self._lock is not None:
                    if not self.empty:
                        self._gather_bodies()
                    # One file again, which can be read where nothing may be written.
                    connection.execute("PRAGMA journal_mode = DELETE")
            connection.close()
        self._bodies.close()
        if self._lock is not None:
            unlock_file(self._lock)
            self._lock = None

    def set_aside(self, *, keep: bool) -> None:
        """Closes the journal and takes it out of the way of another, under another name or for good. The lock is held
        until that is done."""
        lock, self._lock = self._lock, None
        try:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.close()
            if self.path.with_name(self.path.name + "-wal").exists():
                raise JournalError(str(self.path), "is being read by another program; try again when it has finished")
            if keep:
                self.path.rename(_free_name(self.path))
            else:
                self.path.unlink()
            self._bodies.remove()
        finally:
            if lock is not None:
                unlock_file(lock)

    def _check(self) -> bool:
        """Whether the file is new. Raises `JournalError` where it is none of ours."""
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (schema,) = self._connection.execute("PRAGMA user_version").fetchone()
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables and not application:
            if self.path.stat().st_size > 0:
                raise JournalError(
                    str(self.path), "is damaged: it holds nothing. Is the -wal file missing that belongs beside it?"
                )
            return True
        if application != APPLICATION_ID:
            raise JournalError(str(self.path), "is a database of another program; name another file")
        if schema < SCHEMA_VERSION:
            raise JournalError(
                str(self.path), "was written by an older version of calls_async; finish it with that one"
            )
        if schema > SCHEMA_VERSION:
            raise JournalError(
                str(self.path), "was written by a newer version of calls_async; upgrade to go on with it"
            )
        return False

    # --- writing ---

    def begin(self, *, token: str, host: str, source: str, rehearsal: bool, at: float, kind: str = LIST) -> None:
        """Makes a new journal for a new upload."""
        salt = secrets.token_bytes(16)
        values = (
            new_upload_id(),
            at,
            version("calls_async"),
            host,
            salt,
            fingerprint(token, salt),
            source,
            kind,
            rehearsal,
        )
        try:
            # One transaction, or a crash in its middle would leave a file that nobody can read.
            self._connection.executescript(
                f"BEGIN;{SCHEMA}PRAGMA application_id = {APPLICATION_ID};PRAGMA user_version = {SCHEMA_VERSION};"
            )
            self._connection.execute(
                "INSERT INTO upload (upload_id, created_at, library, host, salt, fingerprint, source, kind,"
                " rehearsal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            self._connection.execute("COMMIT")
            # Only now: what the file is stands in the file itself, not only in the log beside it.
            self._connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise self._wrong(error) from None
        self.empty = False
        self._of_batcher = kind == BATCHER

    def commit(self, operations: Iterable[Operation]) -> None:
        """Carries out all operations in one transaction, or none of them."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for operation in operations:
                    operation(self)
                self._bodies.sync()  # before the database says that they are there
            except BaseException:
                self._connection.execute("ROLLBACK")
                self._answered.clear()
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._wrong(error) from None
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise JournalError(str(self.path), DISK_FULL if full else disk_failed(error.strerror)) from None
        for number in self._answered:
            self._bodies.free(number)
        self._answered.clear()

    def plan(self, chunk: Chunk, mark: Mark | None, at: float, parent: int | None = None) -> None:
        """Writes a sealed chunk down. One that sends nothing is answered at once."""
        sends = bool(chunk.rows)
        self._connection.execute(
            "INSERT INTO chunk (number, parent, state, first_row, last_row, key, digest, body_at, body_bytes, rows,"
            " phones, unsent, verdict, mark_position, mark_digest, planned_at, answered_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                chunk.number,
                parent,
                "planned" if sends else "answered",
                chunk.first_row,
                chunk.last_row,
                chunk.key,
                chunk.digest,
                self._bodies.write(chunk.number, chunk.body) if sends else None,
                len(chunk.body) if sends else None,
                rows_to_json(chunk),
                None if sends else "[]",
                unsent_to_json(chunk.unsent),
                None if sends else verdict_to_json(Verdict.none()),
                mark.position if mark is not None else None,
                mark.digest if mark is not None else None,
                at,
                None if sends else at,
            ),
        )
        if self._of_batcher:
            self._take_from_queue(chunk)
            if not sends:
                self._leave_untold(chunk.number)

    def note_sent(self, number: int, at: float) -> None:
        """The first attempt is about to start."""
        self._connection.execute("UPDATE chunk SET state = 'sent', sent_at = ? WHERE number = ?", (at, number))

    def note_unsent(self, number: int) -> None:
        """The first attempt came to nothing, for certain: the chunk is as it was before."""
        self._connection.execute("UPDATE chunk SET state = 'planned', sent_at = NULL WHERE number = ?", (number,))

    def note_answered(self, chunk: Chunk, verdict: Verdict, at: float) -> None:
        """What became of the chunk's rows. Its bytes stay only where some of them are unknown."""
        number = chunk.number
        if OutcomeStatus.UNKNOWN in verdict.statuses:
            self._connection.execute("INSERT OR REPLACE INTO body (number, body) VALUES (?, ?)", (number, chunk.body))
        else:
            self._connection.execute("DELETE FROM body WHERE number = ?", (number,))
        self._connection.execute(
            "UPDATE chunk SET state = 'answered', answered_at = coalesce(answered_at, ?), phones = ?, verdict = ?,"
            " body_at = NULL WHERE number = ?",
            (at, to_json(chunk.phones), verdict_to_json(verdict), number),
        )
        self._answered.append(number)
        if self._of_batcher and (chunk.rows or chunk.unsent):
            self._leave_untold(number)

    def note_source_done(self) -> None:
        """The source has been read to its end."""
        self._connection.execute("UPDATE upload SET source_done = 1")

    def settle(self, number: int, verdict: Verdict) -> None:
        """What has become known of a chunk's unknown rows."""
        self.commit([lambda store: store._settle(number, verdict)])

    def split(self, rest: Chunk, verdict: Verdict, parts: Sequence[Chunk], at: float) -> None:
        """Gives some rows of a chunk to new ones; `rest` and its `verdict` stay behind, answered."""
        for part in parts:
            self.plan(part, None, at, parent=rest.number)
        self._connection.execute(
            "UPDATE chunk SET rows = ?, rest_digest = ? WHERE number = ?",
            (to_json(list(rest.rows)), rest.digest, rest.number),
        )
        self.note_answered(rest, verdict, at)

    def note_body_limit(self, body_bytes: int) -> None:
        """The largest body that the server takes."""
        self._connection.execute("UPDATE upload SET body_limit = ?", (body_bytes,))

    def _gather_bodies(self) -> None:
        """Takes the bytes that wait beside the journal into it: one file again, from which any process can go on."""
        found = self._read(
            "SELECT number, body_at, body_bytes, digest FROM chunk WHERE state <> 'answered' AND body_at IS NOT NULL"
        )
        try:
            bodies = [(number, self._bodies.read(at, size), wanted) for number, at, size, wanted in found]
            if any(digest(body) != wanted for _, body, wanted in bodies):
                raise OSError(errno.EIO, "it is damaged")
        except OSError as error:
            name = bodies_path(self.path).name
            raise JournalError(
                str(self.path),
                f"the bytes of what was under way are not in {name}, which belongs beside it ({error.strerror}); "
                "bring that file back. Nothing was sent",
            ) from None
        self._connection.execute("BEGIN IMMEDIATE")
        for number, body, _ in bodies:
            self._connection.execute("INSERT OR REPLACE INTO body (number, body) VALUES (?, ?)", (number, body))
        self._connection.execute("UPDATE chunk SET body_at = NULL WHERE state <> 'answered'")
        self._connection.execute("COMMIT")
        try:
            self._bodies.remove()
        except OSError as error:
            raise JournalError(str(self.path), disk_failed(error.strerror)) from None

    def _settle(self, number: int, verdict: Verdict) -> None:
        self._connection.execute("UPDATE chunk SET verdict = ? WHERE number = ?", (verdict_to_json(verdict), number))
        if OutcomeStatus.UNKNOWN not in verdict.statuses:
            self._connection.execute("DELETE FROM body WHERE number = ?", (number,))
        if self._of_batcher:
            self._leave_untold(number)

    # --- of a batcher ---

    def enqueue(self, row: EncodedRow, key: str | None, at: float) -> int | None:
        """A contact was put. Returns its row: an earlier one, where the same was put under the same key before; None
        where that was another."""
        if key is not None:
            content = content_digest(row.body)  # the order of its fields does not count
            found = self._read("SELECT row, digest FROM put_key WHERE key = ?", (key,))
            if found:
                ((earlier, its_content),) = found
                if its_content != content:
                    return None
                self._connection.execute("UPDATE put_key SET repeated = 1 WHERE key = ?", (key,))
                return int(earlier)
            self._connection.execute(
                "INSERT INTO put_key (key, digest, row, put_at) VALUES (?, ?, ?, ?)", (key, content, row.row, at)
            )
        self._connection.execute("INSERT INTO queued VALUES (?, ?, ?)", row)
        self._note_row(row.row)
        return row.row

    def dequeue(self, row: int, key: str | None) -> bool:
        """Whoever put it was cancelled. Whether it stays all the same: whoever repeated it was promised that."""
        if self._read("SELECT 1 FROM put_key WHERE key = ? AND row = ? AND repeated", (key, row)):
            return True
        if self._connection.execute("DELETE FROM queued WHERE row = ?", (row,)).rowcount:
            self._connection.execute("DELETE FROM put_key WHERE key = ?", (key,))
        return False

    def note_told(self, numbers: Iterable[int]) -> None:
        """The owner has had the receipts of these chunks."""
        self._connection.executemany("DELETE FROM untold WHERE chunk = ?", [(number,) for number in numbers])

    def forget(self, before: float) -> bool:
        """Takes out some of what was answered before; whether there may be more. The last chunk stays, for no number
        may be given a second time: its key might be the same."""
        seen = self._read(
            "SELECT number, answered_at < ? AND number < (SELECT max(number) FROM chunk) FROM chunk "
            "WHERE number > ? ORDER BY number LIMIT ?",
            (before, self._forgotten, FORGOTTEN_AT_A_TIME),
        )
        old = [number for number, is_old in itertools.takewhile(lambda one: one[1], seen)]
        keys = self._read(
            "SELECT key FROM put_key WHERE put_at < ? AND row NOT IN (SELECT row FROM queued)"
            " AND put_at < (SELECT coalesce(min(planned_at), ?1) FROM chunk WHERE state <> 'answered') LIMIT ?",
            (before, FORGOTTEN_AT_A_TIME),
        )
        self.commit([lambda store: store._forget(old, keys)])
        self._forgotten = old[-1] if old else self._forgotten
        return FORGOTTEN_AT_A_TIME in (len(old), len(keys))

    def _forget(self, numbers: Sequence[int], keys: Sequence[tuple[str]]) -> None:
        self._connection.executemany(
            "DELETE FROM chunk WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM body WHERE number = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM untold WHERE chunk = ?1)",
            [(number,) for number in numbers],
        )
        self._connection.executemany("DELETE FROM put_key WHERE key = ?", keys)

    def _take_from_queue(self, chunk: Chunk) -> None:
        if self._any("queued"):
            rows = [*chunk.rows, *(one.row for one in chunk.unsent)]
            self._connection.executemany("DELETE FROM queued WHERE row = ?", [(row,) for row in rows])
        self._note_row(chunk.last_row)

    def _note_row(self, row: int) -> None:
        self._connection.execute("UPDATE upload SET last_row = max(last_row, ?)", (row,))

    def _leave_untold(self, number: int) -> None:
        self._connection.execute("INSERT OR IGNORE INTO untold VALUES (?)", (number,))

    # --- in the end ---

    def purge(self, at: float) -> None:
        """Removes phones, payloads and server's words; counts, keys and job IDs stay."""
        try:
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("DELETE FROM body")
            self._connection.execute("DELETE FROM put_key")
            self._connection.execute(
                "UPDATE chunk SET phones = (SELECT json_group_array(NULL) FROM json_each(chunk.phones)), "
                "unsent = (SELECT coalesce(json_group_array(json_array(json_extract(value, '$[0]'), NULL, "
                "json_extract(value, '$[2]'), 'purged')), '[]') FROM json_each(chunk.unsent)), "
                "verdict = json_set(verdict, '$.errors', NULL)"
            )
            if not self._of_batcher:  # which may go on
                self._connection.execute("UPDATE upload SET purged_at = ?", (at,))
            self._connection.execute("COMMIT")
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._wrong(error) from None


def _free_name(path: Path) -> Path:
    number = 1
    while (other := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return other
