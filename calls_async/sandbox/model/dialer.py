"""Calls the jobs of one campaign, in the time of a clock that somebody else keeps. Pure: `run_until` plays what has
happened up to a moment, in its order."""

from __future__ import annotations

import heapq
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import attrs

from calls_async.sandbox.model.behaviour import Behaviour, CallPlan, Ending
from calls_async.sandbox.model.checks import MAX_COUNT
from calls_async.sandbox.model.hours import Window
from calls_async.sandbox.model.job import FINAL, Attempt, Job

LOWEST_PRIORITY = 5
_PRIORITIES = range(1, LOWEST_PRIORITY + 1)


@attrs.frozen(slots=True, kw_only=True)
class DialerSettings:
    """What a campaign does where a number has no setting of its own (C-POL-1)."""

    lines: int = 10
    """`maxSimultaneousCalls` (C-CAM-1)."""
    max_attempts: int = 3
    retry_minutes: int = 60

    def __attrs_post_init__(self) -> None:
        for name, least in (("lines", 1), ("max_attempts", 1), ("retry_minutes", 0)):
            value = getattr(self, name)
            if not least <= value <= MAX_COUNT:
                raise ValueError(f"{name} must be {least} to {MAX_COUNT}, not {value}")


class Dialer:
    """Lines that take jobs by priority (C-PRIO-3); among equals, those with a policy of their own first, and of these
    the ones whose hours end first (C-POL-1); then as they were added. Moments are Unix time in seconds."""

    def __init__(self, behaviour: Behaviour, settings: DialerSettings, move: Callable[[Job, str], None]) -> None:
        """Take `move`, which gives a job a status."""
        self.paused = False
        self.stopped = False
        self.busy = 0
        """Lines that are taken."""
        self.talk_seconds = 0
        self._behaviour = behaviour
        self._settings = settings
        self._move = move
        self._numbers = count()
        self._ready: list[tuple[int, float, int, Job]] = []
        """Those with a policy of their own."""
        self._plain: dict[int, deque[Job]] = {priority: deque() for priority in _PRIORITIES}
        """Those without: nearly all, so they take no more of memory than their place."""
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._open_jobs = 0
        """Those that are not over."""
        self._windows: dict[int, tuple[Mapping[str, Any], Window]] = {}
        """Of settings, which many jobs share, by their identity; kept beside the window, so that it stays theirs."""

    def add(self, jobs: Iterable[Job], now: float) -> None:
        """Take new jobs in, at `now`; what happened before must have been played."""
        for job in jobs:
            self._take_in(job, now)
        self._fill(now)

    def restore(self, jobs: Iterable[Job], now: float) -> None:
        """Take in jobs that had their statuses at `now` before this dialer was there."""
        for job in sorted(jobs, key=self._ready_since):
            self._take_in(job, now)
        self._fill(now)

    def _ready_since(self, job: Job) -> float:
        """Return by what those are ordered who wait for a line."""
        return self._retries_at(job) if job.status == "onRetry" else job.created_at_ms / 1000

    def _take_in(self, job: Job, now: float) -> None:
        self.talk_seconds += sum(attempt.talk_seconds for attempt in job.attempts)
        if job.attempts and job.attempts[-1].ending is None:
            self._hold(job, job.attempts[-1], now)
        if job.status in FINAL:
            return
        self._open_jobs += 1
        window = self._window(job)
        if window.finishes_at is not None and window.finishes_at > now:
            self._at(window.finishes_at, lambda moment: self._expire(job))
        if job.status in ("planned", "onRetry"):
            self._wait(job, now, self._ready_since(job))

    def change(self, settings: DialerSettings, now: float) -> None:
        """Go by these settings from now on."""
        self._settings = settings
        self._fill(now)

    def run_until(self, now: float) -> None:
        """Let happen what happens up to and including `now`."""
        while self._events and self._events[0][0] <= now:
            moment = self._events[0][0]
            # All of one moment, and then the calls: whoever comes at the same time goes by priority.
            while self._events and self._events[0][0] == moment:
                heapq.heappop(self._events)[-1](moment)
            self._fill(moment)

    def pause(self) -> None:
        """Begin no more calls, until `resume`."""
        self.paused, self.stopped = True, False

    def resume(self, now: float) -> None:
        """Begin calls again, also of what comes after a stop."""
        self.paused = self.stopped = False
        self._fill(now)

    def stop(self, jobs: Iterable[Job]) -> None:
        """Begin no call; those of its `jobs` that wait are not done."""
        self.stopped = True
        self._ready.clear()
        for jobs_of_priority in self._plain.values():
            jobs_of_priority.clear()
        for job in jobs:
            if job.status in ("planned", "onRetry"):
                self._end(job, Ending.NO_ANSWER if job.attempts else "notDone")

    def cancel(self, job: Job) -> bool:
        """Cancel a job; return whether it could be: it was not over."""
        if job.status in FINAL:
            return False
        self._end(job, "canceled")
        return True

    @property
    def done(self) -> bool:
        """Whether every job is over."""
        return not self._open_jobs

    # --- what happens ---

    def _wait(self, job: Job, now: float, earliest: float) -> None:
        """Wait until the job may be called, not before `earliest`; where that never comes, it is over."""
        window = self._window(job)
        opens_at = window.opens_at(earliest)
        if opens_at is None:
            self._end(job, Ending.NO_ANSWER if job.attempts else "notDone")
        elif opens_at > now:
            self._at(opens_at, lambda opened: self._make_ready(job, opened))
        else:
            self._make_ready(job, opens_at)

    def _make_ready(self, job: Job, moment: float) -> None:
        if job.status in FINAL:
            return
        window = self._window(job)
        if not window.own:
            self._plain[_priority(job)].append(job)
            return
        closes_at = window.closes_at(moment) or math.inf
        heapq.heappush(self._ready, (_priority(job), closes_at, next(self._numbers), job))

    def _next(self) -> Job | None:
        """Return the job whose turn it is."""
        plain = next((priority for priority, jobs in self._plain.items() if jobs), None)
        if self._ready and (plain is None or self._ready[0][0] <= plain):
            return heapq.heappop(self._ready)[-1]
        return None if plain is None else self._plain[plain].popleft()

    def _fill(self, moment: float) -> None:
        """Give free lines to jobs that are ready."""
        while self.busy < self._settings.lines and not (self.paused or self.stopped):
            job = self._next()
            if job is None:
                return
            if job.status in FINAL:
                continue
            if self._window(job).is_open(moment):
                self._call(job, moment)
            else:
                self._wait(job, moment, moment)

    def _call(self, job: Job, moment: float) -> None:
        attempt = job.begin_attempt(moment)
        self._move(job, "inProcess")
        self._hold(job, attempt, moment)

    def _hold(self, job: Job, attempt: Attempt, now: float) -> None:
        """Hold the line of a job's last attempt until it is over; not before `now`, should the behaviour be
        another."""
        self.busy += 1
        plan = self._behaviour.plan(job.id, job.phone, len(job.attempts))
        ends_at = max(now, attempt.started_at_ms / 1000 + plan.seconds)
        self._at(ends_at, lambda ended: self._hang_up(job, attempt, plan, ended))

    def _hang_up(self, job: Job, attempt: Attempt, plan: CallPlan, moment: float) -> None:
        self.busy -= 1
        self.talk_seconds += plan.talk_seconds
        attempt.end(moment, plan.talk_seconds, plan.ending)
        if job.status in FINAL:
            self._move(job, job.status)  # canceled meanwhile
            return
        last = self.stopped or len(job.attempts) >= self._max_attempts(job)
        if plan.ending is not Ending.NO_ANSWER or last:
            self._end(job, plan.ending)
            return
        self._move(job, "onRetry")
        self._wait(job, moment, self._retries_at(job))

    def _retries_at(self, job: Job) -> float:
        """Return before when it is not called again (C-F-8)."""
        minutes = job.settings.get("retryIntervalInMinutes")
        pause = self._settings.retry_minutes if minutes is None else minutes
        return (job.attempts[-1].finished_at_ms or 0) / 1000 + pause * 60

    def _max_attempts(self, job: Job) -> int:
        """Return how often a job is tried (C-F-8); the example's 0 is one call and no callback."""
        given = job.settings.get("maxAttempts")
        return self._settings.max_attempts if given is None else max(1, given)

    def _expire(self, job: Job) -> None:
        """End a job after its `finishDateTime` (C-F-4)."""
        if job.status == "planned":
            self._end(job, "notDone")
        elif job.status == "onRetry":
            self._end(job, Ending.NO_ANSWER)

    def _end(self, job: Job, status: str) -> None:
        self._move(job, sys.intern(str(status)))
        self._open_jobs -= 1

    def _window(self, job: Job) -> Window:
        known = self._windows.get(id(job.settings))
        if known is None:
            known = self._windows[id(job.settings)] = job.settings, Window.of(job.settings)
        return known[1]

    def _at(self, moment: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), happen))


def _priority(job: Job) -> int:
    """Return a job's priority (C-PRIO-1, C-PRIO-2)."""
    given = job.settings.get("dialerPriority")
    return given if type(given) is int and given in _PRIORITIES else LOWEST_PRIORITY
