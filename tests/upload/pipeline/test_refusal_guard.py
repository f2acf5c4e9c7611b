"""Which refused chunks are kept for another run."""

from __future__ import annotations

from calls_async import OutcomeStatus
from calls_async.upload.chunks.chunk import Chunk, ChunkContent
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.pipeline.refusal_guard import GuardState, RefusalGuard

REFUSED = Verdict.all(OutcomeStatus.REJECTED, 1, "no")
TAKEN = Verdict.accepted(["1"])


def make_chunk(number: int) -> Chunk:
    content = ChunkContent(
        first_row=number, last_row=number, rows=range(number, number + 1), phones=["16500000000"], body=b"[{}]"
    )
    return Chunk.seal(content, number=number, upload_id="u")


def test_an_answer_meanwhile_loses_none_of_those_to_be_kept() -> None:
    chunks = [make_chunk(number) for number in range(1, 5)]
    guard = RefusalGuard(3)
    assert [guard.note(chunk, REFUSED) for chunk in chunks[:2]] == [(), ()]
    kept = guard.note(chunks[2], REFUSED)
    assert guard.note(chunks[3], TAKEN) == ()  # while they are being written down
    assert (list(kept), guard.state) == (chunks[:3], GuardState.TRIPPED)
