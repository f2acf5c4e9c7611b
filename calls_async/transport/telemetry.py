"""What tools can watch of a client, such as those of OpenTelemetry (`otel.py`); nobody does, unless one is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from calls_async.events import Event
from calls_async.protocol.endpoints import Request
from calls_async.transport.exchange import Exchange


class Telemetry(Protocol):
    """Hears of all that a client does, on its event loop. It must not raise."""

    def exchange(self, exchange: Exchange, base_url: str) -> Exchange:
        """Return `exchange`, with whatever is to happen around each attempt."""

    def call(self, request: Request) -> AbstractContextManager[None]:
        """Watch a call with all its attempts, and the waits between them."""

    def chunk(
        self, number: int, rows: int, body_bytes: int
    ) -> AbstractContextManager[Callable[[Mapping[str, int]], None]]:
        """Watch the sending of a chunk; what it gives is told how many rows have become what."""

    def event(self, event: Event) -> None:
        """Hear what `on_event` is told, too."""

    def committed(self, seconds: float) -> None:
        """Hear that the journal has written something down, and how many seconds it took."""


class NoTelemetry:
    """Nobody watches."""

    def exchange(self, exchange: Exchange, base_url: str) -> Exchange:
        return exchange

    def call(self, request: Request) -> AbstractContextManager[None]:
        return _NOTHING

    def chunk(
        self, number: int, rows: int, body_bytes: int
    ) -> AbstractContextManager[Callable[[Mapping[str, int]], None]]:
        return _NOBODY

    def event(self, event: Event) -> None:
        pass

    def committed(self, seconds: float) -> None:
        pass


def _ignore(counts: Mapping[str, int]) -> None:
    pass


_NOTHING: AbstractContextManager[None] = nullcontext()
_NOBODY: AbstractContextManager[Callable[[Mapping[str, int]], None]] = nullcontext(_ignore)
