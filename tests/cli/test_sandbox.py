"""The command `sandbox`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.command import COMMAND, run, run_here


async def test_the_sandbox_command(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sandbox", "--port", "0", "--token", "t", "--ready-file", str(ready), "--speed", "3600",
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(2)]
    env = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
    assert json.loads(ready.read_text()) == {"url": env["CALLS_HOST"], "token": "t", "pid": process.pid}
    assert (await run("status", env=env)).out == "planned\n"
    job_id = (await run("add", "16500009900", env=env)).out.strip()
    while "longCallWithResult" not in (await run("report", "--id", job_id, "--quiet", env=env)).out:
        await asyncio.sleep(0.05)
    attempts = await run("attempts", "--id", job_id, "--quiet", env=env)
    assert json.loads(attempts.out)["jobStatus"] == "longCallWithResult"
    process.terminate()
    assert await process.wait() == 0
    assert not ready.exists()


@pytest.mark.parametrize(
    "wrong", [("--lines", "0"), ("--speed", "-1"), ("--fault", "teapot=1"), ("--port", "99999"), ("--port", "-1")]
)
async def test_a_sandbox_that_cannot_be(wrong: tuple[str, str]) -> None:
    ran = await run_here("sandbox", "--port", "0", *wrong)
    assert (ran.code, "Traceback" in ran.err) == (2, False)


async def test_a_ready_file_of_another_is_not_left_behind(tmp_path: Path) -> None:
    ran = await run("sandbox", "--port", "0", "--ready-file", tmp_path / "none" / "ready.json")
    assert (ran.code, "cannot be written" in ran.err) == (2, True)
    ready = tmp_path / "ready.json"
    for text, stays in [
        ("of another", False),
        ('{"pid": 2147483646}', False),
        (json.dumps({"pid": os.getpid()}), True),
    ]:
        ready.write_text(text)
        ran = await run("sandbox", "--bind", "no-such-host.invalid", "--ready-file", ready)
        assert (ran.code, "Traceback" in ran.err, ready.exists()) == (1, False, stays)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_sandbox_whose_output_fails_blames_no_port(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [*COMMAND, "sandbox", "--port", "0", "--ready-file", str(ready)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "cannot listen" in done.stderr, ready.exists()) == (1, False, False)
