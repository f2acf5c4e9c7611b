"""The proof: thousands of schedules of faults, crashes and resumes, in virtual time, each replayed by its seed.

`CALLS_SIMULATION_SEEDS=17:18 pytest tests/proofs/test_simulation.py` plays seed 17 alone.
"""

from __future__ import annotations

import gc
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from calls_async.upload.journal import opening, upload_table
from calls_async.upload.journal.settings import Durability
from tests.proofs.simulation.batching import BatcherSchedule
from tests.proofs.simulation.lives import Lives
from tests.proofs.simulation.schedule import Schedule

# What the dead processes had open is closed by nobody, and what they had begun is awaited by nobody.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    # Where the garbage of the dead is collected is chance: also where no warning can be given.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


SOME, MANY = 60, 8_400
"""Schedules of uploads; of a batcher, a fifth of that."""
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A disk in memory saves a sixth of the time: here processes die, not machines."""
PARTS = 20
EVERY_STEP = 300


@pytest.fixture(autouse=True)
def _quick_and_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    # A journal is opened several times a schedule; guessing its token need not be slow here.
    monkeypatch.setattr(upload_table, "_FINGERPRINT_ROUNDS", 1)
    # Nobody need wait for the disk.
    monkeypatch.setitem(opening._SYNCHRONOUS, Durability.PROCESS, "OFF")
    # Records that pytest keeps would keep the dead alive, by their tracebacks, into the next test.
    monkeypatch.setattr(logging.getLogger("calls_async.upload"), "disabled", True)


def seeds(count: int) -> tuple[int, int]:
    first, _, last = os.environ.get("CALLS_SIMULATION_SEEDS", f"0:{count}").partition(":")
    return int(first), int(last)


def play(first: int, last: int, kind: type[Lives] = Schedule) -> None:
    # C-IDEM-1, C-IDEM-2, C-IDEM-7, C-IDEM-8, C-M-19
    for seed in range(first, last):
        with TemporaryDirectory(dir=MEMORY) as folder:
            one = kind(seed, Path(folder))
            try:
                one.run()
            except BaseException as error:
                error.add_note(f"{one.story}\nreplay it with CALLS_SIMULATION_SEEDS={seed}:{seed + 1}")
                raise
    gc.collect()  # what the dead have left goes here, not in the middle of another test


@pytest.mark.parametrize("part", range(PARTS))
def test_some_schedules(part: int) -> None:
    first, last = seeds(SOME)
    step = -(-(last - first) // PARTS)
    play(first + part * step, min(last, first + (part + 1) * step))


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_many_schedules(part: int) -> None:
    first, last = seeds(MANY)
    step = -(-(last - first) // PARTS)
    play(first + part * step, min(last, first + (part + 1) * step))


@pytest.mark.parametrize("part", range(PARTS // 5))
def test_some_schedules_of_a_batcher(part: int) -> None:
    first, last = seeds(SOME // 5)
    step = -(-(last - first) // (PARTS // 5))
    play(first + part * step, min(last, first + (part + 1) * step), BatcherSchedule)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS // 5))
def test_many_schedules_of_a_batcher(part: int) -> None:
    first, last = seeds(MANY // 5)
    step = -(-(last - first) // (PARTS // 5))
    play(first + part * step, min(last, first + (part + 1) * step), BatcherSchedule)


def end_at(steps: range, seed: int, how: str, folder: Path) -> None:
    """The first life dies, or is cancelled, after each of these steps in turn: at an await, at a write."""
    for step in steps:
        one = Schedule(seed, folder / str(step))
        setattr(one, how, step)
        try:
            one.run()
        except BaseException as error:
            error.add_note(f"{one.story}\nseed {seed}, {how} {step}")
            raise
    gc.collect()


@pytest.mark.parametrize("seed", [4, 16])
@pytest.mark.parametrize("how", ["first_crash", "first_cancel"])
def test_an_end_at_some_steps(seed: int, how: str, tmp_path: Path) -> None:
    end_at(range(seed % 15 + 1, EVERY_STEP, 15), seed, how, tmp_path)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [4, 27])
@pytest.mark.parametrize("how", ["first_crash", "first_cancel"])
def test_an_end_at_every_step(seed: int, how: str, tmp_path: Path) -> None:
    end_at(range(1, EVERY_STEP), seed, how, tmp_path)
