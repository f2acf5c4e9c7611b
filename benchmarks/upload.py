"""What an upload costs, as ratios to aiohttp posting prebuilt bytes, all measured in turn in one run.

    python benchmarks/upload.py [--rows 200000] [--rounds 3]

The server is a process of its own on 127.0.0.1; see sink.py.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from calls_async import CallsClient
from calls_async.cli.sample import sample_csv, sample_jsonl

CHUNK_ROWS = 500
IN_FLIGHT = 16
Way = Callable[[str, Path], Awaitable[None]]


async def prebuilt(url: str, folder: Path) -> None:
    """The ceiling: the same bytes, made beforehand."""
    lines = (folder / "list.jsonl").read_bytes().splitlines()
    bodies = [b"[" + b",".join(lines[n : n + CHUNK_ROWS]) + b"]" for n in range(0, len(lines), CHUNK_ROWS)]
    started = time.perf_counter()
    async with aiohttp.ClientSession() as session:

        async def work() -> None:
            while bodies:
                async with session.post(f"{url}/api/calls/campaign/t/addPhones", data=bodies.pop()) as response:
                    await response.json()

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    prebuilt.seconds = time.perf_counter() - started  # type: ignore[attr-defined]


def uploading(name: str, durability: str | None) -> Way:
    async def way(url: str, folder: Path) -> None:
        journal = None if durability is None else folder / "list.journal"
        async with CallsClient(url) as client:
            upload = client.campaign("t").upload(folder / name, journal=journal, durability=durability or "power")
            async with upload:
                async for receipt in upload:
                    sum(1 for _ in receipt.outcomes())
            assert upload.summary.accepted == upload.summary.rows > 0
        if journal is not None:
            journal.unlink()

    return way


WAYS: dict[str, Way] = {
    "aiohttp posting prebuilt bytes": prebuilt,
    "CSV, no journal": uploading("list.csv", None),
    "CSV, journal (process)": uploading("list.csv", "process"),
    "CSV, journal (power)": uploading("list.csv", "power"),
    "JSON Lines, journal (power)": uploading("list.jsonl", "power"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    command = [sys.executable, str(Path(__file__).with_name("sink.py"))]
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sink,
    ):
        assert sink.stdout is not None
        url = f"http://127.0.0.1:{int(sink.stdout.readline())}"
        folder = Path(name)
        (folder / "list.csv").write_text("".join(sample_csv(arguments.rows, 0)), encoding="utf-8")
        (folder / "list.jsonl").write_text("".join(sample_jsonl(arguments.rows, 0)), encoding="utf-8")
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way, run in WAYS.items():
                started = time.perf_counter()
                asyncio.run(run(url, folder))
                seconds = time.perf_counter() - started
                if run is prebuilt:
                    seconds = prebuilt.seconds  # type: ignore[attr-defined]
                rates[way].append(arguments.rows / seconds)
        sink.communicate()
    base = statistics.median(rates["aiohttp posting prebuilt bytes"])
    print("| way | rows/s | of the ceiling | spread |\n|---|---|---|---|")
    for way, found in rates.items():
        middle = statistics.median(found)
        spread = (max(found) - min(found)) / middle
        print(f"| {way} | {middle:,.0f} | {middle / base:.2f} | {spread:.0%} |")


if __name__ == "__main__":
    main()
