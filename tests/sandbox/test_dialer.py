"""The sandbox's dialer: calls within their hours, in their order, on the lines that there are."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls_async.sandbox.model.behaviour import PATTERNS, Behaviour, Ending
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.model.hours import Window, read_zone
from calls_async.sandbox.model.job import Job
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.dialing import DAY, HOUR, MARCH, OCTOBER, Stepped, allowed, number, policies
from tests.helpers.guide import README

ANSWERS, SILENT, NOBODY = "9900", "9901", "9902"


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([MARCH, OCTOBER]))
def test_nobody_is_called_at_the_wrong_time_too_often_or_on_too_many_lines(data: st.DataObject, start: float) -> None:
    # C-DAY-2, C-TIME-3, C-TIME-6, C-F-3, C-F-4, C-F-7, C-F-8
    lines = data.draw(st.integers(1, 3))
    shares = {Ending.NO_ANSWER: 3.0, Ending.WITH_RESULT: 1.0}
    one = Stepped(now=start, behaviour=Behaviour(shares=shares, seed=data.draw(st.integers(0, 9))), lines=lines)
    given_policies = data.draw(st.lists(policies(start), min_size=1, max_size=12))
    jobs = one.add(*({"phone": f"1650{n:07}", **policy} for n, policy in enumerate(given_policies)))
    for _ in range(data.draw(st.integers(1, 6))):
        one.step(data.draw(st.floats(0, 3 * DAY)))
        assert sum(job.status == "inProcess" for job in jobs) <= lines
    one.step(20 * DAY)
    spans = []
    for job, policy in zip(jobs, given_policies, strict=True):
        most = max(1, policy.get("maxAttempts", DialerSettings().max_attempts))
        assert len(job.attempts) <= most
        for attempt in job.attempts:
            assert allowed(policy, attempt.started_at_ms / 1000), (policy, attempt)
            assert attempt.finished_at_ms is not None
            spans.append((attempt.started_at_ms, attempt.finished_at_ms))
        pause = policy.get("retryIntervalInMinutes", DialerSettings().retry_minutes) * 60_000
        for before, after in pairwise(job.attempts):
            assert before.finished_at_ms is not None
            assert after.started_at_ms - before.finished_at_ms >= pause
        # Whoever could have been called in these three weeks was; the others are told not to be done.
        ever = any(allowed(policy, start + quarter * 900) for quarter in range(96 * 10))
        if not job.attempts:
            assert job.status == ("planned" if _later(policy, one.now) else "notDone")
            assert not ever or "finishDateTime" in policy or lines < len(jobs)
    for begun, _ in spans:
        assert sum(start_ms <= begun < end_ms for start_ms, end_ms in spans) <= lines


def _later(policy: dict[str, Any], now: float) -> bool:
    return any(allowed(policy, now + quarter * 900) for quarter in range(96 * 8))


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([MARCH, OCTOBER]), st.floats(0, 10 * DAY))
def test_windows_open_and_close_when_they_do(data: st.DataObject, start: float, after: float) -> None:
    policy = data.draw(policies(start))
    window, moment = Window.of(policy), start + after
    assert window.is_open(moment) == allowed(policy, moment)
    opens_at = window.opens_at(moment)
    if opens_at is not None:
        assert window.is_open(opens_at)
        for share in (0.1, 0.5, 0.9, 0.999):
            between = moment + (opens_at - moment) * share
            assert between >= opens_at or not allowed(policy, between)
    else:
        assert not any(allowed(policy, moment + n * 1800) for n in range(48 * 8))


def test_an_hour_that_comes_twice_and_one_that_never_comes() -> None:
    berlin = {
        "gmtZone": "Europe/Berlin",
        "allowedTime": {"default": [{"localTimeFrom": "02:00", "localTimeTo": "03:00"}]},
    }
    window = Window.of(berlin)
    sunday = datetime(2026, 10, 25, tzinfo=UTC).timestamp()
    assert window.opens_at(sunday - 12 * HOUR) == sunday  # 02:00 summer time
    assert [window.is_open(sunday + hours * HOUR) for hours in (-0.01, 0.5, 1.5, 2.0)] == [False, True, True, False]
    assert window.closes_at(sunday) == sunday + 2 * HOUR
    gap = datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    monday = datetime(2026, 3, 30, 2, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    assert window.opens_at(gap) == monday


@pytest.mark.parametrize(
    ("name", "hours"),
    [("Z", 0), ("+3", 3), ("-0530", -5.5), ("UTC+05:45", 5.75), ("GMT-05", -5), ("+013015", 1.504166), ("UT+1", 1)],
)
def test_zones(name: str, hours: float) -> None:  # C-ZONE-1
    offset = read_zone(name).utcoffset(datetime(2026, 1, 1, tzinfo=UTC))
    assert offset is not None
    assert offset.total_seconds() / 3600 == pytest.approx(hours, abs=1e-4)


# --- order ---


def order(jobs: list[Job]) -> list[str]:
    """The last digits of the numbers, in the order of their first calls."""
    called = sorted((job for job in jobs if job.attempts), key=lambda job: job.attempts[0].started_at_ms)
    return [job.phone[4:7] for job in called]


def test_jobs_are_taken_in_the_documented_order() -> None:  # C-PRIO-1, C-PRIO-2, C-PRIO-3, C-POL-1
    one = Stepped(lines=1)
    early, late = (
        {"allowedTime": {"default": [{"localTimeFrom": "00:00", "localTimeTo": end}]}} for end in ("20:00", "22:00")
    )
    jobs = one.add(
        number(1, ANSWERS),
        number(2, ANSWERS, dialerPriority=7),
        number(3, ANSWERS, **late),
        number(4, ANSWERS, **early),
        number(5, ANSWERS, dialerPriority=2),
        number(6, ANSWERS, dialerPriority=1, **late),
        number(7, ANSWERS, dialerPriority=1),
    )
    one.step(HOUR)
    assert order(jobs) == ["006", "007", "005", "004", "003", "001", "002"]
    assert {job.status for job in jobs} == {"longCallWithResult"}


# --- endings ---


@pytest.mark.parametrize(
    ("digits", "statuses", "attempts"),
    [
        ("9900", "longCallWithResult", 1),
        ("9901", "noAnswer", 3),
        ("9902", "nonexistentNumber", 1),
        ("9903", "longCallWithNoResult", 1),
        ("9904", "longCallWithResult", 3),
        ("9905", "longCallWithResult", 1),
    ],
)
def test_the_last_digits_choose_the_ending(digits: str, statuses: str, attempts: int) -> None:  # C-REP-5, C-M-7
    assert digits in PATTERNS
    one = Stepped()
    (job,) = one.add(number(1, digits))
    assert one.ask("/callJob/getReport", {"ids": [job.id]})[0]["jobStatus"] == "inProcess"
    one.step(DAY)
    (report,) = one.ask("/callJob/getReport", {"ids": [job.id]})
    assert (report["jobStatus"], report["attemptsCount"]) == (statuses, attempts)
    assert report["startedAt"] == MARCH * 1000
    assert report["finishedAt"] > report["startedAt"]
    assert (report["callDuration"] > 0) == statuses.startswith("long")
    tries = one.ask("/callAttempt/getReport", {"phones": [job.phone]})
    assert len(tries) == attempts
    assert tries[-1]["jobStatus"] == statuses
    assert all(before["finishedAt"] < after["startedAt"] for before, after in pairwise(tries))
    if digits == "9905":
        assert report["callDuration"] == 1200
    if digits == "9904":
        assert [one["jobStatus"] for one in tries] == ["noAnswer", "noAnswer", "longCallWithResult"]


def test_the_same_seed_gives_the_same_calls_and_shares_are_kept() -> None:
    contacts = [number(n % 1000, f"{n // 1000:04}") for n in range(2000)]
    found = []
    for seed in (1, 1, 2):
        one = Stepped(behaviour=Behaviour(shares={Ending.WITH_RESULT: 3, Ending.NO_ANSWER: 1}, seed=seed), lines=500)
        jobs = one.add(*contacts)
        one.step(9 * DAY)
        found.append([(job.status, len(job.attempts)) for job in jobs])
    assert found[0] == found[1] != found[2]
    first = Counter(attempts for _, attempts in found[0])
    assert 0.70 < first[1] / 2000 < 0.80
    with pytest.raises(ValueError, match="shares"):
        Behaviour(shares={})


def test_a_job_may_be_on_retry_and_end_without_having_been_reached() -> None:
    one = Stepped(retry_minutes=60)
    until = datetime.fromtimestamp(MARCH + 90 * 60, UTC).isoformat()
    (job,) = one.add(number(1, SILENT, finishDateTime=until))
    one.step(60)
    assert job.status == "onRetry"
    assert one.ask("", method="GET")["shortReport"]["retryCalls"] == 1
    one.step(HOUR + 60)
    assert (job.status, len(job.attempts)) == ("noAnswer", 2)  # the third would come too late
    one.step(DAY)
    assert len(job.attempts) == 2


# --- the campaign ---


def test_the_campaign_follows() -> None:  # C-CAM-2, C-CAM-3, C-M-8
    one = Stepped(lines=2)
    assert one.ask("/status", method="GET") == "planned"
    one.add(*(number(n, ANSWERS) for n in range(5)), number(9, NOBODY))
    report = one.ask("", method="GET")
    assert (report["status"], report["maxSimultaneousCalls"]) == ("inProcess", 2)
    assert report["shortReport"]["inProcessCalls"] == 2
    one.step(DAY)
    report = one.ask("", method="GET")
    assert report["status"] == "finished"
    short = report["shortReport"]
    assert (short["totalNumbers"], short["processedNumbers"], short["inProcessCalls"]) == (6, 6, 0)
    assert short["usedTalkingTime"] == sum(job.attempts[-1].talk_seconds for job in one.sandbox.jobs)
    one.add(number(10, ANSWERS))
    assert one.ask("/status", method="GET") == "inProcess"


def test_whoever_comes_at_the_same_time_goes_by_priority() -> None:  # C-PRIO-3, C-POL-1
    hours, fewer = ({"default": [{"localTimeFrom": "09:00", "localTimeTo": end}]} for end in ("18:00", "10:00"))
    one = Stepped(lines=1)
    low, high, soon = one.add(
        number(1, dialerPriority=5, allowedTime=hours),
        number(2, dialerPriority=1, allowedTime=hours),
        number(3, dialerPriority=1, allowedTime=fewer),
    )
    one.step(9 * HOUR + 1)
    assert [job.status for job in (low, high, soon)] == ["planned", "planned", "inProcess"]
    another = Stepped(lines=1)
    low, high = another.add(number(1, dialerPriority=5), number(2, dialerPriority=1))
    assert [job.status for job in (low, high)] == ["planned", "inProcess"]


def test_pause_resume_stop_and_cancel() -> None:  # C-M-5, C-M-10, C-M-11, C-M-12, C-CAN-1
    one = Stepped(lines=1)
    jobs = one.add(*(number(n, ANSWERS) for n in range(6)))
    one.ask("/control/pause")
    one.step(DAY)
    assert [job.status for job in jobs] == ["longCallWithResult"] + ["planned"] * 5
    assert one.ask("/callJob/cancel", {"ids": [jobs[0].id, jobs[5].id]}) == [jobs[5].id]
    one.ask("/control/resume")
    one.step(1)
    assert jobs[1].status == "inProcess"
    assert one.ask("/callJob/cancel", {"ids": [jobs[1].id]}) == [jobs[1].id]
    one.ask("/control/stop")
    one.step(DAY)
    assert [job.status for job in jobs[1:]] == ["canceled", "notDone", "notDone", "notDone", "canceled"]
    assert one.ask("/status", method="GET") == "finished"
    (late,) = one.add(number(7, ANSWERS))
    one.step(DAY)
    assert (late.status, one.ask("/status", method="GET")) == ("planned", "finished")
    one.ask("/control/resume")
    one.step(DAY)
    assert (late.status, one.ask("/status", method="GET")) == ("longCallWithResult", "finished")
    assert [job.status for job in jobs[1:]] == ["canceled", "notDone", "notDone", "notDone", "canceled"]


def test_a_call_that_is_on_when_the_campaign_is_stopped_is_the_last() -> None:
    one = Stepped(lines=1)
    (job,) = one.add(number(1, SILENT))
    one.step(1)
    one.ask("/control/stop")
    one.step(DAY)
    assert (job.status, len(job.attempts)) == ("noAnswer", 1)


def test_a_clock_of_any_speed() -> None:
    real = 1000.0
    clock = Clock(lambda: real, speed=600)
    assert clock() == 1000
    real += 6
    assert clock() == 1000 + 3600
    clock.advance(hours=1)
    assert clock() == 1000 + 7200
    clock.run_at(0)
    real += 10
    assert clock() == 1000 + 7200
    clock.run_at(60)
    real += 10
    assert clock() == 1000 + 7800
    clock.not_before(5000)
    assert clock() == 1000 + 7800
    clock.not_before(10_000)
    assert clock() == 10_000
    for wrong in (-1, math.inf, math.nan):
        with pytest.raises(ValueError, match="speed"):
            Clock(speed=wrong)
        with pytest.raises(ValueError, match="clock can"):
            clock.advance(hours=wrong)


def test_without_a_behaviour_nobody_is_called() -> None:
    sandbox = Sandbox()
    sandbox.account.add(sandbox.account.campaigns[sandbox.token], [number(1)])
    sandbox.advance(hours=100)
    assert [job.status for job in sandbox.jobs] == ["planned"]


def test_every_pattern_is_in_the_readme() -> None:
    for digits, pattern in PATTERNS.items():
        assert f"| `…{digits}` | {pattern.does} |" in README


async def test_calls_go_on_while_nobody_asks() -> None:
    clock = Clock(speed=3600)
    async with Sandbox(behaviour=Behaviour(), clock=clock) as sandbox:
        account = sandbox.account
        account.add(account.campaigns[sandbox.token], [number(1, ANSWERS)])
        (job,) = sandbox.jobs
        assert job is not None
        while job.status != "longCallWithResult":
            await asyncio.sleep(0.01)
        assert sandbox.calls == []
