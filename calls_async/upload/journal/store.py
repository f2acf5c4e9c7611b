"""An open journal's file: its tables, and the steps that concern several of them. For one thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from calls_async.errors import JournalError
from calls_async.upload.chunks.chunk import Chunk, Mark
from calls_async.upload.journal.batcher_tables import BatcherTables
from calls_async.upload.journal.bodies import Bodies
from calls_async.upload.journal.chunk_table import ChunkTable
from calls_async.upload.journal.database import Database, explain_disk, remove_copies
from calls_async.upload.journal.people import remove_people
from calls_async.upload.journal.release import release_rows
from calls_async.upload.journal.schema import BATCHER, LIST
from calls_async.upload.journal.settings import JournalOwner
from calls_async.upload.journal.upload_table import UploadTable
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.rows.row import EncodedRow

Operation = Callable[["Store"], None]


class Store:
    """An open journal's file. `close` gives it back. Raises `JournalError` for whatever disk or file does wrong."""

    def __init__(self, path: Path, *, synchronous: str = "FULL", writing: bool = True) -> None:
        self.database = Database(path, synchronous=synchronous, writing=writing)
        self._bodies = Bodies(path, synced=synchronous == "FULL")
        self.upload = UploadTable(self.database)
        self.chunks = ChunkTable(self.database, self._bodies)
        self.batcher = BatcherTables(self.database)
        self._writing = writing
        self._answered: list[int] = []
        """In the transaction under way; afterwards their bytes are not needed any more."""
        self._of_batcher = False
        self._source_done = False
        self._next_options: str | None = None
        self._commits = 0
        if not self.empty:
            try:
                record = self.upload.record()
                self._of_batcher, self._source_done = record.kind == BATCHER, record.source_done
                if writing:
                    self.chunks.gather_bodies()
                    self._begin_log()
            except JournalError:
                self._bodies.close()
                self.database.close()
                raise

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.database.path

    @property
    def empty(self) -> bool:
        """Whether nothing stands in it yet."""
        return self.database.empty

    def close(self) -> None:
        """Give the file free for the next process."""
        if self._writing and not self.empty:
            with contextlib.suppress(JournalError):
                self._fold()
        self._bodies.close()
        self.database.close()

    def set_aside(self, *, keep: bool) -> None:
        """Close the journal and take it out of the way of another, under another name or for good."""
        self._fold()  # and the file of the bodies is gone, while the lock is held
        self.database.set_aside(keep=keep)

    def begin(self, owner: JournalOwner, *, kind: str = LIST, rehearsal: bool = False, at: float) -> None:
        """Make a new journal for a new upload."""
        with self.database.transaction():
            self.database.create()
            self.upload.begin(owner, kind=kind, rehearsal=rehearsal, at=at)
        self._begin_log()
        self._of_batcher = kind == BATCHER

    def commit(self, operations: Iterable[Operation]) -> None:
        """Carry out all operations in one transaction, or none of them."""
        self.chunks.begin_commit(self._commits + 1)
        try:
            with self.database.transaction():
                for operation in operations:
                    operation(self)
                if not self.chunks.touched:
                    self.upload.note_commits(self._commits + 1)
                self._bodies.sync()  # before the database says that they are there
        except BaseException:
            self._answered.clear()
            raise
        self._commits += 1
        with self._disk():
            self._bodies.note_commits(self._commits)
        for number in self._answered:
            self._bodies.free(number)
        self._answered.clear()

    def note_options_with_next_chunk(self, options: str) -> None:
        """Note how the file is read, once something comes of it."""
        self._next_options = options

    # --- steps of a transaction ---

    def plan(self, chunk: Chunk, mark: Mark | None, at: float, parent: int | None = None) -> None:
        """Write a sealed chunk down."""
        if chunk.generation:
            self.upload.begin_generation(chunk.generation)
        if self._source_done and parent is None:
            self._source_done = False
            self.upload.note_source_open()  # it has grown, or is read again
        if self._next_options is not None:
            self.upload.note_source_options(self._next_options)
            self._next_options = None
        self.chunks.plan(chunk, mark, at, parent)
        if self._of_batcher:
            self.batcher.take_from_queue(chunk)
            self.upload.note_row(chunk.last_row)
            if not chunk.rows:
                self.batcher.leave_untold(chunk.number)

    def plan_again(self, chunk: Chunk, at: float, holders: Mapping[int, set[int]]) -> None:
        """Write down a chunk with rows that were rejected, by the numbers of the chunks that they leave."""
        for number, rows in holders.items():
            release_rows(self.database, self.chunks, number, rows)
        self.plan(chunk, None, at)

    def note_answered(self, chunk: Chunk, verdict: Verdict, at: float, server_ahead: float | None = None) -> None:
        """Note what became of a chunk's rows; `server_ahead` is how far the server's clock is ahead, seconds."""
        self.chunks.note_answered(chunk, verdict, at, server_ahead)
        self._answered.append(chunk.number)
        if self._of_batcher and (chunk.rows or chunk.unsent):
            self.batcher.leave_untold(chunk.number)

    def split(
        self,
        rest: Chunk,
        verdict: Verdict,
        parts: Sequence[Chunk],
        at: float,
        server_ahead: float | None = None,
    ) -> None:
        """Give some rows of a chunk to new ones; `rest` and its `verdict` stay behind, answered."""
        for part in parts:
            self.plan(part, None, at, parent=rest.number)
        self.chunks.leave(rest)
        self.note_answered(rest, verdict, at, server_ahead)

    def enqueue(self, row: EncodedRow, key: str | None, at: float) -> int | None:
        """Keep a contact that was put into a batcher; see `BatcherTables.enqueue`."""
        known = self.batcher.enqueue(row, key, at)
        if known == row.row:
            self.upload.note_row(known)
        return known

    # --- steps of their own ---

    def settle(self, number: int, verdict: Verdict) -> None:
        """Note what has become known of a chunk's unknown rows."""
        self.commit([lambda store: store._settle(number, verdict)])

    def forget(self, before: float) -> bool:
        """Remove from a batcher's journal some of what was answered before (Unix time, seconds); return whether there
        may be more."""
        old = self.batcher.find_old(before)
        self.commit([lambda store: store.batcher.forget(old)])
        return old.full

    def purge(self, at: float) -> None:
        """Remove phones, payloads and the server's words; counts, keys and job IDs stay."""
        self.database.overwrite_deleted()
        with self.database.transaction():
            remove_people(self.database)
            if not self._of_batcher:  # which may go on
                self.upload.note_purged(at)
        self.database.compact()
        remove_copies(self.path)

    def finished(self) -> bool:
        """Return whether the source was read to its end, or nothing more is queued, and every chunk is answered."""
        whole = not self.batcher.any_queued() if self._of_batcher else self.upload.record().source_done
        return whole and not self.chunks.any_pending()

    def blank(self) -> bool:
        """Return whether nothing has been written down."""
        return (
            self.chunks.next_number() == 1 and not self.batcher.any_queued() and not self.upload.record().source_done
        )

    def _settle(self, number: int, verdict: Verdict) -> None:
        self.chunks.settle(number, verdict)
        if self._of_batcher:
            self.batcher.leave_untold(number)

    def _begin_log(self) -> None:
        """Open the journal: from now on, the file of the bodies belongs to it."""
        self._commits = self.database.commits()
        with self._disk():
            self._bodies.begin(self._commits)
        self.database.begin_log()

    def _fold(self) -> None:
        """Make one file of the journal again, that says that it was closed."""
        self.chunks.gather_bodies()
        self.database.fold_log()
        with self._disk():
            self._bodies.remove()

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain_disk(self.path, error) from None
