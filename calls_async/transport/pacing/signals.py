"""Signals."""

from __future__ import annotations

from enum import Enum, auto


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
