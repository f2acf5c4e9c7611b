"""The tables `chunk` and `body`: what every chunk is, how far it is, and what became of it."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from calls_async.errors import JournalError
from calls_async.protocol.keys import chunk_key, digest
from calls_async.upload.chunks.chunk import Chunk, Mark, PastChunk, phones_in
from calls_async.upload.journal.bodies import Bodies, bodies_path, read_body
from calls_async.upload.journal.bulks import Bulk
from calls_async.upload.journal.codec import (
    rows_from_json,
    rows_to_json,
    to_json,
    unsent_from_json,
    unsent_to_json,
    verdict_from_json,
    verdict_to_json,
)
from calls_async.upload.journal.database import Database
from calls_async.upload.outcomes.outcome import Receipt, Verdict
from calls_async.upload.status import OutcomeStatus

_PLAN = Bulk(
    0,
    "INSERT INTO chunk (number, parent, place, state, first_row, last_row, key, digest, body_at, body_bytes, rows,"
    " phones, unsent, verdict, mark_position, mark_digest, mark_ended, planned_at, answered_at, at_commit) VALUES ",
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
)
_SEND = Bulk(
    1,
    "WITH one (number, at, ahead, at_commit) AS (VALUES ",
    "(?, ?, ?, ?)",
    ") UPDATE chunk SET state = 'sent', (sent_at, sent_ahead, at_commit) ="
    " (SELECT one.at, one.ahead, one.at_commit FROM one WHERE one.number = chunk.number)"
    " WHERE number IN (SELECT number FROM one)",
)
_ANSWER = Bulk(
    2,
    "WITH one (number, at, phones, verdict, at_commit) AS (VALUES ",
    "(?, ?, ?, ?, ?)",
    ") UPDATE chunk SET state = 'answered', body_at = NULL, (answered_at, phones, verdict, at_commit) ="
    " (SELECT coalesce(chunk.answered_at, one.at), one.phones, one.verdict, one.at_commit FROM one"
    " WHERE one.number = chunk.number) WHERE number IN (SELECT number FROM one)",
)
_FORGET_BODY = Bulk(3, "DELETE FROM body WHERE number IN (", "?", ")")
"""A chunk is planned before it is sent, and sent before it is answered. UPDATE … FROM would say it more simply, but
SQLite has that from 3.33 on, and systems in use have 3.26."""


class ChunkTable:
    """Reads and writes chunks; the bytes of those under way are in `bodies`."""

    def __init__(self, database: Database, bodies: Bodies) -> None:
        self._database = database
        self._bodies = bodies
        self._commit = 0
        self.touched = False
        """Whether the commit under way has written its number down."""

    # --- writing ---

    def begin_commit(self, number: int) -> None:
        """Begin a commit: what it touches says so, and the number needs no page of its own (14 % of the time)."""
        self._commit, self.touched = number, False

    def _touch(self) -> int:
        self.touched = True
        return self._commit

    def plan(self, chunk: Chunk, mark: Mark | None, at: float, parent: int | None = None) -> None:
        """Write a sealed chunk down. One that sends nothing is answered at once."""
        sends = bool(chunk.rows)
        self._database.write_soon(
            _PLAN,
            (
                chunk.number,
                parent,
                chunk.place,
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
                mark.ended if mark is not None else None,
                at,
                None if sends else at,
                self._touch(),
            ),
        )

    def note_sent(self, number: int, at: float, server_ahead: float | None = None) -> None:
        """Note that the first attempt is about to start."""
        self._database.write_soon(_SEND, (number, at, server_ahead, self._touch()))

    def note_sent_ahead(self, numbers: Iterable[int], server_ahead: float) -> None:
        """Note how far the server's clock was ahead when these were first sent, which is known only now."""
        for number in numbers:
            self._database.write("UPDATE chunk SET sent_ahead = ? WHERE number = ?", (server_ahead, number))

    def note_unsent(self, number: int) -> None:
        """Note that the first attempt came to nothing, for certain: the chunk is as it was before."""
        self._database.write("UPDATE chunk SET state = 'planned', sent_at = NULL WHERE number = ?", (number,))

    def note_denied(self, number: int) -> None:
        """Note that the only answer was that nothing goes here: it may have been the wrong token, or host."""
        self._database.write("UPDATE chunk SET denied = 1 WHERE number = ?", (number,))

    def forget_denials(self) -> None:
        """Note that the upload goes on with the same token at the same host."""
        self._database.write("UPDATE chunk SET denied = 0 WHERE denied")

    def note_answered(self, chunk: Chunk, verdict: Verdict, at: float, server_ahead: float | None = None) -> None:
        """Note what became of the chunk's rows. Its bytes, and how far the server's clock was ahead, stay only where
        some of them are unknown."""
        number = chunk.number
        if OutcomeStatus.UNKNOWN in verdict.statuses:
            self._database.write("INSERT OR REPLACE INTO body (number, body) VALUES (?, ?)", (number, chunk.body))
            self._database.write("UPDATE chunk SET server_ahead = ? WHERE number = ?", (server_ahead, number))
        else:
            self._database.write_soon(_FORGET_BODY, (number,))
        self._database.write_soon(
            _ANSWER, (number, at, to_json(chunk.phones), verdict_to_json(verdict), self._touch())
        )

    def settle(self, number: int, verdict: Verdict) -> None:
        """Note what has become known of an answered chunk's unknown rows."""
        self._database.write("UPDATE chunk SET verdict = ? WHERE number = ?", (verdict_to_json(verdict), number))
        if OutcomeStatus.UNKNOWN not in verdict.statuses:
            self._database.write("DELETE FROM body WHERE number = ?", (number,))

    def leave(self, rest: Chunk) -> None:
        """Note that only the rows of `rest` are left of a chunk; the others went into new ones."""
        self._database.write(
            "UPDATE chunk SET rows = ?, rest_digest = ? WHERE number = ?",
            (to_json(list(rest.rows)), rest.digest, rest.number),
        )

    def gather_bodies(self) -> None:
        """Take the bytes that wait beside the journal into it: one file again, from which any process can go on.

        Raises `JournalError` where they are not there.
        """
        found = self._database.read(
            "SELECT number, body_at, body_bytes, digest FROM chunk WHERE state <> 'answered' AND body_at IS NOT NULL"
        )
        try:
            bodies = [(number, self._bodies.read(at, size), wanted) for number, at, size, wanted in found]
            if any(digest(body) != wanted for _, body, wanted in bodies):
                raise OSError(errno.EIO, "it is damaged")
        except OSError as error:
            name = bodies_path(self._database.path).name
            raise JournalError(
                str(self._database.path),
                f"the bytes of what was under way are not in {name}, which belongs beside it ({error.strerror}); "
                "bring that file back. Nothing was sent",
            ) from None
        with self._database.transaction():
            for number, body, _ in bodies:
                self._database.write("INSERT OR REPLACE INTO body (number, body) VALUES (?, ?)", (number, body))
            self._database.write("UPDATE chunk SET body_at = NULL WHERE state <> 'answered'")

    # --- reading ---

    def past(self) -> list[PastChunk]:
        """Return every chunk that came from the source, in its order."""
        found = self._database.read(
            "SELECT number, first_row, last_row, unsent, digest, mark_position, mark_digest, mark_ended FROM chunk "
            "WHERE parent IS NULL ORDER BY number"
        )
        return [
            PastChunk(
                number=number,
                first_row=first,
                last_row=last,
                rows=_rows_from_source(first, last, unsent),
                digest=body_digest,
                mark=None if position is None else Mark(position, mark_digest, bool(ended)),
            )
            for number, first, last, unsent, body_digest, position, mark_digest, ended in found
        ]

    def pending(self) -> list[Chunk]:
        """Return the chunks without an answer, with their exact bytes. Raises `JournalError` for damaged ones."""
        ((upload_id,),) = self._database.read("SELECT upload_id FROM upload")
        chunks = [self.chunk(number) for number in self._numbers("state <> 'answered'")]
        for chunk in chunks:
            if chunk.key != chunk_key(upload_id, chunk.place, chunk.digest):
                raise JournalError(
                    str(self._database.path), f"the key of chunk {chunk.number} is damaged; nothing was sent"
                )
        return chunks

    def chunk(self, number: int) -> Chunk:
        """Return one chunk with its exact bytes. Raises `JournalError` where those are missing or damaged."""
        ((first, last, place, key, wanted, rows, unsent, sent_at, ahead, body, at, size),) = self._database.read(
            "SELECT first_row, last_row, place, key, coalesce(rest_digest, digest), rows, unsent, sent_at,"
            " sent_ahead, body, body_at, body_bytes FROM chunk LEFT JOIN body USING (number) WHERE number = ?",
            (number,),
        )
        if at is not None:
            body = read_body(self._database.path, at, size)
        if not isinstance(body, bytes) or digest(body) != wanted:
            raise JournalError(str(self._database.path), f"the bytes of chunk {number} are damaged; nothing was sent")
        with self._database.understanding():
            return Chunk(
                number=number,
                place=place,
                first_row=first,
                last_row=last,
                rows=rows_from_json(rows, first, last),
                phones=phones_in(body),
                body=body,
                digest=wanted,
                key=key,
                unsent=unsent_from_json(unsent),
                first_sent_at=sent_at,
                first_sent_ahead=ahead,
            )

    def answered(self) -> list[int]:
        """Return the numbers of the answered chunks."""
        return self._numbers("state = 'answered'")

    def with_unknown(self) -> list[int]:
        """Return the numbers of the answered chunks in which some rows are unknown: those whose bytes were kept."""
        return self._numbers("state = 'answered' AND number IN (SELECT number FROM body)")

    def receipts(self, numbers: Iterable[int]) -> Iterator[Receipt]:
        """Yield the receipts of answered chunks."""
        for number in numbers:
            yield self.receipt(number)

    def receipt(self, number: int) -> Receipt:
        """Return the receipt of an answered chunk."""
        ((first, last, rows, phones, unsent, verdict),) = self._database.read(
            "SELECT first_row, last_row, rows, phones, unsent, verdict FROM chunk WHERE number = ?", (number,)
        )
        with self._database.understanding():
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
        """Return when a chunk's answer was written down."""
        ((at,),) = self._database.read("SELECT answered_at FROM chunk WHERE number = ?", (number,))
        return float(at)

    def server_ahead(self, number: int) -> float | None:
        """Return how many seconds the server's clock was ahead when a chunk's rows became unknown; None where nobody
        knows."""
        ((ahead,),) = self._database.read("SELECT server_ahead FROM chunk WHERE number = ?", (number,))
        return None if ahead is None else float(ahead)

    def next_number(self) -> int:
        """Return the number of the next new chunk."""
        ((last,),) = self._database.read("SELECT max(number) FROM chunk")
        return (last or 0) + 1

    def any_pending(self) -> bool:
        """Return whether a chunk has no answer."""
        return self._database.any("chunk WHERE state <> 'answered'")

    def any_sent(self) -> bool:
        """Return whether a chunk has ever been sent, and was told anything but that nothing goes here."""
        return self._database.any("chunk WHERE sent_at IS NOT NULL AND NOT denied")

    def _numbers(self, condition: str) -> list[int]:
        found: list[tuple[Any, ...]] = self._database.read(
            f"SELECT number FROM chunk WHERE {condition} ORDER BY number"  # noqa: S608  # our own words
        )
        return [number for (number,) in found]


def _rows_from_source(first: int, last: int, unsent: str) -> Sequence[int]:
    """Return the rows of the source that a chunk was made of: all that it covers, but those that were not sent."""
    if unsent == "[]":
        return range(first, last + 1)
    left_out = {row.row for row in unsent_from_json(unsent)}
    return [row for row in range(first, last + 1) if row not in left_out]
