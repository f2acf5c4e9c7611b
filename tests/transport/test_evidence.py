"""What attempts prove: a truth table of the ladder, and of what each answer leaves behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import AccessError, RefusedError
from calls_async.protocol import endpoints
from calls_async.protocol.endpoints import Response
from calls_async.transport.answers import TryAgain, judge
from calls_async.transport.evidence import Evidence, Trace

ADD = endpoints.add_phones("token", b"[]", "key")
INFO = endpoints.info("token")


@pytest.mark.parametrize(
    ("evidence", "reached", "maybe_created", "maybe_late", "from_before"),
    [
        (Evidence(), False, False, False, False),
        (Evidence(Trace.NEVER_ARRIVED), False, False, False, False),
        (Evidence(Trace.ANSWERED), True, False, False, False),
        (Evidence(Trace.MAYBE_ACTED_UPON), True, True, False, False),
        (Evidence(Trace.MAYBE_STILL_COMING), True, True, True, False),
        (Evidence.sent_before(), False, True, True, True),
        (Evidence.sent_before().seen(Trace.ANSWERED), True, True, True, True),
    ],
)
def test_each_step_of_the_ladder(
    evidence: Evidence, reached: bool, maybe_created: bool, maybe_late: bool, from_before: bool
) -> None:
    assert evidence.reached is reached
    assert evidence.maybe_created is maybe_created
    assert evidence.maybe_late is maybe_late
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


@pytest.mark.parametrize(
    ("status", "trace", "again"),
    [
        (200, Trace.ANSWERED, None),
        (400, Trace.ANSWERED, False),
        (403, Trace.ANSWERED, False),
        (413, Trace.ANSWERED, False),
        (422, Trace.ANSWERED, False),
        (301, Trace.ANSWERED, False),
        (425, Trace.ANSWERED, True),
        (429, Trace.ANSWERED, True),
        (500, Trace.MAYBE_ACTED_UPON, True),
        (503, Trace.MAYBE_ACTED_UPON, True),
        (408, Trace.MAYBE_STILL_COMING, True),
        (502, Trace.MAYBE_STILL_COMING, True),
        (504, Trace.MAYBE_STILL_COMING, True),
    ],
)
def test_what_a_first_answer_leaves_behind(status: int, trace: Trace, again: bool | None) -> None:  # C-ERR-1
    judgement = judge(Response(status=status), ADD, Evidence(), 0.0)
    assert judgement.trace is trace
    if again is None:
        assert judgement.failure is None
    else:
        assert isinstance(judgement.failure, TryAgain if again else RefusedError)
    assert not judgement.refused_late


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
def test_a_refusal_after_an_uncertain_attempt_is_not_believed(status: int) -> None:
    for evidence in (Evidence(Trace.MAYBE_ACTED_UPON), Evidence.sent_before()):
        judgement = judge(Response(status=status), ADD, evidence, 0.0)
        assert judgement.refused_late
        assert isinstance(judgement.failure, TryAgain)
        assert isinstance(
            judge(Response(status=status), INFO, evidence, 0.0).failure, RefusedError
        )  # creates nothing
    assert isinstance(judge(Response(status=404), ADD, Evidence(Trace.ANSWERED), 0.0).failure, AccessError)


@pytest.mark.parametrize(
    ("body", "headers", "evidence", "in_progress"),
    [
        (b"a request with this key is in progress", {}, Evidence(), True),
        (b"", {"retry-after": "1"}, Evidence(), True),
        (b"", {}, Evidence(), False),
        (b"", {}, Evidence(Trace.MAYBE_ACTED_UPON), True),
        (b"duplicate phone", {}, Evidence(Trace.MAYBE_ACTED_UPON), False),
    ],
)
def test_a_409(body: bytes, headers: dict[str, str], evidence: Evidence, in_progress: bool) -> None:  # C-IDEM-1
    judgement = judge(Response(status=409, headers=headers, body=body), ADD, evidence, 0.0)
    assert (judgement.trace is Trace.MAYBE_STILL_COMING) is in_progress
