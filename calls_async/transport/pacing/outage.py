"""Outage."""

from __future__ import annotations

import attrs

OUTAGE_FAILURES = 6
"""So many failures in a row, without one answer between them, are an outage …"""
OUTAGE_SECONDS = 2.0
"""… when they have lasted as long as this …"""
OUTAGE_KEYS = 3
"""… and were of the host itself, or of so many requests: one at which the server always fails is no outage."""


@attrs.define(slots=True)
class Outage:
    """The server answers nothing."""

    since: float
    """Monotonic seconds."""
    reason: str
    probes: int = 0
