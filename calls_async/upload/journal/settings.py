"""Which journal, how it is kept, and what earlier processes wrote into it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, StrEnum
from pathlib import Path

import attrs

from calls_async.errors import ConfigurationError
from calls_async.protocol.token import Token, to_token
from calls_async.upload.chunks.chunk import Chunk, PastChunk
from calls_async.upload.journal.rejected_rows import RejectedRows
from calls_async.upload.rows.row import EncodedRow


class Durability(StrEnum):
    """What a journal survives."""

    PROCESS = "process"
    """The death of the process, however it comes. A power cut may cost the last moments of the journal, and the bytes
    of what was under way, so that it cannot be gone on with."""
    POWER = "power"
    """A power cut, too: every commit waits for the disk."""


class Purpose(Enum):
    """What a journal is opened for."""

    UPLOAD = "an upload"
    BATCHER = "a batcher"
    """It is never finished: a restart goes on with it."""
    SETTLING = "settling"
    """Of unknown rows, in a journal of either kind, be it finished or not."""


@attrs.frozen(slots=True, kw_only=True)
class JournalSettings:
    """Which journal, and how it is kept."""

    path: Path
    durability: Durability = Durability.POWER
    again: bool = False
    """Begin anew where a finished journal stands; that one is kept under another name. An unfinished one is gone on
    with all the same: the same command again resumes."""
    purpose: Purpose = Purpose.UPLOAD
    retry_rejected: bool = False
    """Send the rejected rows of the list again, under new keys, beside what is still to be sent."""
    rehearsal: bool = False
    """Nobody is called (an embedded sandbox): it begins anew each time, and never touches a real upload's journal."""

    def __attrs_post_init__(self) -> None:
        if self.retry_rejected and (self.again or self.rehearsal):
            other = "again" if self.again else "sandbox"
            raise ConfigurationError(
                f"retry_rejected goes on with a real upload's journal; it does not go with {other}"
            )


@attrs.frozen(slots=True)
class ChunkSize:
    """How large the chunks of an upload are at most: a border that moved would give the same rows another key."""

    rows: int
    body_bytes: int


@attrs.frozen(slots=True, kw_only=True)
class JournalOwner:
    """Whose a journal is: the campaign's token and host, the source's name, and the upload's identity."""

    token: Token = attrs.field(converter=to_token)
    host: str
    source: str = ""
    from_file: bool | None = None
    """Whether the source is a file, of which the rest can be read later; None: nobody knows."""
    reading: str | None = None
    """What decides which rows a file has, as words for a person; None: there is no file."""
    source_options: str | None = None
    """How a file is read, as a JSON object; None: there is no file."""
    chunk_size: ChunkSize | None = None
    """Of a new upload; None for a batcher, whose chunks come as they may."""
    identity: str | None = None
    """Of a new upload, where it is given from outside; None: a random one."""


@attrs.frozen(slots=True, kw_only=True)
class Past:
    """What earlier processes have done."""

    upload_id: str
    next_number: int = 1
    chunks: Sequence[PastChunk] = ()
    pending: Sequence[Chunk] = ()
    """Without an answer: to be sent again, the same bytes under the same key."""
    answered: Sequence[int] = ()
    """Those whose receipts are handed out again."""
    finished: bool = False
    """Whether the source was read to its end, and everything is answered."""
    generation: int = 0
    """How often rejected rows were sent again."""
    rejected: RejectedRows | None = None
    """The rejected rows, where they are sent again now."""
    source_options: str | None = None
    """How the source was read, as a JSON object; None: nobody knows, or it is no file."""
    encoding: str | None = None
    """What the source's text was read as, where that was found out or named."""
    queued: Sequence[EncodedRow] = ()
    """Put into a batcher, and in no chunk yet."""
    last_row: int = 0
    """The highest row of a batcher."""
    begun_at: float | None = None
    """When the upload began (Unix time, seconds); None without a journal."""
    was_sent: bool = False
    """Whether a chunk has ever been sent."""
    last_sent_at: float | None = None
    """When a key was last used for the first time, or else when the upload began; Unix time, seconds."""
    to_ask: int = 0
    """Of how many rows of the next chunks the report is to be asked first, as far as earlier processes have got with
    that."""
    old_rows: int = 0
    """The last row that an older version has read, by other rules."""
    of_batcher: bool = False
    """Whether they were batchers."""
    latest: float = 0.0
    """The last time that they wrote down; Unix time, seconds."""
    chunk_size: ChunkSize | None = None
    """Of their chunks, for those that follow; None where any will do."""
    from_file: bool = False
    """Whether they were reading a file, of which the rest can be read later."""
    body_limit: int | None = None
    """The largest body that the server takes, as far as that has been learnt; bytes."""

    @property
    def rows(self) -> int:
        """How many rows of the source have been taken in."""
        return max((chunk.last_row for chunk in self.chunks), default=0)


def read_settings(
    journal: str | Path | JournalSettings | None,
    durability: Durability | str,
    *,
    again: bool = False,
    retry_rejected: bool = False,
    purpose: Purpose = Purpose.UPLOAD,
) -> JournalSettings | None:
    """Return the settings that a caller means; None where no journal is kept. Raises `ConfigurationError`."""
    if isinstance(journal, JournalSettings):
        return attrs.evolve(journal, purpose=purpose)
    if journal is None:
        if retry_rejected:
            raise ConfigurationError(
                "without a journal nobody knows which rows were rejected; retry_rejected needs one"
            )
        return None
    try:
        return JournalSettings(
            path=Path(journal),
            durability=Durability(durability),
            again=again,
            retry_rejected=retry_rejected,
            purpose=purpose,
        )
    except ValueError:
        raise ConfigurationError(f"durability {durability!r} is not one of {', '.join(Durability)}") from None
