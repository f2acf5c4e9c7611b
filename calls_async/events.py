"""Everything that happens while a client works, as frozen objects for whoever watches, and who hands them out.

Every event also is a log record of the logger `calls_async.upload`, at its `level`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import ClassVar

import attrs

from calls_async.errors import ConfigurationError

_LOGGER = logging.getLogger("calls_async.upload")
logging.getLogger("calls_async").addHandler(logging.NullHandler())  # silent, unless the program logs


@attrs.frozen(slots=True, kw_only=True)
class Event:
    """Something happened at `at` (Unix time, seconds). `str()` says it in words, without phones and payloads."""

    level: ClassVar[int] = logging.DEBUG
    """Of its log record."""
    at: float


@attrs.frozen(slots=True, kw_only=True)
class ChunkEvent(Event):
    """Something happened to the chunk of that number, in that upload."""

    upload_id: str
    chunk: int


@attrs.frozen(slots=True, kw_only=True)
class ChunkSent(ChunkEvent):
    """Its first attempt begins, in this process."""

    rows: int
    body_bytes: int

    def __str__(self) -> str:
        return f"chunk {self.chunk}: {self.rows} rows sent, {self.body_bytes} bytes"


@attrs.frozen(slots=True, kw_only=True)
class ChunkRetried(ChunkEvent):
    """An attempt failed, and another will be made after `wait_seconds` at the earliest."""

    level: ClassVar[int] = logging.INFO
    attempt: int
    """The number of the one that failed, from 1."""
    reason: str
    wait_seconds: float

    def __str__(self) -> str:
        return (
            f"chunk {self.chunk}: attempt {self.attempt} failed ({self.reason}); again in {self.wait_seconds:.1f} s"
        )


@attrs.frozen(slots=True, kw_only=True)
class ChunkWaits(ChunkEvent):
    """It was refused after an attempt without an answer: what may be late is waited for, then the report is asked."""

    level: ClassVar[int] = logging.INFO
    wait_seconds: float

    def __str__(self) -> str:
        return f"chunk {self.chunk}: waits {self.wait_seconds:.0f} s for what may be late, then asks the report"


@attrs.frozen(slots=True, kw_only=True)
class ChunkSplit(ChunkEvent):
    """Its rows go into smaller chunks, under new keys."""

    level: ClassVar[int] = logging.INFO
    into: tuple[int, ...]
    """The numbers of those."""
    reason: str = attrs.field(repr=False)
    """The server's words, or what else it was."""

    def __str__(self) -> str:
        return f"chunk {self.chunk}: split into {', '.join(map(str, self.into))}"


@attrs.frozen(slots=True, kw_only=True)
class ChunkDone(ChunkEvent):
    """Its answer is certain, or given up, and written down: so many of its rows have become what."""

    accepted: int
    duplicates: int
    rejected: int
    unknown: int

    def __str__(self) -> str:
        counts = [
            (self.accepted, "accepted"),
            (self.duplicates, "duplicates"),
            (self.rejected, "rejected"),
            (self.unknown, "unknown"),
        ]
        return f"chunk {self.chunk}: " + ", ".join(f"{count} {name}" for count, name in counts if count)


@attrs.frozen(slots=True, kw_only=True)
class JournalLag(Event):
    """The journal's disk is slow: something waited `seconds` to be written down, and the upload waited for it."""

    level: ClassVar[int] = logging.WARNING
    seconds: float
    waiting: int
    """What else is waiting to be written down now."""

    def __str__(self) -> str:
        return f"the journal's disk is slow: {self.seconds:.1f} s for one commit, {self.waiting} more waiting"


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


class EventDispatcher:
    """Tells of events: to the log, to `telemetry`, and to a callback that cannot break the upload."""

    def __init__(
        self,
        on_event: Callable[[Event], object] | None = None,
        telemetry: Callable[[Event], None] = lambda event: None,
    ) -> None:
        call = getattr(on_event, "__call__", None)  # noqa: B004  # of an object, to see whether it is a coroutine
        if on_event is not None and (call is None or any(map(inspect.iscoroutinefunction, (on_event, call)))):
            raise ConfigurationError("on_event must be a plain function that takes one event; it may start a task")
        self._on_event = on_event
        self._telemetry = telemetry
        self._complained = False

    def __call__(self, event: Event) -> None:
        """Tell of an event. Raises nothing."""
        if _LOGGER.isEnabledFor(event.level):
            _LOGGER.log(event.level, "%s", event)
        self._telemetry(event)
        if self._on_event is None:
            return
        try:
            returned = self._on_event(event)
            if inspect.iscoroutine(returned):
                returned.close()
                raise TypeError("on_event returned a coroutine; it must be a plain function")
        except (Exception, asyncio.CancelledError) as error:
            error.__context__ = None  # what is being handled here may be the server's words, with phones
            if not self._complained:
                _LOGGER.exception("on_event failed; the upload goes on, and this is said once")
            self._complained = True
