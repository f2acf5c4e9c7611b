"""What a refusal of a chunk means: a verdict, or how its rows are split; and what it teaches about sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

from calls_async.errors import NoAnswerError, RefusedError, RequestError
from calls_async.transport.answers import denies_all, describe_refusal
from calls_async.transport.pacing.body_limit import BodyLimit
from calls_async.upload.chunks.chunk import PLACE_STEP, Chunk, halves
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.pipeline.hints import apart, named_by
from calls_async.upload.pipeline.send_result import Doubt, SendResult
from calls_async.upload.status import OutcomeStatus

_DUPLICATE = re.compile(r"duplicat|already (?:been |was )?(?:added|exist|known|in the campaign)")
"""No page says in which words a duplicate is refused (C-DUP-2)."""
_NO_DUPLICATE = re.compile(
    r"(?:stop|black|block|deny|do.not.call)[\W_]*list|duplicat\w*\W+(?:\w+\W+)?(?:key|field|column|propert|parameter|request)"
)
"""What else may be known already or stand there twice: a number on a stop list, a name in the JSON."""
HINTS_BELIEVED = 16
"""How often the rows of a chunk are split by the server's words: they may name the same place whatever is sent."""
_SIZE = re.compile(r"too (?:large|big|many)|size|limit|maximum|exceed")


class Refusals:
    """Reads refusals; learns from them how large a body the server takes."""

    def __init__(self, body_limit: BodyLimit) -> None:
        self._body_limit = body_limit

    def split_unasked(self, chunk: Chunk) -> Sequence[Sequence[int]]:
        """Return the parts of a chunk that is as large as what the server has refused: those to which asking it would
        lead, for they must have the same keys. None where it is smaller."""
        too_large = self._body_limit.too_large
        if too_large is None or len(chunk.body) < too_large or len(chunk.rows) == 1:
            return ()
        return halves(range(len(chunk.rows)))

    def refuse(self, chunk: Chunk, error: RefusedError) -> SendResult:
        """Return what a certain refusal comes to. One of many rows is one of some of them: it is split until those
        stand alone; where the words speak of a duplicate, a single row is one (C-DUP-2)."""
        alone = len(chunk.rows) == 1
        self._learn_size(chunk, error, alone=alone)
        if alone:
            words = error.body.lower()
            duplicate = _DUPLICATE.search(words) is not None and _NO_DUPLICATE.search(words) is None
            status = OutcomeStatus.DUPLICATE if duplicate else OutcomeStatus.REJECTED
            return SendResult.settled(Verdict.all(status, 1, describe_refusal(error)))
        groups = _split_by_words(error, chunk) or halves(range(len(chunk.rows)))
        return SendResult.split(groups, describe_refusal(error))

    def refuse_late(self, doubt: Doubt, called: set[str]) -> SendResult:
        """Return what a refusal, or a failure, comes to that proved nothing, when nothing can be late any more. Rows
        whose phone has a job since then (`called`) are unknown, all others were refused for certain: they go straight
        into single rows, for each further step might have to wait as long."""
        chunk, reason = doubt.chunk, describe_doubt(doubt.error)
        unknown = [index for index, phone in enumerate(chunk.phones) if phone in called]
        refused = [index for index, phone in enumerate(chunk.phones) if phone not in called]
        verdict = Verdict.all(OutcomeStatus.UNKNOWN, len(unknown), reason)
        if denies_all(doubt.error.status):
            # The server keeps it with the key, for its report works. A new key, and never a word of rejection.
            return SendResult(verdict, unknown, [refused] if refused else [], reason)
        if len(chunk.rows) == 1 and refused:
            return SendResult.settled(Verdict.all(OutcomeStatus.REJECTED, 1, reason))
        groups = () if unknown or doubt.error.failing else _split_by_words(doubt.error, chunk)
        return SendResult(verdict, unknown, groups or [[index] for index in refused], reason)

    def _learn_size(self, chunk: Chunk, error: RequestError, *, alone: bool) -> None:
        certain = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        by_words = error.status == HTTPStatus.UNPROCESSABLE_ENTITY and _SIZE.search(error.body.lower()) is not None
        if not certain and not by_words:
            return
        if alone:
            self._body_limit.refused_alone(certain=certain)
        else:
            self._body_limit.refused(len(chunk.body), certain=certain)


def _split_by_words(error: RequestError, chunk: Chunk) -> list[Sequence[int]]:
    """Return the rows that a refusal names, each by itself, and all others together; none where it names none, speaks
    of sizes, or has been believed often enough."""
    too_large = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or _SIZE.search(error.body.lower()) is not None
    if too_large or chunk.place.count(PLACE_STEP) >= HINTS_BELIEVED:
        return []
    named = named_by(error.body, chunk)
    return apart(named, len(chunk.rows)) if named else []


def describe_doubt(error: NoAnswerError) -> str:
    """Say what a row's outcome tells of a refusal that proved nothing by itself."""
    if error.failing:
        return f"the server fails at it each time (last: {error.last}), and answers others"
    return error.last if error.status is None else f"{describe_refusal(error)} (the report was asked, too)"
