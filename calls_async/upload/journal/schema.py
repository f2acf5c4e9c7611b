"""How a journal looks on disk: its schema, and how rows and verdicts are written in it.

Schema, readable with the sqlite3 shell:

- `upload`: one row; which upload this is, for which campaign (a salted fingerprint, never the token), from which
  source; `kind` is `list`, or `batcher`; `body_limit` is the largest body in bytes that the server takes, once it
  has refused a larger one.
- `chunk`: one row a chunk. `state` is `planned` (written down, not sent), `sent` (on its way since `sent_at`) or
  `answered`. `rows` is a JSON array, or NULL for all rows from `first_row` to `last_row`; `phones` goes with it,
  once the chunk has its answer.
  `unsent` is a JSON array of [row, phone, status, error]. `verdict` is a JSON object of `statuses`, `job_ids` and
  `errors`, each an array, or one value for all rows. `mark_position` and `mark_digest` tell how far the source had
  been read, and the SHA-256 of that much of it. `parent` is the chunk whose rows these were, before it was refused
  and split or its unknown rows were sent anew; `rest_digest` tells that some rows of a chunk went into others: what
  is left has that digest, while `digest` stays that of all rows that the source gave it. Times are Unix time in
  seconds.
- `body`: the exact bytes of a chunk, as long as they may be needed and are not in the file beside the journal, whose
  name ends with `-bodies`: `body_at` and `body_bytes` are their place there.
- `outcome`: a view; one row for each answered row of the source.

And for a batcher, whose `upload` row also has the highest row number, `last_row`:

- `queued`: the contacts that were put and are in no chunk yet, ready to be sent.
- `put_key`: the idempotence keys that contacts were put under, the digest of each contact, its row, and whether it
  was put again.
- `untold`: the answered chunks whose receipts its owner may not have had.
"""

from __future__ import annotations

APPLICATION_ID = 0x43414C4A
"""Marks the file as a journal of ours."""
SCHEMA_VERSION = 4
LIST = "list"
BATCHER = "batcher"
"""The two kinds of journal: of a contact list, and of a batcher."""


SCHEMA = """
CREATE TABLE upload (
    upload_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    library TEXT NOT NULL,
    host TEXT NOT NULL,
    salt BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    rehearsal INTEGER NOT NULL,
    source_done INTEGER NOT NULL DEFAULT 0,
    body_limit INTEGER,
    last_row INTEGER NOT NULL DEFAULT 0,
    purged_at REAL
);
CREATE TABLE chunk (
    number INTEGER PRIMARY KEY,
    parent INTEGER,
    state TEXT NOT NULL CHECK (state IN ('planned', 'sent', 'answered')),
    first_row INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    key TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    rest_digest BLOB,
    body_at INTEGER,
    body_bytes INTEGER,
    rows TEXT,
    phones TEXT,
    unsent TEXT NOT NULL,
    verdict TEXT,
    mark_position INTEGER,
    mark_digest BLOB,
    planned_at REAL NOT NULL,
    sent_at REAL,
    answered_at REAL
);
CREATE INDEX chunk_pending ON chunk (number) WHERE state <> 'answered';
CREATE TABLE body (number INTEGER PRIMARY KEY REFERENCES chunk, body BLOB NOT NULL);
CREATE TABLE queued (row INTEGER PRIMARY KEY, phone TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE put_key (key TEXT PRIMARY KEY, digest BLOB NOT NULL, row INTEGER NOT NULL,
    repeated INTEGER NOT NULL DEFAULT 0, put_at REAL NOT NULL);
CREATE INDEX put_key_age ON put_key (put_at);
CREATE TABLE untold (chunk INTEGER PRIMARY KEY);
CREATE VIEW outcome AS
    SELECT coalesce(json_extract(c.rows, '$[' || p.key || ']'), c.first_row + p.key) AS row,
        p.value AS phone,
        CASE json_type(c.verdict, '$.statuses')
            WHEN 'array' THEN json_extract(c.verdict, '$.statuses[' || p.key || ']')
            ELSE json_extract(c.verdict, '$.statuses') END AS status,
        json_extract(c.verdict, '$.job_ids[' || p.key || ']') AS job_id,
        CASE json_type(c.verdict, '$.errors') WHEN 'array' THEN json_extract(c.verdict, '$.errors[' || p.key || ']')
            ELSE json_extract(c.verdict, '$.errors') END AS error
    FROM chunk AS c, json_each(c.phones) AS p WHERE c.state = 'answered'
    UNION ALL
    SELECT json_extract(u.value, '$[0]'), json_extract(u.value, '$[1]'), json_extract(u.value, '$[2]'), NULL,
        json_extract(u.value, '$[3]')
    FROM chunk AS c, json_each(c.unsent) AS u WHERE c.state = 'answered';
"""
