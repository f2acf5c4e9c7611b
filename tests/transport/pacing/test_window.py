"""The adaptive window against servers of limited capacity, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async.transport.pacing.window import Window

WORKERS = 64


class Fixed:
    """A window that does not adapt."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def answered(self, now: float, seconds: float, *, full: bool) -> None:
        pass

    def refused(self, now: float, started: float) -> None:
        pass


@attrs.define
class Server:
    """`places` requests at a time, a queue beyond, 503 past its length; and the clients that load it."""

    window: Any
    places: Callable[[float], int]
    queue: int
    service_seconds: float
    variation: float = 0.0
    rng: random.Random = attrs.field(factory=lambda: random.Random(1))
    now: float = 0.0
    done: int = 0
    refused: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    _busy: int = 0
    _queued: deque[float] = attrs.field(factory=deque)
    _ready: deque[int] = attrs.field(factory=deque)
    _events: list[tuple[float, int, Any]] = attrs.field(factory=list)
    _count: int = 0

    def __attrs_post_init__(self) -> None:
        self._ready.extend([0] * WORKERS)
        self._send()

    def run(self, until: float) -> tuple[int, int]:
        """Answers and refusals until that time."""
        before = self.done, self.refused
        while self._events and self._events[0][0] <= until:
            self.now, _, act = heapq.heappop(self._events)
            act()
        return self.done - before[0], self.refused - before[1]

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, act))

    def _send(self) -> None:
        while self._ready and self.in_flight < self.window.limit:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self._arrive(self.now, self._ready.popleft())

    def _arrive(self, sent: float, failures: int) -> None:
        if self._busy < self.places(self.now):
            self._serve(sent)
        elif len(self._queued) < self.queue:
            self._queued.append(sent)
        else:
            self._at(0.0005, lambda: self._refuse(sent, failures))

    def _serve(self, sent: float) -> None:
        self._busy += 1
        spread = self.rng.uniform(1 - self.variation, 1 + self.variation)
        self._at(self.service_seconds * spread, lambda: self._answer(sent))

    def _answer(self, sent: float) -> None:
        self._busy -= 1
        self.done += 1
        full = self.in_flight >= self.window.limit
        self.window.answered(self.now, self.now - sent, full=full)
        self.in_flight -= 1
        while self._queued and self._busy < self.places(self.now):
            self._serve(self._queued.popleft())
        self._ready.append(0)
        self._send()

    def _refuse(self, sent: float, failures: int) -> None:
        self.refused += 1
        self.window.refused(self.now, sent)
        self.in_flight -= 1
        self._at(self.rng.uniform(0, min(30.0, 0.5 * 2**failures)), lambda: self._again(failures + 1))
        self._send()

    def _again(self, failures: int) -> None:
        self._ready.append(failures)
        self._send()


@pytest.mark.parametrize("start", [1, 16, 64])
@pytest.mark.parametrize("variation", [0.0, 0.8])
@pytest.mark.parametrize(("places", "queue"), [(1, 8), (4, 8), (16, 16), (40, 20)])
def test_a_window_finds_what_the_server_takes(start: int, variation: float, places: int, queue: int) -> None:
    fixed = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64]
    best, _ = max(Server(Fixed(n), lambda now: places, queue, 0.05, variation).run(40.0) for n in fixed)
    done, refused = Server(Window(WORKERS, start), lambda now: places, queue, 0.05, variation).run(40.0)
    assert done >= 0.9 * best
    assert refused <= 0.02 * done + start


@pytest.mark.parametrize("variation", [0.0, 0.5])
def test_a_change_of_capacity_is_followed_within_5_seconds(variation: float) -> None:
    capacity = [8, 32, 4, 16]
    server = Server(Window(WORKERS, 1), lambda now: capacity[min(3, int(now / 15))], 16, 0.05, variation)
    for number, places in enumerate(capacity):
        server.run(number * 15.0 + 5)
        done, _ = server.run(number * 15.0 + 15)
        assert done >= 0.9 * 10 * places / 0.05


def test_an_idle_server_is_not_limited() -> None:
    """Latency that does not grow is no reason to hold back, however long it is."""
    server = Server(Window(WORKERS, 4), lambda now: 1000, 0, 0.3, 0.5)
    server.run(30.0)
    done, _ = server.run(60.0)
    assert done >= 0.95 * 30 * WORKERS / 0.3


def test_a_window_that_is_not_used_does_not_grow() -> None:
    window, now = Window(WORKERS, 4), 0.0
    for _ in range(1000):
        now += 0.01
        window.answered(now, 0.01, full=False)
    assert window.limit == 4


def test_one_burst_of_refusals_counts_once() -> None:
    window = Window(WORKERS, 64)
    for _ in range(30):
        window.refused(1.0, 0.5)
    assert window.limit == 51


moments = st.floats(0, 10)
signs = st.tuples(moments, moments, st.sampled_from(["answered", "answered", "answered", "refused", "restart"]))


@given(st.integers(1, 100), st.integers(1, 100), st.lists(signs, max_size=300))
def test_whatever_happens_it_stays_within_its_bounds(largest: int, start: int, happens: list[Any]) -> None:
    window, now = Window(largest, start), 0.0
    for passed, seconds, sign in happens:
        now += passed
        if sign == "answered":
            window.answered(now, seconds, full=True)
        elif sign == "refused":
            window.refused(now, now - seconds)
        else:
            window.restart(now)
        assert 1 <= window.limit <= largest
