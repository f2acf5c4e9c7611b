"""A sandbox that is killed while an upload goes through it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calls_async import CallsClient, RetryPolicy

# --- kill -9 ---


async def start(folder: Path, port: int) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "calls_async", "sandbox", "--port", str(port), "--state", str(folder / "state.db"),
        "--ready-file", str(ready), "--speed", "600", "--lines", "7", "--fault", "reset-after=0.05",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not ready.exists():
        assert process.returncode is None
        await asyncio.sleep(0.02)
    return process, json.loads(ready.read_text())


@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=[pytest.mark.proof, pytest.mark.timeout(300)])])
async def test_an_upload_goes_through_a_sandbox_that_is_killed(kills: int, tmp_path: Path) -> None:
    # C-IDEM-1: each contact has one job, and each call is made once, whenever the server dies.
    rng = random.Random(kills)
    process, served = await start(tmp_path, 0)
    port = int(served["url"].rpartition(":")[2])
    wanted = [{"phone": 16500000000 + n, "payload": {"n": n}} for n in range(kills * 2000)]
    retry = RetryPolicy(max_attempts=None, give_up_seconds=math.inf, unreachable_seconds=60, backoff_seconds=0.01)
    try:
        async with CallsClient(served["url"], upload_retry=retry) as client:
            campaign = client.campaign(served["token"])
            upload = asyncio.create_task(campaign.upload(wanted, chunk_rows=20, concurrency=4).run())
            for _ in range(kills):
                await asyncio.sleep(rng.uniform(0.1, 0.6))
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
                process, _ = await start(tmp_path, port)
            summary = await upload
            assert (summary.accepted, summary.rows) == (len(wanted), len(wanted))
            info = await campaign.info()
            assert info.short_report is not None
            assert info.short_report.total_numbers == len(wanted)
    finally:
        process.kill()
        await process.wait()
    with sqlite3.connect(tmp_path / "state.db") as db:
        payloads = [json.loads(row[0])["n"] for row in db.execute("SELECT payload FROM job")]
        assert sorted(payloads) == list(range(len(wanted)))
        assert db.execute("SELECT count(*) FROM key_conflict").fetchone() == (0,)
        spans = [
            (started, ended or math.inf)
            for (text,) in db.execute("SELECT attempts FROM job WHERE attempts IS NOT NULL")
            for started, ended, _, _ in json.loads(text)
        ]
    db.close()
    assert spans
    assert most_at_once(spans) <= 7


def most_at_once(spans: list[tuple[float, float]]) -> int:
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    busy = most = 0
    for _, change in changes:
        busy += change
        most = max(most, busy)
    return most
