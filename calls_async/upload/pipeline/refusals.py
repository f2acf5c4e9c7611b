"""What a refusal of a chunk means: a verdict, or how its rows are split; and what it teaches about sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

from calls_async.errors import NoAnswerError, RefusedError, RequestError
from calls_async.transport.answers import describe_refusal
from calls_async.transport.pacing.body_limit import BodyLimit
from calls_async.upload.chunks.chunk import Chunk, halves, pieces
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.pipeline.send_result import SendResult
from calls_async.upload.status import OutcomeStatus

_DUPLICATE = re.compile(r"duplicat|already (?:been |was )?(?:added|exist|known|in the campaign)")
"""No page says in which words a duplicate is refused (C-DUP-2)."""
_NO_DUPLICATE = re.compile(
    r"(?:stop|black|block|deny|do.not.call)[\W_]*list|duplicat\w*\W+(?:\w+\W+)?(?:key|field|column|propert|parameter)"
)
"""What else may be known already or stand there twice: a number on a stop list, a name in the JSON."""
NEARLY = 1.1
"""How much larger than what is known to be taken a chunk may be before it is split unasked: halves differ."""
_SIZE = re.compile(r"too (?:large|big|many)|size|limit|maximum|exceed")


class Refusals:
    """Reads refusals; learns from them how large a body the server takes."""

    def __init__(self, body_limit: BodyLimit) -> None:
        self._body_limit = body_limit

    def split_unasked(self, chunk: Chunk) -> Sequence[Sequence[int]]:
        """Return the parts of a chunk that is larger than the server takes; none where it is not."""
        limit = self._body_limit.largest
        if limit is None or len(chunk.body) <= limit * NEARLY or len(chunk.rows) == 1:
            return ()
        return pieces(range(len(chunk.rows)), max(2, round(len(chunk.body) / limit)))

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
        groups = self.split_unasked(chunk) or halves(range(len(chunk.rows)))
        return SendResult.split(groups, describe_refusal(error))

    def learn_late(self, chunk: Chunk, refusal: NoAnswerError) -> None:
        """Learn from a refusal that came after an attempt without an answer."""
        if len(chunk.rows) > 1:
            self._learn_size(chunk, refusal, alone=False)

    def _learn_size(self, chunk: Chunk, error: RequestError, *, alone: bool) -> None:
        certain = error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        by_words = error.status == HTTPStatus.UNPROCESSABLE_ENTITY and _SIZE.search(error.body.lower()) is not None
        if not certain and not by_words:
            return
        if alone:
            self._body_limit.refused_alone(certain=certain)
        else:
            self._body_limit.refused(len(chunk.body), certain=certain)


def settle_late_refusal(phones: Sequence[str], called: set[str], reason: str) -> SendResult:
    """Return what a refusal after an uncertain attempt comes to, when nothing can be late any more: rows whose phone
    has a job since then (`called`) are unknown, all others are refused for certain. Pure."""
    unknown = [index for index, phone in enumerate(phones) if phone in called]
    refused = [index for index, phone in enumerate(phones) if phone not in called]
    if len(phones) == 1 and refused:
        return SendResult.settled(Verdict.all(OutcomeStatus.REJECTED, 1, reason))
    groups = halves(refused) if len(refused) == len(phones) else [refused] if refused else []
    return SendResult(Verdict.all(OutcomeStatus.UNKNOWN, len(unknown), reason), unknown, groups, reason)
