"""The real command, killed with `kill -9` again and again, and what its signals do."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from calls_async.cli.commands.sample import sample_csv
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.server.server import Sandbox

ROWS = 20_000
MANY_ROWS = 100_000
COMMAND = [sys.executable, "-m", "calls_async", "upload"]


class Killed:
    """One series: an upload that is killed some times, and finished then."""

    def __init__(self, folder: Path, sandbox: Sandbox, seed: int, rows: int = ROWS) -> None:
        self.source = folder / "list.csv"
        self.results = folder / "results.jsonl"
        self.rows = rows
        self.source.write_text("".join(sample_csv(rows, seed)))
        self.sandbox = sandbox
        self.rng = random.Random(seed)

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        rows = str(self.rng.randint(20, 200))
        command = [*COMMAND, str(self.source), "--results", str(self.results), "--json", "--chunk-rows", rows, *more]
        env = {"CALLS_HOST": self.sandbox.url, "CALLS_TOKEN": self.sandbox.token, "PATH": "/usr/bin:/bin"}
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    async def kill_after(self, jobs: int) -> bool:
        """Lets it add some jobs, then kills it; whether it was still running."""
        process = self.start()
        wanted = len(self.sandbox.jobs) + jobs
        while process.poll() is None and len(self.sandbox.jobs) < wanted:
            await asyncio.sleep(0.002)
        running = process.poll() is None
        process.kill()
        await asyncio.to_thread(process.communicate)
        return running

    async def finish(self) -> dict[str, int]:
        process = self.start()
        out, err = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0, err
        return json.loads(out)  # type: ignore[no-any-return]

    def check(self) -> None:
        """Every row of the source has one line of results and one job, and there is no other job."""
        phones = [line.split(",", 1)[0] for line in self.source.read_text().splitlines()[1:] if line]
        lines = [json.loads(line) for line in self.results.read_text().splitlines()]
        assert Counter(line["row"] for line in lines) == Counter(range(1, self.rows + 1))
        jobs = {job.id: job.phone for job in self.sandbox.jobs}
        assert len(jobs) == self.rows
        for line in lines:
            assert line["status"] == "accepted"
            assert line["phone"] == phones[line["row"] - 1] == jobs.pop(line["job_id"])
        assert not jobs
        assert self.sandbox.key_conflicts == []


def trouble(seed: int) -> Sandbox:
    shares = {FaultKind.RESET_AFTER: 0.1, FaultKind.SERVER_ERROR_AFTER: 0.05, FaultKind.DELAY_AFTER: 0.2}
    return Sandbox(duplicates=DuplicateRule.OFF, faults=Faults(shares=shares, seed=seed, delay_seconds=0.02))


async def series(folder: Path, kills: int, seed: int, rows: int) -> int:
    """How many of the kills met a running upload."""
    async with trouble(seed) as sandbox:
        one = Killed(folder, sandbox, seed, rows)
        done = 0
        for _ in range(kills):
            # Now and then it dies before its first request, or while it reads what has been sent.
            done += await one.kill_after(one.rng.choice([0, 1, 50, 150, 300]))
        summary = await one.finish()
        assert summary["rows"] == summary["accepted"] == rows
        one.check()
        return done


async def test_a_few_kills(tmp_path: Path) -> None:  # C-IDEM-1, C-IDEM-2, C-IDEM-8
    assert await series(tmp_path, 6, seed=1, rows=ROWS) >= 5


@pytest.mark.proof
@pytest.mark.timeout(900)
async def test_fifty_kills(tmp_path: Path) -> None:  # C-IDEM-1, C-IDEM-2, C-IDEM-8
    assert await series(tmp_path, 50, seed=2, rows=MANY_ROWS) == 50


@pytest.mark.parametrize(
    "how",
    [
        [signal.SIGINT],
        pytest.param([signal.SIGTERM], marks=pytest.mark.proof),
        pytest.param([signal.SIGINT, signal.SIGINT], marks=pytest.mark.proof),
    ],
)
async def test_signals_leave_an_upload_that_goes_on(tmp_path: Path, how: list[signal.Signals]) -> None:
    async with trouble(3) as sandbox:
        one = Killed(tmp_path, sandbox, 3)
        process = one.start()
        while len(sandbox.jobs) < 500:
            await asyncio.sleep(0.002)
        for signum in how:
            process.send_signal(signum)
            await asyncio.sleep(0.05)
        out, err = await asyncio.to_thread(process.communicate)
        assert process.returncode == 130, err
        assert b"run the same command again" in err
        assert json.loads(out)["rows"] < ROWS
        await one.finish()
        one.check()


@pytest.mark.proof
async def test_a_hard_stop_of_a_list_that_was_read_whole_is_an_interruption(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_text("phone\n" + "".join(f"{16500000000 + n}\n" for n in range(200)))
    async with Sandbox(faults=Faults(shares={FaultKind.DELAY_AFTER: 1.0}, delay_seconds=3)) as sandbox:
        env = os.environ | {"CALLS_HOST": sandbox.url, "CALLS_TOKEN": sandbox.token}
        command = [sys.executable, "-m", "calls_async", "upload", str(path), "--chunk-rows", "50", "--json"]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while len(sandbox.jobs) < 200:
            await asyncio.sleep(0.01)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.1)
        out, err = await asyncio.to_thread(process.communicate)
        assert process.returncode == 130, err
        assert b"run the same command again" in err
        sandbox.faults.shares = {}
        again = await asyncio.create_subprocess_exec(*command, env=env, stdout=subprocess.PIPE)
        out, _ = await again.communicate()
        assert json.loads(out)["accepted"] == len(sandbox.jobs) == 200


async def test_a_finished_upload_is_not_run_again(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        one = Killed(tmp_path, sandbox, 4)
        await one.finish()
        before = one.results.read_bytes()
        process = one.start()
        _, err = await asyncio.to_thread(process.communicate)
        assert process.returncode == 2
        assert b"--again" in err
        assert one.results.read_bytes() == before
        assert len(sandbox.jobs) == ROWS


@pytest.mark.proof
async def test_a_hard_stop_without_a_journal_names_the_rows_in_doubt(tmp_path: Path) -> None:
    faults = Faults(shares={FaultKind.DELAY_AFTER: 1.0}, delay_seconds=5)
    async with Sandbox(duplicates=DuplicateRule.OFF, faults=faults) as sandbox:
        one = Killed(tmp_path, sandbox, 5)
        process = one.start("--no-journal")
        while len(sandbox.jobs) < 4 * 20:
            await asyncio.sleep(0.01)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.1)
        out, _ = await asyncio.to_thread(process.communicate)
        lines = [json.loads(line) for line in one.results.read_text().splitlines()]
        assert json.loads(out)["unknown"] == len(lines)
        assert {line["status"] for line in lines} == {"unknown"}
        assert {job.phone for job in sandbox.jobs} <= {line["phone"] for line in lines}
