"""Clocks that are wrong: a key is as old as the oldest says, and what may be forgotten as young as the youngest."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async.errors import NoAnswerError
from calls_async.protocol.endpoints import Response
from calls_async.transport.clock import Clock
from calls_async.upload.journal.journal_time import JournalTime
from calls_async.upload.upload import Upload
from tests.helpers.play import FIRST, GONE, LOST, Play, Server, after

HOUR = 3600.0


@attrs.define
class World:
    """True time, and what each clock makes of it."""

    true: float = 1.8e9
    wall_off: float = 0.0
    knows_server: bool = True

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.true + self.wall_off, monotonic=lambda: self.true - 1.7e9)

    def server_ahead(self) -> float | None:
        return -self.wall_off if self.knows_server else None

    def journal_time(self, latest: float = 0.0) -> JournalTime:
        return JournalTime(self.clock(), latest=latest, server_ahead=self.server_ahead)


steps = st.lists(st.tuples(st.floats(0, 10 * HOUR), st.floats(-72 * HOUR, 72 * HOUR), st.booleans()), max_size=20)


@given(steps)
def test_keys_never_grow_younger_and_things_never_older_than_they_are(jumps: list[tuple[float, float, bool]]) -> None:
    world = World()
    time, began = world.journal_time(), world.true
    before = time.now()
    for passed, off, knows in jumps:
        world.true, world.wall_off, world.knows_server = world.true + passed, off, knows
        now = time.now()
        assert now >= before
        assert now - began >= world.true - began - 1e-3  # at least as old as it is
        assert time.youngest() <= world.true + 1e-3  # at most
        before = now


@given(st.floats(-72 * HOUR, 72 * HOUR), st.floats(0, 72 * HOUR))
def test_the_next_process_never_starts_before_the_last_time_that_was_written(off: float, since: float) -> None:
    world = World(wall_off=off, knows_server=False)
    latest = world.true - since
    assert world.journal_time(latest).now() >= latest


def test_a_clock_that_is_ahead_at_a_restart_makes_nothing_old() -> None:
    world = World(wall_off=72 * HOUR)
    assert world.journal_time().youngest() <= world.true
    world.knows_server = False
    assert world.journal_time().youngest() > world.true  # nobody says that it is wrong


def test_a_clock_that_is_set_back_between_two_processes_does_not_outlive_the_keys_day(path: Path) -> None:
    """The journal knows that it was later already; from there, the monotonic clock counts on."""
    # C-IDEM-7
    play = Play(Server(lambda server, phones, before: LOST), path)
    play.run(8, act=after(5, try_again=False))
    play.started += 22 * HOUR
    play.run(16, chunk_rows=8, act=after(5, try_again=False))  # by which the journal knows what time it is
    play.started -= 8 * HOUR
    play.server.says = lambda server, phones, before: GONE if play.loop.time() < 2 * HOUR else None
    assert isinstance(play.run(16, max_outage_seconds=10 * HOUR), NoAnswerError)
    assert not play.server.jobs


@pytest.mark.parametrize("answered", [True, False])
def test_the_servers_date_tells_at_a_restart_whose_clock_is_back(path: Path, *, answered: bool) -> None:
    """Nothing in the journal, and nothing on this machine, says that a day has passed."""
    # C-IDEM-7
    play = Play(Server(lambda server, phones, before: None if answered and len(phones) == 1 else LOST), path)
    play.server.tells_time = lambda: play.started + play.loop.time()
    play.run(9, chunk_rows=8, concurrency=2, act=after(5, try_again=False))
    play.started += 25 * HOUR
    play.wall_off = -8 * HOUR
    play.server.says = lambda server, phones, before: None
    assert play.run(9) is None
    assert play.statuses()["unknown"] == (8 if answered else 9)
    assert len(play.server.jobs) == (1 if answered else 0)


def test_a_clock_that_is_set_right_between_two_answers_makes_no_key_younger(path: Path) -> None:
    """What was learnt of it before is not true any more when the second chunk is sent."""
    # C-IDEM-7
    play = Play(Server(lambda server, phones, before: None), path)
    play.server.tells_time = lambda: play.started + play.loop.time()
    play.wall_off = -72 * HOUR

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if str(FIRST) in phones:
            return None
        server.create(server.key, phones)
        return LOST

    async def set_clock(upload: Upload) -> None:
        await asyncio.sleep(0.5)
        play.wall_off = 0.0
        await after(2, try_again=False)(upload)

    play.server.says = says
    play.run(2, concurrency=1, rate=1.0, act=set_clock)
    assert len(play.server.jobs) == 2
    play.server.forget_keys()
    play.started += 27 * HOUR
    play.wall_off = -8 * HOUR
    play.server.says = lambda server, phones, before: None
    assert play.run(2) is None
    assert play.statuses() == {"accepted": 1, "unknown": 1}
    assert len(play.server.jobs) == 2


def test_a_server_that_is_not_there_at_a_restart_is_waited_for(path: Path) -> None:
    """Whoever knows neither the server's time nor whether it is there uses no old key."""
    play = Play(Server(lambda server, phones, before: LOST), path)
    play.run(8, act=after(5, try_again=False))
    before = play.server.came.copy()
    play.server.report = lambda server: GONE
    assert isinstance(play.run(8, max_outage_seconds=60.0), NoAnswerError)
    assert play.server.came == before
    play.server.report = None
    play.server.says = lambda server, phones, before: None
    assert play.run(8) is None
    assert play.statuses() == {"accepted": 8}


