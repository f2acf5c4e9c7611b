"""What a journal's file says: the statements that read it. `schema.py` describes it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import orjson

from calls_async.errors import JournalError
from calls_async.protocol.keys import chunk_key, digest
from calls_async.upload.chunks.chunk import Chunk, Mark, PastChunk, phones_in
from calls_async.upload.journal.bodies import read_body
from calls_async.upload.journal.chunk_table import _sent_rows
from calls_async.upload.journal.codec import rows_from_json, unsent_from_json, verdict_from_json
from calls_async.upload.journal.schema import LIST
from calls_async.upload.journal.upload_table import UploadRecord
from calls_async.upload.outcomes.outcome import Receipt
from calls_async.upload.rows.row import EncodedRow

DISK_FULL = "the disk is full; nothing is sent that cannot be written down. Make room and run it again"


class Records:
    """Reads an open journal. Raises `JournalError` for whatever the disk or the file does wrong."""

    path: Path
    _connection: sqlite3.Connection

    def upload(self) -> UploadRecord:
        names = [field.name for field in attrs.fields(UploadRecord)]
        with self._understanding():
            (values,) = self._read(f"SELECT {', '.join(names)} FROM upload")  # noqa: S608  # our own names
            return UploadRecord(**dict(zip(names, values, strict=True)))

    def nothing_sent(self) -> bool:
        """Whether no chunk has ever been sent."""
        return not self._any("chunk WHERE sent_at IS NOT NULL")

    def blank(self) -> bool:
        """Whether nothing has been written down."""
        return not self._any("chunk") and not self._any("queued") and not self.upload().source_done

    def finished(self) -> bool:
        """Whether the source was read to its end, or nothing more is queued, and every chunk is answered."""
        upload = self.upload()
        whole = upload.source_done if upload.kind == LIST else not self._any("queued")
        return whole and not self._any("chunk WHERE state <> 'answered'")

    def queued(self) -> list[EncodedRow]:
        """The contacts that were put into a batcher and are in no chunk yet."""
        return [EncodedRow(*values) for values in self._read("SELECT row, phone, body FROM queued ORDER BY row")]

    def untold(self) -> list[int]:
        """The numbers of the answered chunks whose receipts a batcher's owner may not have had."""
        return [number for (number,) in self._read("SELECT chunk FROM untold ORDER BY chunk")]

    def past(self) -> list[PastChunk]:
        """Every chunk that came from the source, in its order."""
        found = self._read(
            "SELECT number, first_row, last_row, unsent, digest, mark_position, mark_digest FROM chunk "
            "WHERE parent IS NULL ORDER BY number"
        )
        return [
            PastChunk(
                number=number,
                first_row=first,
                last_row=last,
                rows=_sent_rows(first, last, unsent),
                digest=body_digest,
                mark=None if position is None else Mark(position, mark_digest),
            )
            for number, first, last, unsent, body_digest, position, mark_digest in found
        ]

    def pending(self) -> list[Chunk]:
        """The chunks without an answer, with their exact bytes. Raises `JournalError` where those are damaged."""
        found = self._read("SELECT number FROM chunk WHERE state <> 'answered' ORDER BY number")
        chunks = [self.chunk(number) for (number,) in found]
        upload_id = self.upload().upload_id
        for chunk in chunks:
            if chunk.key != chunk_key(upload_id, str(chunk.number), chunk.digest):
                raise JournalError(str(self.path), f"the key of chunk {chunk.number} is damaged; nothing was sent")
        return chunks

    def chunk(self, number: int) -> Chunk:
        """One chunk with its exact bytes. Raises `JournalError` where those are missing or damaged."""
        ((first, last, key, wanted, rows, unsent, sent_at, body, at, size),) = self._read(
            "SELECT first_row, last_row, key, coalesce(rest_digest, digest), rows, unsent, sent_at, body, body_at,"
            " body_bytes FROM chunk LEFT JOIN body USING (number) WHERE number = ?",
            (number,),
        )
        if at is not None:
            body = read_body(self.path, at, size)
        if not isinstance(body, bytes) or digest(body) != wanted:
            raise JournalError(str(self.path), f"the bytes of chunk {number} are damaged; nothing was sent")
        with self._understanding():
            return Chunk(
                number=number,
                first_row=first,
                last_row=last,
                rows=rows_from_json(rows, first, last),
                phones=phones_in(body),
                body=body,
                digest=wanted,
                key=key,
                unsent=unsent_from_json(unsent),
                first_sent_at=sent_at,
            )

    def answered(self) -> list[int]:
        """The numbers of the answered chunks."""
        return [
            number for (number,) in self._read("SELECT number FROM chunk WHERE state = 'answered' ORDER BY number")
        ]

    def with_unknown(self) -> list[int]:
        """The numbers of the answered chunks in which some rows are unknown: those whose bytes were kept."""
        found = self._read(
            "SELECT number FROM body JOIN chunk USING (number) WHERE state = 'answered' ORDER BY number"
        )
        return [number for (number,) in found]

    def receipts(self, numbers: Iterable[int]) -> Iterator[Receipt]:
        """The receipts of answered chunks."""
        for number in numbers:
            yield self.receipt(number)

    def receipt(self, number: int) -> Receipt:
        """The receipt of an answered chunk."""
        ((first, last, rows, phones, unsent, verdict),) = self._read(
            "SELECT first_row, last_row, rows, phones, unsent, verdict FROM chunk WHERE number = ?", (number,)
        )
        with self._understanding():
            sent = orjson.loads(phones)
            return Receipt(
                chunk=number,
                first_row=first,
                last_row=last,
                rows=rows_from_json(rows, first, last),
                phones=sent,
                verdict=verdict_from_json(verdict, len(sent)),
                unsent=unsent_from_json(unsent),
                replayed=True,
            )

    def answered_at(self, number: int) -> float:
        """When a chunk's answer was written down."""
        ((at,),) = self._read("SELECT answered_at FROM chunk WHERE number = ?", (number,))
        return float(at)

    def times(self) -> dict[str, tuple[int, float | None, float | None]]:
        """For each state: how many chunks, and the first and last time that one got there."""
        found = self._read(
            "SELECT state, count(*), min(coalesce(answered_at, sent_at, planned_at)),"
            " max(coalesce(answered_at, sent_at, planned_at)) FROM chunk GROUP BY state"
        )
        return {state: (count, first, last) for state, count, first, last in found}

    def next_number(self) -> int:
        ((last,),) = self._read("SELECT max(number) FROM chunk")
        return (last or 0) + 1

    def _any(self, table: str) -> bool:
        ((found,),) = self._read(f"SELECT EXISTS (SELECT 1 FROM {table})")  # noqa: S608  # our own words
        return bool(found)

    @contextlib.contextmanager
    def _understanding(self) -> Iterator[None]:
        """Raises `JournalError` for what cannot be understood."""
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise JournalError(str(self.path), f"is damaged ({error}); restore it, or name another file") from None

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._wrong(error) from None

    def _wrong(self, error: sqlite3.Error) -> JournalError:
        return JournalError(str(self.path), _explain(error))


def disk_failed(why: object) -> str:
    return f"the disk failed ({why}); nothing is sent that cannot be written down"


def _explain(error: sqlite3.Error) -> str:
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
        return disk_failed(error)
    return f"failed ({error})"


_BUSY_SECONDS = 10.0


def _connect(path: Path, writing: bool) -> sqlite3.Connection:
    mode = "rw" if writing else "ro"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,  # transactions are begun by hand
        check_same_thread=False,  # one thread at a time, but not the one that opened it
    )
