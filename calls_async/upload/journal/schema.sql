-- A journal: one upload, or one batcher, written down. Readable with the sqlite3 shell: SELECT * FROM outcome.
-- Times are Unix time in seconds. Rows are those of the source, from 1.

-- One row: which upload this is, for which campaign (a salted fingerprint, never the token), from which source.
CREATE TABLE upload (
    upload_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    library TEXT NOT NULL, -- the version that made it
    host TEXT NOT NULL,
    salt BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL, -- list, or batcher
    rehearsal INTEGER NOT NULL, -- of an embedded sandbox: nobody was called
    source_done INTEGER NOT NULL DEFAULT 0,
    body_limit INTEGER, -- the largest body that the server takes, bytes; once it has refused a larger one
    last_row INTEGER NOT NULL DEFAULT 0, -- a batcher's highest row
    purged_at REAL,
    from_file INTEGER, -- whether the source is a file, of which the rest can be read later; NULL: nobody knows
    closed INTEGER NOT NULL DEFAULT 0, -- 0: open, or its process has died: then -wal and -bodies belong to it
    chunk_rows INTEGER, -- at most, in all its chunks: their borders are the same in every run
    chunk_bytes INTEGER,
    commits INTEGER NOT NULL DEFAULT 0, -- how many there had been at the last one that touched no chunk
    to_ask INTEGER NOT NULL DEFAULT 0, -- of so many rows of its next chunks the report is asked: it may be an old copy
    old_rows INTEGER NOT NULL DEFAULT 0, -- up to this row an older version decided which lines of a file are rows
    reading TEXT, -- the options that decide which rows a file has; NULL: nobody knows, or it is no file
    generation INTEGER NOT NULL DEFAULT 0, -- how often rejected rows were sent again; in the places of these chunks
    source_options TEXT, -- all options by which the file is read, as a JSON object; NULL: nobody knows, or it is no file
    encoding TEXT -- what its text was read as, where that was found out or named
);

-- One row a chunk: planned (written down, not sent), sent (on its way since sent_at) or answered.
CREATE TABLE chunk (
    number INTEGER PRIMARY KEY,
    parent INTEGER, -- the chunk whose rows these were, before it was split or its unknown rows were sent anew
    place TEXT NOT NULL, -- the chain of row ranges from the source's chunk down to it: 1-500>1-250; in the key
    state TEXT NOT NULL CHECK (state IN ('planned', 'sent', 'answered')),
    first_row INTEGER NOT NULL,
    last_row INTEGER NOT NULL,
    key TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL, -- SHA-256 of the body that the source gave it
    rest_digest BLOB, -- of what is left, where some of its rows went into other chunks
    body_at INTEGER, -- the body's place in the file beside the journal, whose name ends with -bodies
    body_bytes INTEGER,
    rows TEXT, -- a JSON array; NULL: all from first_row to last_row
    phones TEXT, -- of these rows, once it is answered
    unsent TEXT NOT NULL, -- rows that are not sent: a JSON array of [row, phone, status, error]
    verdict TEXT, -- a JSON object of statuses, job_ids, errors: each an array, or one value for all rows
    mark_position INTEGER, -- how many bytes of the source had been read, and their SHA-256
    mark_digest BLOB,
    mark_ended INTEGER, -- 1: there the source ended, in the middle of a line
    planned_at REAL NOT NULL,
    sent_at REAL,
    answered_at REAL,
    at_commit INTEGER NOT NULL DEFAULT 0, -- the commit that touched it last; the file -bodies knows how many there were
    denied INTEGER NOT NULL DEFAULT 0, -- 1: its only answer was that nothing goes here (401, 404): no token, no host
    server_ahead REAL, -- seconds that the server's clock was ahead, where some of its rows became unknown
    sent_ahead REAL -- the same at sent_at, or as soon afterwards as it was known; NULL: nobody knows
);
CREATE INDEX chunk_pending ON chunk (number) WHERE state <> 'answered';

-- The exact bytes of chunks, as long as they may be needed and are not in the file beside the journal.
CREATE TABLE body (number INTEGER PRIMARY KEY REFERENCES chunk, body BLOB NOT NULL);

-- A batcher's contacts that were put and are in no chunk yet, ready to be sent.
CREATE TABLE queued (row INTEGER PRIMARY KEY, phone TEXT NOT NULL, body BLOB NOT NULL);

-- The idempotence keys that contacts were put under, the digest of each contact, its row, and whether it came again.
CREATE TABLE put_key (key TEXT PRIMARY KEY, digest BLOB NOT NULL, row INTEGER NOT NULL,
    repeated INTEGER NOT NULL DEFAULT 0, put_at REAL NOT NULL);
CREATE INDEX put_key_age ON put_key (put_at);

-- A batcher's answered chunks whose receipts its owner may not have had.
CREATE TABLE untold (chunk INTEGER PRIMARY KEY);

-- One row for each answered row of the source.
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
