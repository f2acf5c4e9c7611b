"""What the package itself decides, asked of its pure parts and remembered: the model only plays what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import orjson

from calls_async.errors import NoAnswerError, RefusedError
from calls_async.protocol import endpoints
from calls_async.protocol.endpoints import Response
from calls_async.protocol.token import Token
from calls_async.transport.answers import denies_all, judge
from calls_async.transport.evidence import Evidence, Trace
from calls_async.transport.pacing.body_limit import BodyLimit
from calls_async.upload.chunks.chunk import Chunk, ChunkContent
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.pipeline.refusals import Refusals
from calls_async.upload.pipeline.send_result import Doubt, SendResult

UPLOAD_ID = "upload"
TOKEN = Token("token")
_chunks: dict[str, Chunk] = {}


class Decision(NamedTuple):
    """What a chunk has come to: a status for each row that stays, and the places of what is sent anew."""

    outcomes: tuple[tuple[int, str], ...]
    parts: tuple[str, ...]


class Judged(NamedTuple):
    """What an answer means: `again`, `parked` (with its status), `stops`, or a decision."""

    what: str
    evidence: Evidence
    status: int = 0
    decision: Decision | None = None


def seal(first_row: int, last_row: int) -> str:
    """Make a chunk of the source, and return its place."""
    rows = range(first_row, last_row + 1)
    phones = [str(16500000000 + row) for row in rows]
    body = orjson.dumps([{"phone": phone} for phone in phones])
    content = ChunkContent(first_row=first_row, last_row=last_row, rows=rows, phones=phones, body=body)
    return _note(Chunk.seal(content, number=len(_chunks) + 1, upload_id=UPLOAD_ID))


def _note(chunk: Chunk) -> str:
    _chunks.setdefault(chunk.place, chunk)
    return chunk.place


@cache
def rows_of(place: str) -> tuple[int, ...]:
    return tuple(_chunks[place].rows)


def key_of(place: str) -> str:
    return _chunks[place].key


@cache
def judge_answer(place: str, status: int, evidence: Evidence) -> Judged:
    """Judge an answer of that status to a chunk; 200 has an ID for each row."""
    chunk = _chunks[place]
    request = endpoints.add_phones(TOKEN, chunk.body, chunk.key)
    judgement = judge(Response(status=status, body=b"no"), request, evidence, 0.0, recognised=True)
    seen = evidence.seen(judgement.trace, conflict=status == 409)
    if judgement.failure is None:
        return Judged("decided", seen, decision=all_of(place, "accepted"))
    if judgement.doubtful:
        stops = denies_all(status) and not evidence.from_before
        return Judged("stops" if stops else "parked", seen, status)
    if isinstance(judgement.failure, RefusedError):
        if denies_all(status):
            return Judged("parked" if evidence.from_before else "stops", seen, status)
        result = Refusals(BodyLimit()).refuse(chunk, judgement.failure)
        return Judged("decided", seen, decision=_decide(chunk, result))
    return Judged("again", seen)


@cache
def settle(place: str, status: int, called_rows: frozenset[int]) -> Decision:
    """Decide what becomes of a chunk in doubt when nothing may be late any more, and these rows have jobs."""
    chunk = _chunks[place]
    error = NoAnswerError(
        "no", method="POST", path="", attempts=1, seconds=0, idempotence_key=chunk.key, refused=True, status=status
    )
    called = {phone for row, phone in zip(chunk.rows, chunk.phones, strict=True) if row in called_rows}
    doubt = Doubt(chunk=chunk, error=error, first_sent_at=0.0)
    return _decide(chunk, Refusals(BodyLimit()).refuse_late(doubt, called))


def all_of(place: str, status: str) -> Decision:
    return Decision(tuple((row, status) for row in rows_of(place)), ())


def _decide(chunk: Chunk, result: SendResult) -> Decision:
    verdict: Verdict = result.verdict
    groups: Sequence[Sequence[int]] = result.again
    _, parts = chunk.divide(result.stays, groups, take_number=lambda: 0, upload_id=UPLOAD_ID)
    outcomes = zip(result.stays, verdict.statuses, strict=True)
    return Decision(
        tuple((chunk.rows[index], status.value) for index, status in outcomes), tuple(_note(part) for part in parts)
    )


FRESH = Evidence()
FROM_BEFORE = Evidence.sent_before()
LOST = Trace.UNCERTAIN
