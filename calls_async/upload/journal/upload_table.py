"""The table `upload`: which upload a journal is of, and how far it is as a whole."""

from __future__ import annotations

import hashlib
import secrets
from importlib.metadata import version

import attrs

from calls_async.protocol.keys import new_upload_id
from calls_async.protocol.token import Token
from calls_async.upload.journal.database import Database
from calls_async.upload.journal.schema import LIST
from calls_async.upload.journal.settings import ChunkSize, JournalOwner

_FINGERPRINT_ROUNDS = 100_000


@attrs.frozen(slots=True, kw_only=True)
class UploadRecord:
    """What the journal says of the upload as a whole."""

    upload_id: str
    created_at: float
    library: str
    host: str
    salt: bytes = attrs.field(repr=False)
    fingerprint: bytes = attrs.field(repr=False)
    source: str
    kind: str
    rehearsal: bool = attrs.field(converter=bool)
    source_done: bool = attrs.field(converter=bool)
    body_limit: int | None
    last_row: int
    purged_at: float | None
    from_file: int | None
    chunk_rows: int | None
    chunk_bytes: int | None
    to_ask: int
    old_rows: int
    reading: str | None
    generation: int
    source_options: str | None
    encoding: str | None

    @property
    def chunk_size(self) -> ChunkSize | None:
        """How large its chunks are at most; None where any size will do."""
        if self.kind != LIST or self.chunk_rows is None or self.chunk_bytes is None:
            return None
        return ChunkSize(self.chunk_rows, self.chunk_bytes)

    def is_of(self, token: Token) -> bool:
        """Return whether it is of the campaign with this token."""
        return make_fingerprint(token, self.salt) == self.fingerprint


class UploadTable:
    """Reads and writes the one row of the table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self) -> UploadRecord:
        """Return the row. Raises `JournalError` for a damaged one."""
        names = [field.name for field in attrs.fields(UploadRecord)]
        with self._database.understanding():
            (values,) = self._database.read(f"SELECT {', '.join(names)} FROM upload")  # noqa: S608  # our own names
            return UploadRecord(**dict(zip(names, values, strict=True)))

    def begin(self, owner: JournalOwner, *, kind: str, rehearsal: bool, at: float) -> None:
        """Write the row of a new upload."""
        salt = secrets.token_bytes(16)
        self._database.write(
            "INSERT INTO upload (upload_id, created_at, library, host, salt, fingerprint, source, kind, rehearsal,"
            " from_file, reading, source_options, chunk_rows, chunk_bytes, closed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                owner.identity or new_upload_id(),
                at,
                version("calls_async"),
                owner.host,
                salt,
                make_fingerprint(owner.token, salt),
                owner.source.encode(errors="backslashreplace").decode(),  # a file's name may be no UTF-8
                kind,
                rehearsal,
                owner.from_file,
                owner.reading,
                owner.source_options,
                None if owner.chunk_size is None else owner.chunk_size.rows,
                None if owner.chunk_size is None else owner.chunk_size.body_bytes,
                True,  # until the files that belong to it are there
            ),
        )

    def note_commits(self, commits: int) -> None:
        """Note how many commits there have been."""
        self._database.write("UPDATE upload SET commits = ?", (commits,))

    def note_source_done(self) -> None:
        """Note that the source has been read to its end."""
        self._database.write("UPDATE upload SET source_done = 1")

    def begin_generation(self, generation: int) -> None:
        """Note that rejected rows are being sent again, for the `generation`-th time."""
        self._database.write("UPDATE upload SET generation = ? WHERE generation < ?", (generation, generation))

    def note_source_open(self) -> None:
        """Note that the source is being read on, whose end had been reached."""
        self._database.write("UPDATE upload SET source_done = 0")

    def note_source_options(self, options: str) -> None:
        """Note how the file is read from now on."""
        self._database.write("UPDATE upload SET source_options = ?", (options,))

    def note_encoding(self, encoding: str) -> None:
        """Note what the file's text is read as."""
        self._database.write("UPDATE upload SET encoding = ?", (encoding,))

    def note_body_limit(self, body_bytes: int) -> None:
        """Note the largest body that the server takes."""
        self._database.write("UPDATE upload SET body_limit = ?", (body_bytes,))

    def note_to_ask(self, rows: int) -> None:
        """Note of how many rows of the next chunks the report is to be asked first."""
        self._database.write("UPDATE upload SET to_ask = ?", (rows,))

    def note_row(self, row: int) -> None:
        """Note the number of a batcher's row, so that it is never given again."""
        self._database.write("UPDATE upload SET last_row = max(last_row, ?)", (row,))

    def note_host(self, host: str) -> None:
        """Note that the campaign's server is another one from now on (its base URL)."""
        self._database.write("UPDATE upload SET host = ?", (host,))

    def note_token(self, token: Token) -> None:
        """Note that it is of the campaign with this token from now on, where it was of another."""
        record = self.record()
        if not record.is_of(token):
            fingerprint = make_fingerprint(token, record.salt)
            self._database.write("UPDATE upload SET fingerprint = ?", (fingerprint,))

    def note_purged(self, at: float) -> None:
        """Note that the people were taken out of it at `at` (Unix time, seconds)."""
        self._database.write("UPDATE upload SET purged_at = ?", (at,))


def make_fingerprint(token: Token, salt: bytes) -> bytes:
    """Return what recognises the campaign's token and does not give it away (C-M-18)."""
    return hashlib.pbkdf2_hmac("sha256", token.reveal().encode(), salt, _FINGERPRINT_ROUNDS)
