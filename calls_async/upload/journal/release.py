"""Rejected rows leave their chunk, for one under whose key they are sent again: every row stands in one chunk."""

from __future__ import annotations

from collections.abc import Collection

from calls_async.upload.journal.chunk_table import ChunkTable
from calls_async.upload.journal.codec import to_json, unsent_from_json, unsent_to_json, verdict_to_json
from calls_async.upload.journal.database import Database
from calls_async.upload.status import OutcomeStatus


def release_rows(database: Database, chunks: ChunkTable, number: int, rows: Collection[int]) -> None:
    """Note that these rejected rows have left chunk `number`."""
    ((unsent, state),) = database.read("SELECT unsent, state FROM chunk WHERE number = ?", (number,))
    left = [row for row in unsent_from_json(unsent) if row.row not in rows]
    database.write("UPDATE chunk SET unsent = ? WHERE number = ?", (unsent_to_json(left), number))
    if state == "answered":  # else none of those that it sends was rejected
        _release_sent(database, chunks, number, rows)


def _release_sent(database: Database, chunks: ChunkTable, number: int, rows: Collection[int]) -> None:
    receipt = chunks.receipt(number)
    stays = [index for index, row in enumerate(receipt.rows) if row not in rows]
    if len(stays) == len(receipt.rows):
        return
    if OutcomeStatus.UNKNOWN in receipt.verdict.statuses:  # the bytes of those are kept
        rest = chunks.chunk(number).keep_only(stays)
        chunks.leave(rest)
        database.write("UPDATE body SET body = ? WHERE number = ?", (rest.body, number))
    left = receipt.sent_at(stays)
    database.write(
        "UPDATE chunk SET rows = ?, phones = ?, verdict = ? WHERE number = ?",
        (to_json(list(left.rows)), to_json(list(left.phones)), verdict_to_json(left.verdict), number),
    )
