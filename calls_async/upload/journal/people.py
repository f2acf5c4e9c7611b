"""Takes the people out of a journal, and leaves what happened."""

from __future__ import annotations

from calls_async.upload.journal.database import Database

_STATEMENTS = (
    "DELETE FROM body",
    """
    UPDATE chunk SET phones = (SELECT json_group_array(NULL) FROM json_each(chunk.phones)),
        unsent = (SELECT coalesce(json_group_array(json_array(json_extract(value, '$[0]'), NULL,
            json_extract(value, '$[2]'), 'purged')), '[]') FROM json_each(chunk.unsent)),
        verdict = json_set(verdict, '$.errors', NULL)
    """,
    "DELETE FROM put_key",  # a key may name somebody
)


def remove_people(database: Database) -> None:
    """Remove phones, payloads, the server's words and the keys of `put`; counts, keys and job IDs stay."""
    for statement in _STATEMENTS:
        database.write(statement)
