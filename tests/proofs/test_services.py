"""The README's two services, run whole: one dies under load and loses nothing, one answers while it uploads."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from calls_async.cli.commands.sample import sample_csv
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.guide import readme_files

CUSTOMERS = 40
START_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def running(folder: Path, sandbox: Sandbox, port: int, *command: str) -> AsyncIterator[Any]:
    """A service as a process; ended by its ending, or by `kill -9`."""
    env = os.environ | {"CALLS_HOST": sandbox.url, "CALLS_TOKEN": sandbox.token, "PORT": str(port)}
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=folder, env=env, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_up(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with session.get(f"{url}/progress") as answer:
                    return dict(await answer.json())
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)


async def customer(session: aiohttp.ClientSession, url: str, phones: list[str]) -> None:
    """Brings one contact after the other, and repeats what got no answer until it has one."""
    for phone in phones:
        while True:
            try:
                headers = {"Idempotence-Key": f"customer {phone}"}
                async with session.post(f"{url}/contacts", json={"phone": phone}, headers=headers) as answer:
                    assert answer.status in (202, 503), await answer.text()
                    if answer.status == 202:
                        break
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(0.02)


async def kill_under_load(folder: Path, *, contacts: int, kills: int, seed: int) -> None:
    for name, text in readme_files("contacts_service.py").items():
        (folder / name).write_text(text)
    rng, port = random.Random(seed), free_port()
    command = ["-m", "uvicorn", "contacts_service:app", "--port", str(port), "--log-level", "warning"]
    phones = [str(16500000000 + n) for n in range(contacts)]
    shares = {FaultKind.RESET_AFTER: 0.1, FaultKind.SERVER_ERROR_AFTER: 0.05}
    faults = Faults(shares=shares, seed=seed)
    url = f"http://127.0.0.1:{port}"
    async with Sandbox(duplicates=DuplicateRule.OFF, faults=faults) as sandbox, aiohttp.ClientSession() as session:
        load = [asyncio.create_task(customer(session, url, phones[n::CUSTOMERS])) for n in range(CUSTOMERS)]
        try:
            for number in range(kills):
                async with running(folder, sandbox, port, *command) as service:
                    await until_up(session, url)
                    wanted = contacts * (number + rng.random()) / (kills + 1)
                    while len(sandbox.jobs) < wanted:
                        await asyncio.sleep(0.001)
                    service.send_signal(signal.SIGKILL)
            async with running(folder, sandbox, port, *command) as service:
                await asyncio.gather(*load)  # everybody has had their 202
                service.send_signal(signal.SIGTERM)
                assert await service.wait() in (0, -signal.SIGTERM), (folder / "log").read_text()
        finally:
            for task in load:
                task.cancel()
            await asyncio.gather(*load, return_exceptions=True)
        assert Counter(job.phone for job in sandbox.jobs) == Counter(phones)
        assert sandbox.key_conflicts == []


@pytest.mark.timeout(120)
@pytest.mark.proof
async def test_a_service_dies_under_load(tmp_path: Path) -> None:  # C-IDEM-1, C-IDEM-2, C-IDEM-8
    await kill_under_load(tmp_path, contacts=2000, kills=3, seed=1)


@pytest.mark.proof
@pytest.mark.timeout(900)
async def test_a_service_dies_again_and_again(tmp_path: Path) -> None:  # C-IDEM-1, C-IDEM-2, C-IDEM-8
    await kill_under_load(tmp_path, contacts=20_000, kills=25, seed=2)


@pytest.mark.timeout(120)
@pytest.mark.proof
async def test_a_service_answers_while_it_uploads(tmp_path: Path) -> None:
    for name, text in readme_files("upload_service.py").items():
        (tmp_path / name).write_text(text)
    rows, port = 60_000, free_port()
    (tmp_path / "contacts.csv").write_text("".join(sample_csv(rows, 1)))
    url = f"http://127.0.0.1:{port}"
    async with Sandbox(duplicates=DuplicateRule.OFF) as sandbox, aiohttp.ClientSession() as session:
        async with running(tmp_path, sandbox, port, "upload_service.py") as service:
            seen = [await until_up(session, url)]
            while seen[-1]["state"] == "running" and seen[-1]["rows"] < rows / 3:
                seen.append(await until_up(session, url))
            service.send_signal(signal.SIGTERM)  # a deploy
            await service.wait()
        async with running(tmp_path, sandbox, port, "upload_service.py"):
            while seen[-1]["state"] == "running":
                seen.append(await until_up(session, url))
        assert len({one["rows"] for one in seen}) > 5
        assert seen[-1]["state"] == "finished", seen[-1]
        assert seen[-1]["accepted"] == len(sandbox.jobs) == rows
        async with running(tmp_path, sandbox, port, "upload_service.py"):
            assert (await until_up(session, url))["state"] in ("finished before", "running")
        assert len(sandbox.jobs) == rows
