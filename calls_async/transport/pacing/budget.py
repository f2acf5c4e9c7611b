"""How many retries there may be among the attempts."""

from __future__ import annotations


class RetryBudget:
    """Keeps retries from becoming the load: a bucket of tokens that retries draw from and answers fill.

    A retry costs `COST`, and has it back if it is answered; an answer to a first attempt brings one token. So retries
    are free of wait as long as fewer than about 30 % of all attempts fail.
    """

    CAPACITY = 500.0
    COST = 5.0
    TRICKLE = 10.0
    """Tokens that come by themselves each second: two retries."""

    def __init__(self, now: float) -> None:
        self._tokens = self.CAPACITY
        self._at = now

    def wait_seconds(self, now: float) -> float:
        """Return how long a retry has to wait."""
        self._trickle(now)
        return max(0.0, (self.COST - self._tokens) / self.TRICKLE)

    def take(self, now: float) -> None:
        self._trickle(now)
        self._tokens -= self.COST

    def refund(self, *, retry: bool) -> None:
        self._tokens = min(self.CAPACITY, self._tokens + (self.COST if retry else 1.0))

    def _trickle(self, now: float) -> None:
        self._tokens = min(self.CAPACITY, self._tokens + (now - self._at) * self.TRICKLE)
        self._at = now
