"""What happens between this client and a server, as frozen objects for whoever watches."""

from __future__ import annotations

import logging
from typing import ClassVar

import attrs


@attrs.frozen(slots=True, kw_only=True)
class Event:
    """Something happened at `at` (Unix time, seconds). `str()` says it in words, without phones and payloads."""

    level: ClassVar[int] = logging.DEBUG
    """Of its log record."""
    at: float


@attrs.frozen(slots=True, kw_only=True)
class Throttled(Event):
    """The server asked to slow down, by its words or by being slow: fewer requests at once from now on."""

    level: ClassVar[int] = logging.INFO
    reason: str
    window: int
    """Requests that may be in flight now."""
    hold_seconds: float
    """How long nothing at all is sent, because the server said so (`Retry-After`); 0 without that."""

    def __str__(self) -> str:
        hold = f", nothing is sent for {self.hold_seconds:.0f} s" if self.hold_seconds else ""
        return f"slowed down by the server ({self.reason}): {self.window} requests at once now{hold}"


@attrs.frozen(slots=True, kw_only=True)
class OutageBegan(Event):
    """The server has answered nothing for a while: one request at a time probes whether it is back."""

    level: ClassVar[int] = logging.WARNING
    reason: str

    def __str__(self) -> str:
        return f"the server does not answer ({self.reason}); one request at a time probes whether it is back"


@attrs.frozen(slots=True, kw_only=True)
class OutageEnded(Event):
    """The server answers again."""

    level: ClassVar[int] = logging.WARNING
    seconds: float
    """How long it did not."""

    def __str__(self) -> str:
        return f"the server answers again, after {self.seconds:.0f} s"
