"""When a call is given up, and why."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import NoAnswerError, RetryPolicy, UnreachableError
from calls_async.protocol import endpoints
from calls_async.transport.answers import TryAgain
from calls_async.transport.evidence import Evidence, Trace
from calls_async.transport.patience import (
    GiveUp,
    Halt,
    Standing,
    explain_no_attempt,
    make_error,
    reason_to_give_up,
)

POLICY = RetryPolicy(give_up_seconds=100, unreachable_seconds=10)
GOING = Standing(
    attempts=1,
    evidence=Evidence(Trace.UNCERTAIN),
    halt=Halt.RUNNING,
    calm=True,
    known=True,
    elapsed_seconds=0.0,
    since_answer_seconds=math.inf,
)


def reason(delay_seconds: float = 0.0, max_outage_seconds: float = 1000.0, **how: Any) -> GiveUp | None:
    standing = attrs.evolve(GOING, **how)
    return reason_to_give_up(standing, POLICY, max_outage_seconds=max_outage_seconds, delay_seconds=delay_seconds)


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({}, None),
        ({"elapsed_seconds": 100}, None),
        ({"elapsed_seconds": 100, "delay_seconds": 1}, GiveUp.OUT_OF_TIME),
        ({"elapsed_seconds": 150, "out_seconds": 60}, None),  # outages do not count
        ({"elapsed_seconds": 150, "attempts": 0}, None),  # it has waited for its first attempt
        ({"elapsed_seconds": 150, "since_answer_seconds": 1}, GiveUp.OUT_OF_TIME),  # in doubt
        ({"elapsed_seconds": 150, "since_answer_seconds": 1, "evidence": Evidence(Trace.TURNED_AWAY)}, None),
        ({"elapsed_seconds": 11, "known": False}, GiveUp.OUT_OF_TIME),
        ({"elapsed_seconds": 500, "outage_seconds": 500}, None),
        ({"outage_seconds": 1001}, GiveUp.OUTAGE),
        ({"outage_seconds": 11, "known": False}, GiveUp.OUTAGE),
        ({"fails_alone": True}, GiveUp.FAILS_ALONE),
        ({"fails_alone": True, "outage_seconds": 1001}, GiveUp.FAILS_ALONE),
        ({"fails_alone": True, "halt": Halt.NO_RETRIES}, GiveUp.HALTED),
        ({"key_seconds": 0}, GiveUp.KEY_EXPIRED),
        ({"key_seconds": 5, "delay_seconds": 6}, GiveUp.KEY_EXPIRED),
        ({"key_seconds": 0, "may_renew_key": True}, None),
        ({"halt": Halt.NO_RETRIES}, GiveUp.HALTED),
        ({"halt": Halt.NO_RETRIES, "attempts": 0}, None),
        ({"halt": Halt.NO_RETRIES, "attempts": 0, "delay_seconds": 1}, GiveUp.HALTED),
        ({"halt": Halt.NO_RETRIES, "attempts": 0, "calm": False}, GiveUp.HALTED),
        ({"halt": Halt.NO_ATTEMPTS, "attempts": 0}, GiveUp.HALTED),
    ],
)
def test_reasons(how: dict[str, Any], found: GiveUp | None) -> None:  # C-IDEM-7
    assert reason(**how) is found


@given(
    first=st.floats(0, 300),
    more=st.floats(0, 300),
    key_seconds=st.one_of(st.just(math.inf), st.floats(0, 300)),
    elapsed=st.floats(0, 300),
    outage=st.one_of(st.none(), st.floats(0, 2000)),
)
def test_who_waits_longer_is_given_up_no_later(
    first: float, more: float, key_seconds: float, elapsed: float, outage: float | None
) -> None:
    how: dict[str, Any] = {"key_seconds": key_seconds, "elapsed_seconds": elapsed, "outage_seconds": outage}
    if reason(delay_seconds=first, **how) is not None:
        assert reason(delay_seconds=first + more, **how) is not None


ADD = endpoints.add_phones("token", b"[]", "key")


@pytest.mark.parametrize(
    ("how", "why", "kind", "said"),
    [
        ({"evidence": Evidence(), "attempts": 0}, None, UnreachableError, "was not sent"),
        ({"evidence": Evidence(), "attempts": 3}, None, UnreachableError, "cannot be reached"),
        ({"evidence": Evidence.sent_before(), "attempts": 0}, GiveUp.KEY_EXPIRED, NoAnswerError, "0 attempts"),
        ({"outage_seconds": 1800.0}, GiveUp.OUTAGE, NoAnswerError, "nothing for 1800 s"),
        ({"attempts": 2}, GiveUp.OUT_OF_TIME, NoAnswerError, "same idempotence key within 24 hours"),
    ],
)
def test_the_error_says_why(how: dict[str, Any], why: GiveUp | None, kind: type, said: str) -> None:
    error = make_error(ADD, attrs.evolve(GOING, **how), TryAgain("broken"), reason=why)
    assert type(error) is kind
    assert said in str(error)
    assert error.outage is (why is GiveUp.OUTAGE)
    assert error.idempotence_key == "key"


def test_why_nothing_was_tried() -> None:
    fresh = attrs.evolve(GOING, attempts=0, evidence=Evidence())
    assert "stopping" in explain_no_attempt(attrs.evolve(fresh, halt=Halt.NO_RETRIES), None)
    assert "does not answer (gone)" in explain_no_attempt(fresh, "gone")
    assert "no time" in explain_no_attempt(fresh, None)
    assert "near its expiry" in explain_no_attempt(attrs.evolve(fresh, evidence=Evidence.sent_before()), None)
