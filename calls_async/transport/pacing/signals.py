"""What an attempt shows of the server, for the gate to learn from."""

from __future__ import annotations

from enum import Enum, auto

import attrs


class Sign(Enum):
    """What an attempt has shown of the server."""

    NOTHING = auto()
    """It was cancelled."""
    ANSWERED = auto()
    """It answered, be it with a refusal."""
    BUSY = auto()
    """It answered that there is too much to do."""
    OVERLOADED = auto()
    """It could not answer for the load, or not in time."""
    ABSENT = auto()
    """There was no answer, or only a gateway's."""
    FAILED = auto()
    """It failed at this request: a 500, or an answer that cannot be understood."""


@attrs.frozen(slots=True, kw_only=True)
class AttemptResult:
    """How an attempt that passed the gate has ended."""

    sign: Sign
    started: float
    """Monotonic seconds."""
    retry: bool
    """Whether it was not the call's first."""
    key: str | None = None
    """The idempotence key, by which requests are told apart."""
    reason: str = ""
    """Why it failed."""
    hold_seconds: float = 0.0
    """How long the server asked to send nothing."""
    chunk_bytes: int | None = None
    """Of a chunk's body; None for other requests."""
