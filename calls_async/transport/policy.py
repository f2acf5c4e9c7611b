"""How often and how long a call is tried: the settings."""

from __future__ import annotations

from typing import Any

import attrs

from calls_async.errors import ConfigurationError


def _positive(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        raise ConfigurationError(f"{attribute.name} must be greater than 0, not {value!r}")


@attrs.frozen(slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long one call is tried. Whatever limit is met first ends it.

    The wait after attempt n is drawn between 0 and min(`backoff_max_seconds`, `backoff_seconds` · 2ⁿ⁻¹) (full
    jitter); a `Retry-After` of the server's, cut to `retry_after_max_seconds`, comes on top.
    """

    max_attempts: int | None = attrs.field(default=6, validator=_positive)
    """None: as many as fit into the time."""
    give_up_seconds: float = attrs.field(default=60.0, validator=_positive)
    """No attempt starts later than this after the first. Of an upload, times of outage do not count."""
    unreachable_seconds: float = attrs.field(default=30.0, validator=_positive)
    """The same, as long as the server has never answered at all: then the host is probably wrong."""
    backoff_seconds: float = attrs.field(default=0.5, validator=_positive)
    backoff_max_seconds: float = attrs.field(default=30.0, validator=_positive)
    retry_after_max_seconds: float = attrs.field(default=300.0, validator=_positive)

    @classmethod
    def for_uploads(cls) -> RetryPolicy:
        """Make the policy for an unattended bulk upload: a chunk is given up by time, not after a handful of
        tries."""
        return cls(max_attempts=None, give_up_seconds=1800.0)
