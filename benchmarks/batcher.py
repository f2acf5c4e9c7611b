"""Single contacts from many tasks: one request each, against the batcher, in the same run.

    python benchmarks/batcher.py [--contacts 50000] [--tasks 1000] [--rounds 3]

The server is a process of its own on 127.0.0.1 that answers after 20 ms; see sink.py. Each task brings one contact
after the other, and waits for its outcome (`add`) or for its place on disk (`put`).
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import attrs

from calls_async import CallsClient, Campaign

ANSWER_SECONDS = 0.02
Bring = Callable[[dict[str, int]], Awaitable[object]]


@attrs.define
class Way:
    """One way to bring contacts, and what it took in each round."""

    name: str
    rates: list[float] = attrs.field(factory=list)
    waits: list[float] = attrs.field(factory=list)


async def bring_all(bring: Bring, way: Way, contacts: int, tasks: int) -> None:
    numbers = iter(range(contacts))

    async def task() -> None:
        for number in numbers:
            began = time.perf_counter()
            await bring({"phone": 16500000000 + number})
            way.waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(task() for _ in range(tasks)))
    way.rates.append(contacts / (time.perf_counter() - began))


async def one_round(campaign: Campaign, ways: list[Way], contacts: int, tasks: int, folder: Path) -> None:
    few = max(1, contacts // 10)
    await bring_all(lambda contact: campaign.add_phones([contact]), ways[0], few, tasks)
    async with campaign.batcher() as batcher:
        await bring_all(batcher.add, ways[1], contacts, tasks)
    for way, durability in zip(ways[2:], ("process", "power"), strict=True):
        journal = folder / f"{durability}.{len(way.rates)}"
        async with campaign.batcher(journal=journal, durability=durability) as batcher:
            await bring_all(batcher.put, way, contacts, tasks)


async def all_rounds(url: str, ways: list[Way], arguments: argparse.Namespace, folder: Path) -> None:
    async with CallsClient(url) as client:
        for _ in range(arguments.rounds):
            await one_round(client.campaign("token"), ways, arguments.contacts, arguments.tasks, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=50_000)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    names = ["one request a contact", "add", "put, durability process", "put, durability power"]
    ways = [Way(name) for name in names]
    sink = Path(__file__).with_name("sink.py")
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, str(sink), str(ANSWER_SECONDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        asyncio.run(all_rounds(url, ways, arguments, Path(folder)))
        server.stdin.close()
    print("| | contacts/s | of one request each | wait p50, ms | p99 |\n|---|---|---|---|---|")
    for way in ways:
        way.waits.sort()
        ratio = median(rate / base for rate, base in zip(way.rates, ways[0].rates, strict=True))
        p50, p99 = (1000 * way.waits[int(len(way.waits) * share)] for share in (0.5, 0.99))
        print(f"| {way.name} | {median(way.rates):,.0f} | {ratio:.1f} | {p50:.0f} | {p99:.0f} |")


if __name__ == "__main__":
    main()
