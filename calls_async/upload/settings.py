"""The settings of uploads and batchers."""

from __future__ import annotations

from typing import Any

import attrs

from calls_async.errors import ConfigurationError
from calls_async.transport.pacing.limiter import check_rate, largest_chunk

KEEP_LEAST_SECONDS = 90_000.0
"""25 hours: so long may a job that is found in a report be one of ours whose answer was lost."""


def check_at_least_one(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{attribute.name} must be a whole number of 1 or more, not {value!r}")


def _positive(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if not isinstance(value, int | float) or not value > 0:
        raise ConfigurationError(f"{attribute.name} must be greater than 0, not {value!r}")


@attrs.frozen(slots=True, kw_only=True)
class UploadSettings:
    """The settings of one upload."""

    chunk_rows: int = attrs.field(default=500, validator=check_at_least_one)
    """Contacts in one request at most."""
    chunk_bytes: int = attrs.field(default=1_000_000, validator=check_at_least_one)
    """Bytes of JSON in one request at most."""
    concurrency: int = attrs.field(default=16, validator=check_at_least_one)
    """Chunks in flight at most; how many there are adapts to what the server takes."""
    rate: float | None = attrs.field(default=None)
    """Contacts a second at most; None: as fast as the server takes them."""
    linger_seconds: float = attrs.field(default=1.0, validator=_positive)
    """How long a contact from a slow async iterable waits for its chunk to fill."""
    max_outage_seconds: float = attrs.field(default=1800.0, validator=_positive)
    """How long a server that has answered before may answer nothing at all; then the upload stops, resumable."""
    max_refusals: int | None = attrs.field(default=2000)
    """After so many contacts in a row that the server refuses, each by itself, the upload stops, resumable: probably
    it is the campaign. None: never."""
    verify: bool = False
    """Check every answer against the report: one more request a chunk."""
    trust_journal: bool = False
    """Do not ask the report whether the journal is an old copy, where that is gone on with after its keys' day."""

    @rate.validator
    def _check_rate(self, attribute: attrs.Attribute[float | None], value: float | None) -> None:
        if value is not None:
            check_rate(value)

    @max_refusals.validator
    def _check_max_refusals(self, attribute: attrs.Attribute[int | None], value: int | None) -> None:
        if value is not None:
            check_at_least_one(self, attribute, value)

    @property
    def largest_chunk_rows(self) -> int:
        """Contacts in one request at most; a low rate makes it smaller than `chunk_rows`."""
        return self.chunk_rows if self.rate is None else min(self.chunk_rows, largest_chunk(self.rate))


@attrs.frozen(slots=True, kw_only=True)
class BatcherSettings:
    """The settings of a batcher, beyond those of an upload."""

    linger_seconds: float = attrs.field(default=0.05, validator=_positive)
    """How long a contact waits for others to fill its chunk."""
    buffer_rows: int = attrs.field(default=10_000, validator=check_at_least_one)
    """Contacts that wait for their chunk at most; who adds more, waits."""
    drain_seconds: float = attrs.field(default=30.0, validator=_positive)
    """How long closing waits for outcomes."""
    keep_seconds: float = attrs.field(default=172_800.0)
    """How long outcomes, and the idempotence keys of `put`, stay in the journal, `KEEP_LEAST_SECONDS` at least;
    unknown ones stay until they are settled."""

    @keep_seconds.validator
    def _check_keep_seconds(self, attribute: attrs.Attribute[float], value: object) -> None:
        if not isinstance(value, int | float) or not value >= KEEP_LEAST_SECONDS:
            raise ConfigurationError(f"keep_seconds must be {KEEP_LEAST_SECONDS:.0f} or more, not {value!r}")
