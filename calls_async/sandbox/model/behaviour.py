"""What becomes of each call: drawn from a seed, or chosen by the last digits of the number. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import attrs

MAX_CALL_SECONDS = 86_400


class Ending(StrEnum):
    """How a call attempt ends; the values are the job's statuses (C-REP-5)."""

    WITH_RESULT = "longCallWithResult"
    """Somebody answers, and the script reaches its result."""
    WITHOUT_RESULT = "longCallWithNoResult"
    """Somebody answers, and hangs up before that."""
    NO_ANSWER = "noAnswer"
    NONEXISTENT = "nonexistentNumber"

    @property
    def answered(self) -> bool:
        return self in (Ending.WITH_RESULT, Ending.WITHOUT_RESULT)


@attrs.frozen(slots=True, kw_only=True)
class Pattern:
    """What becomes of numbers with certain last digits."""

    ending: Ending
    does: str
    """In words."""
    first: Ending | None = None
    """How the first attempts end, where they differ: `first_attempts` of them."""
    first_attempts: int = 0
    talk_seconds: int | None = None


PATTERNS: Mapping[str, Pattern] = {
    "9900": Pattern(ending=Ending.WITH_RESULT, does="answers, with a result"),
    "9901": Pattern(ending=Ending.NO_ANSWER, does="never answers"),
    "9902": Pattern(ending=Ending.NONEXISTENT, does="does not exist"),
    "9903": Pattern(ending=Ending.WITHOUT_RESULT, does="answers, and hangs up without a result"),
    "9904": Pattern(
        ending=Ending.WITH_RESULT,
        does="answers the third attempt, with a result",
        first=Ending.NO_ANSWER,
        first_attempts=2,
    ),
    "9905": Pattern(ending=Ending.WITH_RESULT, does="answers, and talks for 20 minutes", talk_seconds=1200),
}
"""By the last four digits of the number."""


@attrs.frozen(slots=True)
class CallPlan:
    """What becomes of one attempt."""

    ending: Ending
    ring_seconds: int
    talk_seconds: int

    @property
    def seconds(self) -> int:
        """How long the line is taken."""
        return self.ring_seconds + self.talk_seconds


def _shares(value: Mapping[Any, float]) -> dict[Ending, float]:
    return {Ending(ending): float(share) for ending, share in value.items()}


@attrs.frozen(kw_only=True)
class Behaviour:
    """How people behave. `shares` are the weights of the endings; the same `seed` gives each job the same calls,
    whatever their order. Bounds are inclusive, in seconds."""

    shares: Mapping[Ending, float] = attrs.field(
        default={
            Ending.WITH_RESULT: 0.55,
            Ending.WITHOUT_RESULT: 0.2,
            Ending.NO_ANSWER: 0.2,
            Ending.NONEXISTENT: 0.05,
        },
        converter=_shares,
    )
    seed: int = 0
    ring_seconds: tuple[int, int] = (4, 20)
    no_answer_seconds: int = 30
    talk_seconds: tuple[int, int] = (15, 180)

    def __attrs_post_init__(self) -> None:
        if not (all(share >= 0 for share in self.shares.values()) and 0 < sum(self.shares.values()) < math.inf):
            raise ValueError("the shares of calls' results must be 0 or more, and not all 0")
        for name in ("ring_seconds", "talk_seconds"):
            low, high = getattr(self, name)
            if not 0 <= low <= high <= MAX_CALL_SECONDS:
                raise ValueError(f"{name} must be two numbers of 0 to {MAX_CALL_SECONDS}, the smaller one first")
        if not 1 <= self.no_answer_seconds <= MAX_CALL_SECONDS:
            raise ValueError(f"no_answer_seconds must be 1 to {MAX_CALL_SECONDS}")

    def plan(self, job_id: str, phone: str, attempt: int) -> CallPlan:
        """Return what becomes of a job's attempt, counted from 1."""
        rng = random.Random(f"{self.seed} {job_id} {attempt}")
        pattern = PATTERNS.get(phone[-4:])
        if pattern is None:
            ending = rng.choices(list(self.shares), list(self.shares.values()))[0]
        elif pattern.first is not None and attempt <= pattern.first_attempts:
            ending = pattern.first
        else:
            ending = pattern.ending
        if ending is Ending.NO_ANSWER:
            return CallPlan(ending, self.no_answer_seconds, 0)
        ring = rng.randint(*self.ring_seconds)
        if not ending.answered:
            return CallPlan(ending, ring, 0)
        talk = pattern.talk_seconds if pattern is not None and pattern.talk_seconds else None
        return CallPlan(ending, ring, talk or rng.randint(*self.talk_seconds))
