"""The journal's SQLite file: opened, checked, migrated and given back; its errors in our words."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from calls_async.errors import JournalError
from calls_async.upload.journal.bodies import bodies_path, read_commits, sync_folder
from calls_async.upload.journal.bulks import Bulk, WaitingRows
from calls_async.upload.journal.locks import lock_file, unlock_file
from calls_async.upload.journal.schema import (
    APPLICATION_ID,
    OLDEST_VERSION,
    SCHEMA_VERSION,
    read_schema,
    steps_from,
)

_BUSY_SECONDS = 10.0
_REMEMBERED_STATEMENTS = 256
"""A bulk has one for each number of rows; SQLite reads them once."""
_COMMITS = "SELECT max(commits, coalesce((SELECT max(at_commit) FROM chunk), 0)) FROM upload"
DISK_FULL = "the disk is full; nothing is sent that cannot be written down. Make room and run it again"


class Database:
    """An open journal's file, for one thread. Writing takes it for this process alone. `empty`: nothing stands in it.

    Raises `JournalError` for whatever the disk or the file does wrong.
    """

    def __init__(self, path: Path, *, synchronous: str, writing: bool) -> None:
        self.path = path
        self.empty = True
        self._waiting = WaitingRows()
        """What is written before the next statement, or at the end of the transaction."""
        self._lock: int | None = lock_file(path) if writing else None
        has_log, commits = _has_log(path), read_commits(path)  # before it is opened: a commit comes before its number
        try:
            self._connection = _connect(path, writing=writing)
            version = self._check_version()
            self.empty = version is None
            if version is not None and version < SCHEMA_VERSION:
                self._refuse_without_log(has_log=has_log)
                self._migrate(version, writing=writing)
            elif version is not None:
                self._refuse_incomplete(commits)
            if writing:
                self._connection.execute(f"PRAGMA synchronous = {synchronous}")
        except sqlite3.Error as error:
            self.close()
            raise self._explain(error) from None
        except OSError as error:
            self.close()
            raise explain_disk(path, error) from None
        except JournalError:
            self.close()
            raise

    # --- statements ---

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows that a statement finds."""
        try:
            self._waiting.write(self._connection)
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def any(self, table: str) -> bool:
        """Return whether a table, or a part of it (`chunk WHERE …`), has a row."""
        ((found,),) = self.read(f"SELECT EXISTS (SELECT 1 FROM {table})")  # noqa: S608  # our own words
        return bool(found)

    def write(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Carry out a statement; return how many rows it has changed. Raises `sqlite3.Error` to the transaction."""
        self._waiting.write(self._connection)
        return self._connection.execute(statement, values).rowcount

    def write_many(self, statement: str, values: Iterable[Sequence[Any]]) -> None:
        """Carry out a statement for each of `values`."""
        self._waiting.write(self._connection)
        self._connection.executemany(statement, values)

    def write_soon(self, bulk: Bulk, values: Sequence[Any]) -> None:
        """Write a row together with others, inside a transaction: before its end, and before any other statement."""
        self._waiting.add(bulk, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Carry out all of a block, or nothing of it."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._waiting.write(self._connection)
            except BaseException:
                self._waiting.clear()
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._explain(error) from None
        except OSError as error:
            raise explain_disk(self.path, error) from None

    @contextlib.contextmanager
    def understanding(self) -> Iterator[None]:
        """Say that the file is damaged where a block cannot understand what stands in it."""
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise JournalError(str(self.path), f"is damaged ({error}); restore it, or name another file") from None

    def commits(self) -> int:
        """Return how many commits there have been."""
        ((commits,),) = self._connection.execute(_COMMITS).fetchall()
        return int(commits)

    # --- the file ---

    def create(self) -> None:
        """Make the tables of a new journal, inside a transaction: a crash must not leave a file nobody can read."""
        for statement in read_schema().split(";\n"):
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def begin_log(self) -> None:
        """Write into a log beside the file from now on: what the file is, and that it is open, stands in the file
        itself then."""
        self._set_closed(False)
        self._set("journal_mode = WAL")
        self.empty = False

    def fold_log(self) -> None:
        """Take the log into the file, which says then that it was closed: one file, which can be read where nothing
        may be written."""
        if not self.empty:
            self._set_closed(True)
        with contextlib.suppress(sqlite3.Error):  # somebody may be looking into it
            self._connection.execute("PRAGMA journal_mode = DELETE")

    def overwrite_deleted(self) -> None:
        """Let nothing be read that is deleted from now on."""
        self._set("secure_delete = ON")

    def compact(self) -> None:
        """Write the file anew, without what was deleted."""
        try:
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def close(self) -> None:
        """Give the file back to the next process."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
        if self._lock is not None:
            unlock_file(self._lock)
            self._lock = None

    def set_aside(self, *, keep: bool) -> None:
        """Close the file and take it out of the way of another, under another name or for good; the lock is held
        until that is done."""
        lock, self._lock = self._lock, None
        try:
            self.fold_log()
            self._connection.close()
            if self.path.with_name(self.path.name + "-wal").exists():
                raise JournalError(str(self.path), "is being read by another program; try again when it has finished")
            if keep:
                self.path.rename(_free_name(self.path))
            else:
                self.path.unlink()
                remove_copies(self.path)
        finally:
            if lock is not None:
                unlock_file(lock)

    def _set_closed(self, closed: bool) -> None:  # what is set
        try:
            self._connection.execute("UPDATE upload SET closed = ?", (closed,))
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def _refuse_incomplete(self, commits: int | None) -> None:
        """Raise `JournalError` for a file whose process has died, without the files that belong to it: what was sent
        last stands in its log alone. `commits` is how many the file beside it knows."""
        for _ in range(2):  # it may have been opened, or closed, between the two looks
            ((closed,),) = self._connection.execute("SELECT closed FROM upload").fetchall()
            if closed or (commits is not None and self.commits() >= commits):
                return
            commits = read_commits(self.path)
        self._refuse("-bodies" if commits is None else "-wal")

    def _refuse_without_log(self, *, has_log: bool) -> None:
        """Raise `JournalError` for an older file that is written by a log that is not there."""
        ((mode,),) = self._connection.execute("PRAGMA journal_mode").fetchall()
        if mode == "wal" and not has_log:
            self._refuse("-wal")

    def _refuse(self, suffix: str) -> None:
        raise JournalError(
            str(self.path),
            f"was not closed, and {self.path.name}{suffix}, which belongs beside it, is not there, or not the right "
            "one. What was sent last stands in the files -wal and -bodies alone: bring them back, or everybody in "
            "them would be called again. Nothing was sent",
        )

    def _set(self, pragma: str) -> None:
        try:
            self._connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def _check_version(self) -> int | None:
        """Return the file's schema; None where it is new. Raises `JournalError` where it is none that can be read."""
        ((application,),) = self._connection.execute("PRAGMA application_id").fetchall()
        ((schema,),) = self._connection.execute("PRAGMA user_version").fetchall()
        ((tables,),) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        if not tables and not application:
            if self.path.stat().st_size > 0:
                raise JournalError(
                    str(self.path), "is damaged: it holds nothing. Is the -wal file missing that belongs beside it?"
                )
            return None
        if application != APPLICATION_ID:
            raise JournalError(str(self.path), "is a database of another program; name another file")
        if schema < OLDEST_VERSION:
            raise JournalError(
                str(self.path), "was written by an older version of calls_async; finish it with that one"
            )
        if schema > SCHEMA_VERSION:
            raise JournalError(
                str(self.path), "was written by a newer version of calls_async; upgrade to go on with it"
            )
        return int(schema)

    def _migrate(self, version: int, *, writing: bool) -> None:
        """Bring an older journal to this schema in one transaction, after a copy of it was kept beside it. Where it
        is only read, it stays as it is, and a copy in memory is brought there."""
        if writing:
            self._keep_copy(version)
        else:
            file, self._connection = self._connection, sqlite3.connect(":memory:", isolation_level=None)
            file.backup(self._connection)
            file.close()
        with self.transaction():
            for statement in steps_from(version):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _keep_copy(self, version: int) -> None:
        copy = _copy_path(self.path, version)
        remove_copies(self.path)  # of a migration that was interrupted
        with _open_new(copy) as file:
            self._connection.execute("VACUUM INTO ?", (str(copy.absolute()),))
            os.fsync(file.fileno())
        if (bodies := bodies_path(self.path)).exists():
            with bodies.open("rb") as source, _open_new(bodies_path(copy)) as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
        sync_folder(copy.parent)

    def _explain(self, error: sqlite3.Error) -> JournalError:
        return JournalError(str(self.path), _describe(error))


def remove_copies(path: Path) -> None:
    """Remove what migrations of a journal have left beside it."""
    for version in range(OLDEST_VERSION, SCHEMA_VERSION):
        copy = _copy_path(path, version)
        copy.unlink(missing_ok=True)
        bodies_path(copy).unlink(missing_ok=True)


def is_older(path: Path) -> bool:
    """Return whether a file is a journal of an earlier schema, which opening it for writing would migrate.

    Asks SQLite: to open and close the file by ourselves would take away the locks of an upload in this process.
    """
    if not path.is_file():
        return False
    try:
        with contextlib.closing(_connect(path, writing=False)) as connection:
            ((application,),) = connection.execute("PRAGMA application_id").fetchall()
            ((schema,),) = connection.execute("PRAGMA user_version").fetchall()
    except sqlite3.Error:
        return False  # opening it will say what is wrong
    return bool(application == APPLICATION_ID and OLDEST_VERSION <= schema < SCHEMA_VERSION)


def _has_log(path: Path) -> bool:
    """Return whether something stands in the log beside a file."""
    log = Path(os.path.realpath(path) + "-wal")
    return log.is_file() and log.stat().st_size > 0


def explain_disk(path: Path, error: OSError) -> JournalError:
    """Return the error for a disk that does not do what it should."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return JournalError(str(path), DISK_FULL if full else _disk_failed(error.strerror))


def _disk_failed(why: object) -> str:
    return f"the disk failed ({why}); nothing is sent that cannot be written down"


def _describe(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorname", None) or ""
    if code.startswith("SQLITE_FULL"):
        return DISK_FULL
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return "cannot be written; its folder and the file must be writable"
    if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return "is not a journal, or is damaged; name another file, or restore it"
    if code.startswith("SQLITE_BUSY"):
        return "is being read or written by another program; try again when it has finished"
    if code.startswith("SQLITE_IOERR"):
        return _disk_failed(error)
    return f"failed ({error})"


def _connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    mode = "rw" if writing else "ro"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # transactions are begun by hand
        check_same_thread=False,  # one thread at a time, but not the one that opened it
        cached_statements=_REMEMBERED_STATEMENTS,
    )


def _copy_path(path: Path, version: int) -> Path:
    return path.with_name(f"{path.name}.schema-{version}")


def _open_new(path: Path) -> BinaryIO:
    """Make a file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "r+b")


def _free_name(path: Path) -> Path:
    number = 1
    while (other := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return other
