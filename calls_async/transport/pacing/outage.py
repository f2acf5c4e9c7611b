"""Whether the server is there: healthy, failing, or out. Told of every attempt; has no clock of its own."""

from __future__ import annotations

import random
from enum import Enum, auto

import attrs

from calls_async.transport.policy import RetryPolicy

OUTAGE_FAILURES = 6
"""So many failures in a row, without one answer between them, are an outage …"""
OUTAGE_SECONDS = 2.0
"""… when they have lasted as long as this …"""
OUTAGE_KEYS = 3
"""… and were of the host itself, or of so many requests: one at which the server always fails is no outage."""


class Health(Enum):
    """How the server does."""

    HEALTHY = auto()
    """Its last answer was one."""
    FAILING = auto()
    """It has failed since then, but not for long, or at few requests."""
    OUT = auto()
    """It answers nothing: one request at a time probes whether it is back."""


@attrs.frozen(slots=True)
class Outage:
    """The server answers nothing."""

    since: float
    """Monotonic seconds."""
    reason: str
    """Why the last attempt failed."""


class OutageDetector:
    """Follows the server's health. Times are monotonic seconds."""

    def __init__(self, policy: RetryPolicy, rng: random.Random) -> None:
        self.health = Health.HEALTHY
        self.probe_at = 0.0
        """When the next probe may start, while it is out."""
        self._policy = policy
        self._rng = rng
        self._since = 0.0
        """When it began to fail."""
        self._reason = ""
        self._failures = 0
        self._keys: set[str | None] = set()
        self._of_host = False
        self._probes = 0
        self._ended_seconds = 0.0
        """All outages that are over."""

    @property
    def outage(self) -> Outage | None:
        """The outage that lasts; None where the server is there."""
        return Outage(self._since, self._reason) if self.health is Health.OUT else None

    def out_seconds(self, now: float) -> float:
        """Return how long the server has answered nothing, all outages together."""
        return self._ended_seconds + self.out_now_seconds(now)

    def out_now_seconds(self, now: float) -> float:
        """Return how long this outage has lasted; 0 without one."""
        return now - self._since if self.health is Health.OUT else 0.0

    def note_failure(self, now: float, reason: str, key: str | None, *, of_host: bool) -> bool:
        """Note a failed attempt; return whether an outage begins with it. `of_host`: it was not the request's own."""
        if self.health is Health.HEALTHY:
            self.health, self._since = Health.FAILING, now
        self._failures += 1
        self._reason = reason
        self._of_host = self._of_host or of_host
        if len(self._keys) < OUTAGE_KEYS:
            self._keys.add(key)
        begins = self.health is Health.FAILING and self._lasts(now)
        if begins:
            self.health, self._probes = Health.OUT, 0
        if self.health is Health.OUT:
            most = min(self._policy.backoff_max_seconds, self._policy.backoff_seconds * 2 ** min(self._probes, 30))
            self._probes += 1
            self.probe_at = now + self._rng.uniform(most / 2, most)
        return begins

    def note_answer(self, now: float) -> float | None:
        """Note an answer; return how long the outage was that ends with it, None where there was none."""
        lasted = now - self._since if self.health is Health.OUT else None
        if lasted is not None:
            self._ended_seconds += lasted
        self.health, self._failures, self._of_host, self.probe_at = Health.HEALTHY, 0, False, 0.0
        self._keys.clear()
        return lasted

    def _lasts(self, now: float) -> bool:
        lasting = self._failures >= OUTAGE_FAILURES and now - self._since >= OUTAGE_SECONDS
        return lasting and (self._of_host or len(self._keys) >= OUTAGE_KEYS)
