"""Attempts."""

from __future__ import annotations

import attrs
import tenacity

from calls_async.transport.answers import TryAgain


@attrs.frozen(slots=True, kw_only=True)
class Retry:
    """A failed attempt that will be repeated."""

    attempt: int
    reason: str
    wait_seconds: float


def _failure(state: tenacity.RetryCallState) -> TryAgain:
    failure = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(failure, TryAgain):
        raise TypeError(f"tenacity asked about {failure!r}")
    return failure
