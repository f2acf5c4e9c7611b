"""The adaptive window against fixed numbers of requests at once, on a server of limited capacity.

    python benchmarks/pace.py [--seconds 6] [--plot pace.png]

First, every fixed number is tried, then the adaptive window from several starting points; last, the capacity changes
while it runs. The server is a process of its own on 127.0.0.1; see limited.py. `--plot` needs matplotlib.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from calls_async import CallsClient, ChunkDone, ChunkRetried, Contact, Event, RetryPolicy
from calls_async.transport.clock import Clock
from calls_async.transport.pacing.gate import Pace
from calls_async.transport.pacing.window import Window

MOST = 64
CHUNK_ROWS = 5
QUEUE = 16
SERVICE_SECONDS = 0.05
PLACES = 8
FIXED = [1, 2, 4, 6, 8, 10, 12, 16, 24, 32, 48, 64]
STARTS = [1, 4, 16, 64]
CHANGES = [8, 32, 4, 16]
SETTLING_SECONDS = 5.0


class FixedWindow(Window):
    """Always the same."""

    def __init__(self, size: int) -> None:
        self._fixed = size
        super().__init__(MOST, size)

    @property
    def limit(self) -> int:
        return self._fixed


@attrs.define
class Run:
    """What happened, at which second of the run."""

    accepted: list[float] = attrs.field(factory=list)
    refused: list[float] = attrs.field(factory=list)
    windows: list[tuple[float, int]] = attrs.field(factory=list)

    def rate(self, start: float, end: float) -> float:
        """Requests answered a second."""
        return sum(start <= at < end for at in self.accepted) / (end - start)

    def refusals(self, start: float, end: float) -> int:
        return sum(start <= at < end for at in self.refused)


@contextmanager
def server(places: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(Path(__file__).with_name("limited.py"))]
    arguments = [str(places), str(QUEUE), str(SERVICE_SECONDS)]
    with subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.communicate()


async def upload(window: Window, seconds: float, places: list[int]) -> Run:
    """An upload of so many seconds for each number of places."""
    run = Run()
    with server(places[0]) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        began = time.time()

        def hear(event: Event) -> None:
            if isinstance(event, ChunkDone):
                run.accepted.append(event.at - began)
            elif isinstance(event, ChunkRetried):
                run.refused.append(event.at - began)

        async with CallsClient(url) as client:
            policy = RetryPolicy.for_uploads()
            pace = Pace(policy=policy, clock=Clock(), rng=random.Random(1), window=window)
            client._connection = attrs.evolve(client._connection, pace=pace)
            contacts = (Contact(phone=str(16500000000 + n)) for n in range(10**9))
            one = client.campaign("t").upload(contacts, chunk_rows=CHUNK_ROWS, concurrency=MOST, on_event=hear)

            async def watch() -> None:
                for number, capacity in enumerate(places):
                    process.stdin.write(b"%d\n" % capacity)
                    process.stdin.flush()
                    while time.time() - began < (number + 1) * seconds:
                        run.windows.append((time.time() - began, one.pace.window))
                        await asyncio.sleep(0.05)
                one.stop(try_again=False)

            watching = asyncio.create_task(watch())
            async with one:
                async for _ in one:
                    pass
            await watching
    return run


def scan(seconds: float, places: int, numbers: list[int]) -> dict[int, tuple[float, int]]:
    """Requests answered a second, and 503s, with each number of requests at once; the first second is left out."""
    found = {}
    for number in numbers:
        run = asyncio.run(upload(FixedWindow(number), seconds + 1, [places]))
        found[number] = run.rate(1, seconds + 1), run.refusals(1, seconds + 1)
    return found


def best_of(found: dict[int, tuple[float, int]]) -> int:
    return max(found, key=lambda number: found[number][0])


def compare(seconds: float) -> None:
    found = scan(seconds, PLACES, FIXED)
    best = best_of(found)
    print(f"{PLACES} places, a queue of {QUEUE}, {SERVICE_SECONDS * 1000:.0f} ms ± 30 %, {seconds:.0f} s each\n")
    print("| at once | requests/s | of the best | 503s |\n|---|---|---|---|")
    for number, (rate, refused) in found.items():
        name = f"{number} (best)" if number == best else number
        print(f"| {name} | {rate:.1f} | {rate / found[best][0]:.2f} | {refused} |")
    for start in STARTS:
        run = asyncio.run(upload(Window(MOST, start), seconds + 1, [PLACES]))
        rate, refused = run.rate(1, seconds + 1), run.refusals(0, seconds + 1)
        print(f"| adaptive, from {start} | {rate:.1f} | {rate / found[best][0]:.2f} | {refused} |")


def follow(seconds: float) -> Run:
    span = max(2 * SETTLING_SECONDS, seconds)
    run = asyncio.run(upload(Window(MOST, 4), span, CHANGES))
    print(f"\nPlaces change every {span:.0f} s; measured from {SETTLING_SECONDS:.0f} s after the change\n")
    print("| places | best fixed | requests/s | 503s | adaptive: requests/s | of the best | 503s |")
    print("|---|---|---|---|---|---|---|")
    for index, places in enumerate(CHANGES):
        near = sorted({places, places + 2, places + QUEUE // 2, places + QUEUE, min(MOST, 2 * places)})
        found = scan(span - SETTLING_SECONDS, places, near)
        best = best_of(found)
        start, end = index * span + SETTLING_SECONDS, (index + 1) * span
        rate = run.rate(start, end)
        print(
            f"| {places} | {best} | {found[best][0]:.1f} | {found[best][1]} "
            f"| {rate:.1f} | {rate / found[best][0]:.2f} | {run.refusals(start, end)} |"
        )
    return run


def plot(run: Run, path: str, span: float) -> None:
    import matplotlib.pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(10, 6), constrained_layout=True)
    upper.step(*zip(*run.windows, strict=True), where="post", label="window")
    edges = [index * span for index in range(len(CHANGES) + 1)]
    upper.stairs(CHANGES, edges, color="tab:red", linestyle="--", label="places")
    upper.set_ylabel("requests at once")
    upper.legend()
    step = 0.5
    times = [number * step for number in range(int(edges[-1] / step))]
    lower.step(times, [run.rate(at, at + step) for at in times], where="post", label="answered")
    lower.stairs([n / SERVICE_SECONDS for n in CHANGES], edges, color="tab:red", linestyle="--", label="capacity")
    lower.vlines(run.refused, 0, 40, color="tab:orange", label="503")
    lower.set_ylabel("requests a second")
    lower.set_xlabel("seconds")
    lower.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--plot", metavar="FILE")
    arguments = parser.parse_args()
    compare(arguments.seconds)
    run = follow(arguments.seconds)
    if arguments.plot:
        plot(run, arguments.plot, max(2 * SETTLING_SECONDS, arguments.seconds))


if __name__ == "__main__":
    main()
