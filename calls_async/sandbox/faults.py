"""Faults on request: for a share of the requests, drawn from a seed, or for the next ones by name."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Mapping
from enum import StrEnum

import attrs


class FaultKind(StrEnum):
    """What goes wrong. Before: the request is not handled. After: it is, and its answer is spoilt."""

    RESET_BEFORE = "reset-before"
    RESET_AFTER = "reset-after"
    SERVER_ERROR_AFTER = "500-after"
    BAD_GATEWAY_AFTER = "502-after"
    TRUNCATED_AFTER = "truncated-after"
    GARBAGE_AFTER = "garbage-after"
    DELAY_AFTER = "delay-after"
    SLOW_BODY_AFTER = "slow-body-after"
    TOO_MANY_SECONDS = "429-seconds"
    TOO_MANY_DATE = "429-date"
    UNAVAILABLE = "503"
    IN_PROGRESS = "409-in-progress"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"{value!r} is no kind of fault; the kinds are {', '.join(cls)}")


@attrs.define(kw_only=True)
class Faults:
    """Which requests go wrong and how.

    `shares` gives each kind a share of the requests, 0 to 1; together at most 1. The same `seed` and the same order
    of requests give the same faults.
    """

    shares: Mapping[FaultKind, float] = attrs.field(factory=dict)
    seed: int = 0
    delay_seconds: float = 0.5
    """For `delay-after` and `slow-body-after`."""
    retry_after_seconds: int = 1
    """For the two kinds of 429."""
    _rng: random.Random = attrs.field(init=False, repr=False)
    _next: deque[FaultKind] = attrs.field(factory=deque, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.change(self.shares)
        self._rng = random.Random(self.seed)

    def change(self, shares: Mapping[FaultKind, float]) -> None:
        """Give these kinds other shares. Raises ValueError."""
        changed = {**self.shares, **{FaultKind(kind): float(share) for kind, share in shares.items()}}
        if not (all(share >= 0 for share in changed.values()) and sum(changed.values()) <= 1 + 1e-9):
            raise ValueError("the shares of faults must be 0 or more, and together 1 at most")
        self.shares = {FaultKind(kind): share for kind, share in changed.items() if share}

    def fail_next(self, kind: FaultKind | str, times: int = 1) -> None:
        """Let the next `times` requests go wrong in this way. Raises ValueError."""
        self._next.extend([FaultKind(kind)] * times)

    @property
    def waiting(self) -> Mapping[FaultKind, int]:
        """How many of the next requests go wrong, and how."""
        return Counter(self._next)

    def draw(self) -> FaultKind | None:
        """Return the fault of the request that has just come, if any."""
        if self._next:
            return self._next.popleft()
        if not self.shares:
            return None
        point = self._rng.random()
        for kind, share in self.shares.items():
            point -= share
            if point < 0:
                return kind
        return None
