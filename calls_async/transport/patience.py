"""When a call is given up and why, as a value; and the error that says so. Pure: it is told how the call stands."""

from __future__ import annotations

import math
from enum import Enum, IntEnum, auto

import attrs

from calls_async.errors import NoAnswerError, UnreachableError
from calls_async.protocol.endpoints import Request
from calls_async.transport.answers import TryAgain
from calls_async.transport.evidence import Evidence
from calls_async.transport.policy import RetryPolicy


class Halt(IntEnum):
    """What a caller may still do."""

    RUNNING = 0
    """Everything."""
    NO_RETRIES = 1
    """First attempts that need not wait."""
    NO_ATTEMPTS = 2
    """Nothing: what was not sent yet stays where it is."""


class GiveUp(Enum):
    """Why no further attempt is made."""

    HALTED = auto()
    """The upload is stopping."""
    KEY_EXPIRED = auto()
    """The idempotence key's day is nearly over (C-IDEM-7)."""
    OUTAGE = auto()
    """The server has answered nothing for longer than is allowed."""
    FAILS_ALONE = auto()
    """The server fails at this request, and answers others."""
    OUT_OF_TIME = auto()
    """The policy's time is used up."""


@attrs.frozen(slots=True, kw_only=True)
class Standing:
    """How a call stands. Times are seconds."""

    attempts: int
    """Made so far."""
    evidence: Evidence
    halt: Halt
    calm: bool
    """Whether an attempt could start without a long wait."""
    known: bool
    """Whether the server has ever answered."""
    elapsed_seconds: float
    """Since the first attempt."""
    since_answer_seconds: float
    """Since the server last answered anybody; infinite where it never did."""
    key_seconds: float = math.inf
    """Until the key must not be sent any more."""
    fails_alone: bool = False
    """Whether the server has failed at it again and again, and answers others."""
    may_renew_key: bool = False
    """Whether the key's day may begin anew: no attempt can have used it."""
    outage_seconds: float | None = None
    """How long the server has answered nothing; None where it does."""
    out_seconds: float = 0.0
    """All its outages since the first attempt."""


def reason_to_give_up(
    standing: Standing, policy: RetryPolicy, *, max_outage_seconds: float, delay_seconds: float
) -> GiveUp | None:
    """Return why no attempt may start after `delay_seconds`; None where one may."""
    waits = standing.attempts > 0 or delay_seconds > 0 or not standing.calm
    if standing.halt is Halt.NO_ATTEMPTS or (standing.halt is Halt.NO_RETRIES and waits):
        return GiveUp.HALTED
    if standing.key_seconds <= delay_seconds and not standing.may_renew_key:
        return GiveUp.KEY_EXPIRED
    if standing.fails_alone:
        return GiveUp.FAILS_ALONE
    outage = standing.outage_seconds
    longest = max_outage_seconds if standing.known else min(max_outage_seconds, policy.unreachable_seconds)
    if outage is not None and outage > longest:
        return GiveUp.OUTAGE
    if not standing.known:
        patience = min(policy.unreachable_seconds, policy.give_up_seconds)
    elif outage is not None:
        return None  # all wait for the server; that is not this call's fault
    else:
        patience = policy.give_up_seconds + standing.out_seconds
    elapsed = standing.elapsed_seconds
    if standing.evidence.only_turned_away:
        elapsed = min(elapsed, standing.since_answer_seconds)  # it has its hands full
    return GiveUp.OUT_OF_TIME if standing.attempts > 0 and elapsed + delay_seconds > patience else None


def explain_no_attempt(standing: Standing, outage_reason: str | None) -> str:
    """Say why a call is given up before its first attempt; `outage_reason` is why the server does not answer."""
    if standing.halt is not Halt.RUNNING:
        return "the upload is stopping"
    if outage_reason is not None:
        return f"the server does not answer ({outage_reason})"
    return "the idempotence key is near its expiry" if standing.evidence.from_before else "there was no time for it"


def make_error(
    request: Request, standing: Standing, last: TryAgain, *, reason: GiveUp | None, refused: bool = False
) -> NoAnswerError:
    """Make the error for a call that is given up for `reason`; `last` is its last failure. `refused`: the server said
    no, but an earlier attempt may have been acted upon."""
    evidence, seconds, outage = standing.evidence, standing.elapsed_seconds, reason is GiveUp.OUTAGE
    unreachable = not evidence.reached and not (evidence.from_before and standing.attempts == 0)
    kind = UnreachableError if unreachable and not evidence.from_before else NoAnswerError
    if kind is UnreachableError and standing.attempts == 0:
        words = f"was not sent: {last.reason}."
    elif kind is UnreachableError:
        words = f"the server cannot be reached ({last.reason}); check the host and the network. "
        words += "This request was not sent."
    elif outage:
        seconds = standing.outage_seconds or seconds
        words = (
            f"the server has answered nothing for {seconds:.0f} s ({last.reason}); "
            "max_outage_seconds (--max-outage) allows no more."
        )
    else:
        words = f"no certain answer in {standing.attempts} attempts over {seconds:.0f} s (last: {last.reason})."
        if request.creates:
            words += " Repeat it with the same idempotence key within 24 hours, or look into the report."
    return kind(
        words,
        method=request.method.value,
        path=request.path,
        attempts=standing.attempts,
        seconds=seconds,
        idempotence_key=request.idempotence_key,
        unreachable=unreachable,
        refused=refused,
        outage=outage,
        last=last.reason,
        busy=evidence.reached and evidence.only_turned_away,
        failing=reason is GiveUp.FAILS_ALONE,
        not_created=request.creates and not evidence.maybe_created,
        status=last.status,
        body=last.body,
    )