def test_a_question_that_is_lost_is_asked_again(path: Path) -> None:
    # C-IDEM-7
    play = Play(Server(lambda server, phones, before: LOST), path)
    play.run(8, act=after(5, try_again=False))
    play.server.tells_time = lambda: play.started + play.loop.time()
    play.started += 25 * HOUR
    play.wall_off = -8 * HOUR
    lost = [LOST] * 3
    play.server.report = lambda server: lost.pop() if lost else Response(status=404)
    play.server.says = lambda server, phones, before: None
    assert play.run(8) is None
    assert not lost
    assert play.statuses() == {"unknown": 8}
    assert not play.server.jobs


@pytest.mark.parametrize("says", [LOST, Response(status=500), Response(status=403)])
def test_a_report_that_does_not_work_holds_nobody_back(path: Path, says: Response | Exception) -> None:
    play = Play(Server(lambda server, phones, before: LOST), path)
    play.server.jobs, play.server.times = ["another"], [0.0]  # no ID is 0, which would be looked up
    play.run(8, act=after(5, try_again=False))
    play.server.report = lambda server: says
    play.server.says = lambda server, phones, before: None
    assert play.run(16, chunk_rows=8) is None
    assert play.statuses() == {"accepted": 16}
    assert play.loop.time() < 5


def test_a_machine_that_stood_still_for_a_day_uses_no_key_of_before(path: Path) -> None:
    """Its clocks know nothing of it; the server's answers do, though each of them is a failure."""
    # C-IDEM-7
    play = Play(Server(lambda server, phones, before: None), path)
    stood_still = [0.0]
    play.server.tells_time = lambda: play.started + play.loop.time() + stood_still[0]

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        if str(FIRST) in phones:
            return None
        if before == 0:
            server.create(server.key, phones)
        if before == 2:
            stood_still[0] = 25 * HOUR
            server.forget_keys()
        return Response(status=502) if before < 4 else None

    play.server.says = says
    assert play.run(16, chunk_rows=8, concurrency=1) is None
    assert len(play.server.jobs) == 16
    assert play.statuses() == {"accepted": 8, "unknown": 8}


def test_a_clock_that_is_set_right_while_a_chunk_waits_hides_no_job(path: Path) -> None:
    """It was first sent by a clock three days ahead, which the report's times are not."""
    play = Play(Server(lambda server, phones, before: None), path)
    play.server.tells_time = lambda: play.started + play.loop.time()
    play.wall_off = 72 * HOUR

    def says(server: Server, phones: list[str], before: int) -> Response | None:
        if len(phones) == 1 or before:
            return None
        server.create("another key", phones)
        play.wall_off = 0.0
        return Response(status=418)

    play.server.says = says
    play.server.created_at = lambda: play.started + play.loop.time()
    assert play.run(9, chunk_rows=8) is None
    assert max(Counter(play.server.jobs).values()) == 1


def test_a_clock_that_is_set_back_in_an_outage_does_not_outlive_the_keys_day(path: Path) -> None:
    # C-IDEM-7
    play = Play(Server(lambda server, phones, before: LOST), path)
    day = 24 * HOUR
    last: list[float] = []

    def says(server: Server, phones: list[str], before: int) -> Response | Exception | None:
        now = play.loop.time()
        last.append(now)
        if now > 2 * HOUR:
            play.wall_off = -8 * HOUR
        return LOST

    play.server.says = says
    play.run(8, max_outage_seconds=10 * day)
    assert last[-1] - last[0] < day
    assert play.statuses() == {"unknown": 8}
