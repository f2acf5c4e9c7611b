"""How many contacts the sandbox takes, and how much memory a job holds: against an aiohttp server that only reads.

    python benchmarks/sandbox.py [--contacts 300000] [--rounds 3]

Chunks of 500 are posted, 8 at once; the server is a process of its own on one core, the client on another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import aiohttp
import attrs

CHUNK_ROWS = 500
IN_FLIGHT = 8
READER = """
import json, os
from aiohttp import web

async def answer(request):
    return web.json_response([str(n) for n in range(len(json.loads(await request.read())))])

async def main():
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("export CALLS_HOST=http://127.0.0.1:%d" % runner.addresses[0][1], flush=True)
    print(flush=True)
    await asyncio.Event().wait()

import asyncio
asyncio.run(main())
"""


@attrs.define
class Way:
    """One kind of server; `rates` are contacts a second."""

    name: str
    command: list[str]
    rates: list[float] = attrs.field(factory=list)
    bytes_a_job: list[float] = attrs.field(factory=list)


def ways(folder: str) -> list[Way]:
    sandbox = [sys.executable, "-m", "calls_async", "sandbox", "--port", "0", "--token", "t"]
    calls = ["--speed", "60", "--lines", "1000"]
    return [
        Way("reads and parses only", [sys.executable, "-c", READER]),
        Way("nobody is called", [*sandbox, "--no-calls"]),
        Way("a thousand lines, 60 times as fast", [*sandbox, *calls]),
        Way("nobody is called, with a state", [*sandbox, "--no-calls", "--state", f"{folder}/plain.db"]),
        Way("a thousand lines, with a state", [*sandbox, *calls, "--state", f"{folder}/calls.db"]),
    ]


def bodies(contacts: int) -> list[bytes]:
    return [
        json.dumps(
            [{"phone": 16500000000 + first + row, "payload": {"name": f"Alex {row}"}} for row in range(CHUNK_ROWS)]
        ).encode()
        for first in range(0, contacts, CHUNK_ROWS)
    ]


async def post(url: str, chunks: list[bytes]) -> None:
    waiting = iter(enumerate(chunks))

    async def worker(session: aiohttp.ClientSession) -> None:
        for number, body in waiting:
            headers = {"Idempotence-Key": str(number)}
            async with session.post(f"{url}/api/calls/campaign/t/addPhones", data=body, headers=headers) as answer:
                assert len(await answer.json()) == CHUNK_ROWS

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(worker(session) for _ in range(IN_FLIGHT)))


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def measure(way: Way, chunks: list[bytes], core: int) -> None:
    if "--state" in way.command:
        for file in Path(way.command[-1]).parent.iterdir():
            file.unlink()
    pinned = f"import os; os.sched_setaffinity(0, [{core}]); os.execv({way.command[0]!r}, {way.command!r})"
    command = [sys.executable, "-c", pinned]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip().rpartition("=")[2]
        server.stdout.readline()
        before = resident_bytes(server.pid)
        began = time.perf_counter()
        asyncio.run(post(url, chunks))
        way.rates.append(len(chunks) * CHUNK_ROWS / (time.perf_counter() - began))
        way.bytes_a_job.append((resident_bytes(server.pid) - before) / (len(chunks) * CHUNK_ROWS))
        server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    chunks = bodies(arguments.contacts)
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or [first])
    with tempfile.TemporaryDirectory() as folder:
        all_ways = ways(folder)
        for _ in range(arguments.rounds):
            for way in all_ways:
                measure(way, chunks, first)
    print("| | contacts/s | of reading only | bytes a job |\n|---|---|---|---|")
    for way in all_ways:
        ratio = median(rate / base for rate, base in zip(way.rates, all_ways[0].rates, strict=True))
        print(f"| {way.name} | {median(way.rates):,.0f} | {ratio:.2f} | {median(way.bytes_a_job):.0f} |")


if __name__ == "__main__":
    main()
