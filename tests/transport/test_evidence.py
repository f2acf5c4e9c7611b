"""What attempts prove: a truth table of the ladder, and of what each answer leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import AccessError, RefusedError
from calls_async.protocol import endpoints
from calls_async.protocol.endpoints import Response
from calls_async.transport.answers import ASKED_AGAIN, TryAgain, judge
from calls_async.transport.evidence import Evidence, Trace

ADD = endpoints.add_phones("token", b"[]", "key")
INFO = endpoints.info("token")


@pytest.mark.parametrize(
    ("evidence", "reached", "maybe_created", "only_turned_away", "from_before"),
    [
        (Evidence(), False, False, True, False),
        (Evidence(Trace.NEVER_ARRIVED), False, False, True, False),
        (Evidence(Trace.ANSWERED), True, False, True, False),
        (Evidence(Trace.TURNED_AWAY), True, True, True, False),
        (Evidence(Trace.UNCERTAIN), True, True, False, False),
        (Evidence.sent_before(), False, True, False, True),
        (Evidence.sent_before().seen(Trace.ANSWERED), True, True, False, True),
    ],
)
def test_each_step_of_the_ladder(
    evidence: Evidence, reached: bool, maybe_created: bool, only_turned_away: bool, from_before: bool
) -> None:
    assert evidence.reached is reached
    assert evidence.maybe_created is maybe_created
    assert evidence.only_turned_away is only_turned_away
    assert evidence.from_before is from_before


@given(st.lists(st.sampled_from(Trace)), st.booleans())
def test_the_ladder_is_only_climbed(traces: list[Trace], before: bool) -> None:
    evidence = start = Evidence.sent_before() if before else Evidence()
    for trace in traces:
        later = evidence.seen(trace)
        assert later.here >= evidence.here
        assert later.before is start.before
        evidence = later
    assert evidence.here == max(traces, default=Trace.NEVER_ARRIVED)


def judge_it(
    status: int, evidence: Evidence, body: bytes = b"", recognised: bool = True, **headers: Any
) -> tuple[Trace, str]:
    """Return what the answer leaves behind, and what it means."""
    response = Response(status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=body)
    judgement = judge(response, ADD, evidence, 0.0, recognised=recognised)
    failure = judgement.failure
    if failure is None:
        return judgement.trace, "answered"
    if isinstance(failure, TryAgain):
        return judgement.trace, "doubt" if judgement.doubtful else "again"
    return judgement.trace, "stop" if isinstance(failure, AccessError) else "refused"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_taken_at_its_word_as_the_first_answer(status: int) -> None:
    assert judge_it(status, Evidence()) == (Trace.ANSWERED, "refused")


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404, 405, 407, 410, 501])
def test_what_says_that_nothing_goes_here(status: int) -> None:
    assert judge_it(status, Evidence()) == (Trace.UNCERTAIN, "stop")
    for evidence in (Evidence(Trace.TURNED_AWAY), Evidence(Trace.UNCERTAIN), Evidence.sent_before()):
        assert judge_it(status, evidence) == (Trace.UNCERTAIN, "doubt")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529, 598])
def test_what_may_be_acted_upon_late(status: int) -> None:  # C-ERR-1
    trace = Trace.TURNED_AWAY if status in (425, 429) else Trace.UNCERTAIN
    assert judge_it(status, Evidence()) == (trace, "again")
    assert judge_it(400, Evidence().seen(trace)) == (Trace.UNCERTAIN, "doubt")


@pytest.mark.parametrize("status", [406, 411, 412, 415, 418, 423, 428, 431, 451, 499])
def test_no_other_refusal_proves_anything(status: int) -> None:
    assert judge_it(status, Evidence()) == (Trace.UNCERTAIN, "doubt")


@pytest.mark.parametrize("status", [400, 422, 418])
def test_a_refusal_after_an_uncertain_attempt_proves_nothing(status: int) -> None:
    for evidence in (Evidence(Trace.TURNED_AWAY), Evidence(Trace.UNCERTAIN), Evidence.sent_before()):
        assert judge_it(status, evidence) == (Trace.UNCERTAIN, "doubt")
        creates_nothing = judge(Response(status=status), INFO, evidence, 0.0, recognised=True)
        assert isinstance(creates_nothing.failure, RefusedError)


def test_what_was_too_large_was_never_acted_upon() -> None:  # C-M-16
    for evidence in (Evidence(Trace.UNCERTAIN), Evidence.sent_before()):
        assert judge_it(413, evidence) == (Trace.ANSWERED, "refused")
    assert judge_it(413, Evidence(), b"<html>", recognised=False)[1] == "refused"


@pytest.mark.parametrize("how", [{"body": b" <!DOCTYPE html>"}, {"content_type": "text/html"}])
def test_a_web_page_is_no_answer_of_the_api(how: dict[str, Any]) -> None:
    for status in (400, 406, 422):
        assert judge_it(status, Evidence(), recognised=False, **how)[1] == "stop"
        assert judge_it(status, Evidence(), recognised=True, **how)[1] == "doubt"
    assert judge_it(502, Evidence(), recognised=False, **how)[1] == "again"  # a gateway's


@pytest.mark.parametrize(
    ("body", "headers"), [(b"a request with this key is in progress", {}), (b"", {"retry_after": "1"})]
)
def test_a_409_while_the_key_is_in_progress_is_repeated(body: bytes, headers: dict[str, Any]) -> None:  # C-IDEM-1
    evidence = Evidence(Trace.UNCERTAIN, conflicts=100)
    assert judge_it(409, evidence, body, **headers) == (Trace.UNCERTAIN, "again")


@pytest.mark.parametrize("body", [b"", b"Conflict", b"key already used", b"duplicate request", b"<html>"])
def test_any_other_409_is_asked_again_and_then_proves_nothing(body: bytes) -> None:  # C-IDEM-1
    evidence = Evidence()
    for _ in range(ASKED_AGAIN):
        assert judge_it(409, evidence, body) == (Trace.UNCERTAIN, "again")
        evidence = evidence.seen(Trace.UNCERTAIN, conflict=True)
    assert judge_it(409, evidence, body) == (Trace.UNCERTAIN, "doubt")
