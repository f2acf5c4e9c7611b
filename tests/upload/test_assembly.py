"""What can be handed into an upload from outside: its identity, its limiter, its journal, its source's part."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from calls_async import ConfigurationError, RetryPolicy
from calls_async.protocol.keys import chunk_key, digest
from calls_async.sandbox import DuplicateRule
from calls_async.testing import InProcessSandbox
from calls_async.transport.attempts import Runtime
from calls_async.transport.clock import Clock
from calls_async.transport.connection import Connection
from calls_async.transport.pacing.limiter import Enter, Limiter, Sleep, TooLate
from calls_async.upload.assembly import UploadRequest
from calls_async.upload.chunks.chunk import Chunk, Mark
from calls_async.upload.journal.journal import Journal, Watcher
from calls_async.upload.journal.settings import JournalOwner, JournalSettings, Past
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import FilePart, Reading
from calls_async.upload.sources.source import Source
from calls_async.upload.upload import Upload
from tests.helpers.contacts import contacts


@pytest.fixture
def sandbox() -> InProcessSandbox:
    return InProcessSandbox(duplicates=DuplicateRule.OFF)


@pytest.fixture
def connection(sandbox: InProcessSandbox) -> Connection:
    runtime = Runtime(exchange=sandbox.exchange, rng=random.Random(1))
    return Connection(
        base_url=sandbox.url, runtime=runtime, retry=RetryPolicy(), upload_retry=RetryPolicy.for_uploads()
    )


def owner(sandbox: InProcessSandbox, identity: str | None = "the plan's part 7") -> JournalOwner:
    return JournalOwner(token=sandbox.token, host=sandbox.url, identity=identity)


def request(sandbox: InProcessSandbox, source: Source | None = None, **how: object) -> UploadRequest:
    return UploadRequest(
        source=source or open_source(list(contacts(20)), Reading()),
        settings=UploadSettings(chunk_rows=5),
        owner=owner(sandbox),
        **how,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kept", [True, False])
async def test_the_same_identity_gives_the_same_keys(
    sandbox: InProcessSandbox, connection: Connection, tmp_path: Path, kept: bool
) -> None:  # C-IDEM-1, C-IDEM-6
    for number in range(2):
        journal = JournalSettings(path=tmp_path / f"journal {number}") if kept else None
        summary = await Upload(request(sandbox, journal=journal), connection).run()
        assert summary.upload_id == "the plan's part 7"
    assert len(sandbox.jobs) == 20  # whoever runs a part again calls nobody twice
    keys = {call.key for call in sandbox.calls}
    places = {(f"{first}-{first + 4}", call.body) for first, call in zip((1, 6, 11, 16), sandbox.calls, strict=False)}
    assert keys == {chunk_key("the plan's part 7", place, digest(body)) for place, body in places}


class Counting(Limiter):
    """Lets everything go and counts it."""

    def __init__(self) -> None:
        self.sent = 0

    @property
    def largest_chunk(self) -> int:
        return 2

    async def take(self, contacts: int, enter: Enter, *, too_late: TooLate, sleep: Sleep) -> bool:
        self.sent += contacts
        return await enter()


async def test_a_limiter(sandbox: InProcessSandbox, connection: Connection) -> None:
    limiter = Counting()
    await Upload(request(sandbox, limiter=limiter), connection).run()
    assert limiter.sent == 20
    assert len(sandbox.calls) == 10


class Noting(Journal):
    """Keeps what it is told, in memory."""

    keeps = True

    def __init__(self, identity: str) -> None:
        super().__init__(Past(upload_id=identity))
        self.notes: list[str] = []

    def plan(self, chunk: Chunk, mark: Mark | None) -> None:
        self.notes.append(f"plan {chunk.place}")

    async def note_sent(self, chunk: Chunk, at: float) -> None:
        self.notes.append(f"sent {chunk.place}")

    async def note_answered(self, chunk: Chunk, verdict: Verdict) -> None:
        self.notes.append(f"answered {chunk.place}")

    async def split(self, rest: Chunk, verdict: Verdict, parts: Sequence[Chunk]) -> None:
        self.notes.append(f"split {rest.place} into {' and '.join(part.place for part in parts)}")

    async def note_source_done(self) -> None:
        self.notes.append("done")

    async def close(self) -> None:
        self.notes.append("closed")


async def test_a_journal_of_another_kind() -> None:  # C-M-16
    sandbox = InProcessSandbox(max_request_bytes=80)
    runtime = Runtime(exchange=sandbox.exchange, rng=random.Random(1))
    policy = RetryPolicy.for_uploads()
    connection = Connection(base_url=sandbox.url, runtime=runtime, retry=policy, upload_retry=policy)
    journal = Noting("i")

    async def open_journal(clock: Clock, watcher: Watcher) -> Journal:
        return journal

    source = open_source([{"phone": 16500000000 + n} for n in range(5)], Reading())
    await Upload(request(sandbox, source, journal=open_journal), connection).run()
    notes = journal.notes
    assert notes[:3] == ["plan 1-5", "sent 1-5", "split 1-5 into 1-5>1-2 and 1-5>3-5"]
    answered = {note.removeprefix("answered ") for note in notes if note.startswith("answered")}
    assert answered == {"1-5>1-2", "1-5>3-5"}
    assert notes[-2:] == ["done", "closed"]


async def test_a_part_of_the_source(sandbox: InProcessSandbox, connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("phone\n" + "".join(f"{16500000000 + n}\n" for n in range(1, 21)))
    rows: list[int] = []
    for first in (1, 11):
        source = open_source(path, Reading(part=FilePart(first_row=first, last_row=first + 9)))
        async with Upload(request(sandbox, source), connection) as upload:
            rows += [outcome.row async for receipt in upload for outcome in receipt.outcomes()]
    assert sorted(rows) == list(range(1, 21))
    assert sorted(int(job.phone) - 16500000000 for job in sandbox.jobs) == list(range(1, 21))


def test_nothing_to_send(sandbox: InProcessSandbox) -> None:
    with pytest.raises(ConfigurationError, match="without a source"):
        request(sandbox, open_source(None, Reading()))
