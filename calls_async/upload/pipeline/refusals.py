"""Refusals."""

from __future__ import annotations

import re

from calls_async.errors import RefusedError
from calls_async.transport.answers import said_by
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.status import OutcomeStatus

_DUPLICATE = re.compile(r"duplicat|already (?:been |was )?(?:added|exist|known|in the campaign)")
"""No page says in which words a duplicate is refused (C-DUP-2)."""
NEARLY = 1.1
"""How much larger than what is known to be taken a chunk may be before it is split unasked: halves differ."""
_SIZE = re.compile(r"too (?:large|big|many)|size|limit|maximum|exceed")


def _verdict_of_one(error: RefusedError) -> Verdict:
    """A single row that was refused: where the words speak of a duplicate, it is one (C-DUP-2)."""
    duplicate = _DUPLICATE.search(error.body.lower()) is not None
    return Verdict.all(OutcomeStatus.DUPLICATE if duplicate else OutcomeStatus.REJECTED, 1, said_by(error))
