"""How fast an upload is, against baselines of its own, all measured in turn in one run.

    python benchmarks/upload.py speed     [--rows 1000000] [--rounds 5] [--way WORDS]
    python benchmarks/upload.py latency   [--rows 400000]
    python benchmarks/upload.py memory    [--rows 300000]
    python benchmarks/upload.py lateness  [--rows 1000000]
    python benchmarks/upload.py start
    python benchmarks/upload.py growth    [--rows 10000000]

The server and each way are processes of their own, each on a core of its own where there are two. See README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lists import write_list

HERE = Path(__file__).parent
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""The client runs on the first, the server on the last."""

LATENCY_SECONDS = 0.05

SPEED: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "tight script, CSV": ("tight", "plain.csv", (), ""),
    "careful script, CSV": ("careful", "plain.csv", (), ""),
    "usual script, CSV": ("usual", "plain.csv", (), ""),
    "CSV": ("file", "plain.csv", (), "tight script, CSV"),
    "CSV, no journal": ("file", "plain.csv", ("--durability", "none"), "tight script, CSV"),
    "CSV, without pyarrow": ("file", "plain.csv", ("--without-arrow",), "careful script, CSV"),
    "tight script, unique strings": ("tight", "unique.csv", (), ""),
    "CSV of unique strings": ("file", "unique.csv", (), "tight script, unique strings"),
    "tight script, quotes": ("tight", "quoted.csv", (), ""),
    "CSV, quotes in every fourth row": ("file", "quoted.csv", (), "tight script, quotes"),
    "tight script, 1 % bad rows": ("tight", "bad1.csv", (), ""),
    "CSV, 1 % bad rows": ("file", "bad1.csv", (), "tight script, 1 % bad rows"),
    "tight script, 50 % bad rows": ("tight", "bad50.csv", (), ""),
    "CSV, 50 % bad rows": ("file", "bad50.csv", (), "tight script, 50 % bad rows"),
    "script, Parquet": ("tight_parquet", "plain.parquet", (), ""),
    "Parquet": ("file", "plain.parquet", (), "script, Parquet"),
    "script, JSON Lines": ("tight_lines", "plain.jsonl", (), ""),
    "JSON Lines": ("file", "plain.jsonl", (), "script, JSON Lines"),
    "script, JSON Lines with payload": ("tight_api_lines", "api.jsonl", (), ""),
    "JSON Lines with payload": ("file", "api.jsonl", (), "script, JSON Lines with payload"),
    "careful script, contacts": ("careful_contacts", "plain.csv", (), ""),
    "contacts from an async generator": ("rows", "plain.csv", (), "careful script, contacts"),
}
"""Each way: its name, its list, its options, and the baseline that it is compared with."""


@contextlib.contextmanager
def serving(latency_seconds: float = 0.0) -> Iterator[str]:
    """The URL of a server."""
    command = [sys.executable, str(HERE / "sink.py"), str(latency_seconds), *map(str, CORES[-1:])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sink:
        assert sink.stdout is not None
        yield f"http://127.0.0.1:{int(sink.stdout.readline())}"
        sink.communicate()


def run(url: str, way: str, source: Path, *options: str, cores: Sequence[int] = CORES[:1]) -> dict[str, Any]:
    """Return what one run of a way says (see ways.py), and how many seconds its whole process took, as `wall`; on all
    cores where there are no `cores`."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, str(HERE / "ways.py"), way, str(source), url, name, *options]
        command += [part for core in cores for part in ("--core", str(core))]
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        wall = time.perf_counter() - began
    return {**json.loads(done.stdout), "wall": wall}


def speed(folder: Path, rows: int, rounds: int, wanted: str) -> None:
    ways = {
        label: way
        for label, way in SPEED.items()
        if wanted in label
        or wanted in way[3]
        or any(wanted in other and of[3] == label for other, of in SPEED.items())
    }
    for name in sorted({name for _, name, *_ in ways.values()}):
        write_list(folder / name, name.split(".")[0], rows)
    for cores in (CORES[:1], ()):
        seconds: dict[str, list[float]] = {label: [] for label in ways}
        peaks: dict[str, float] = {}
        with serving() as url:
            for _ in range(rounds):
                for label, (way, name, options, _) in ways.items():
                    said = run(url, way, folder / name, *options, cores=cores)
                    seconds[label].append(said["wall"])
                    peaks[label] = max(peaks.get(label, 0.0), said["peak_mb"])
        print(f"\n{'one core' if cores else 'two cores'}, {rows:,} rows\n")
        print("| way | seconds | of its baseline's speed | lowest, highest | peak MB |\n|---|---|---|---|---|")
        for label, (*_, baseline) in ways.items():
            found = seconds[label]
            ratios = [base / own for own, base in zip(found, seconds[baseline or label], strict=True)]
            print(
                f"| {label} | {statistics.median(found):.2f} | {statistics.median(ratios):.2f} "
                f"| {min(ratios):.2f}, {max(ratios):.2f} | {peaks[label]:.0f} |",
                flush=True,
            )


def latency(folder: Path, rows: int) -> None:
    write_list(folder / "plain.csv", "plain", rows)
    print("| in flight | rows in a chunk | of the bound | the ceiling: of the bound |\n|---|---|---|---|")
    with serving(LATENCY_SECONDS) as url:
        for in_flight, chunk_rows in ((16, 500), (64, 500), (16, 100), (64, 100)):
            options = ("--in-flight", str(in_flight), "--chunk-rows", str(chunk_rows))
            bound = in_flight * chunk_rows / LATENCY_SECONDS
            found = [run(url, way, folder / "plain.csv", *options) for way in ("file", "ceiling")]
            shares = [one["rows"] / one["seconds"] / bound for one in found]
            print(f"| {in_flight} | {chunk_rows} | {shares[0]:.1%} | {shares[1]:.1%} |", flush=True)


def memory(folder: Path, rows: int) -> None:
    print("| rows | peak MB with pyarrow | without |\n|---|---|---|")
    for count in (rows, 10 * rows):
        write_list(folder / "plain.csv", "plain", count)
        with serving() as url:
            peaks = [
                run(url, "file", folder / "plain.csv", *options)["peak_mb"] for options in ((), ("--without-arrow",))
            ]
        print(f"| {count:,} | {peaks[0]:.0f} | {peaks[1]:.0f} |")


def lateness(folder: Path, rows: int) -> None:
    write_list(folder / "plain.csv", "plain", rows)
    print("| | late at p99, ms | at most, ms |\n|---|---|---|")
    with serving() as url:
        for label, options in (("by columns", ()), ("row by row", ("--without-arrow",))):
            said = run(url, "late", folder / "plain.csv", *options)
            print(f"| {label} | {said['p99_ms']:.1f} | {said['max_ms']:.1f} |")


def start(rounds: int = 11) -> None:
    def seconds(*command: str) -> float:
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            found.append(time.perf_counter() - began)
        return statistics.median(found)

    everything = "from calls_async import *"
    print("| | seconds |\n|---|---|")
    for label, command in {
        "python": ("-c", "pass"),
        "calls-async --help": ("-m", "calls_async", "--help"),
        "import aiohttp": ("-c", "import aiohttp"),
        "import calls_async": ("-c", "import calls_async"),
        "import of every name of calls_async": ("-c", everything),
    }.items():
        print(f"| {label} | {seconds(*command):.3f} |")


def growth(folder: Path, rows: int) -> None:
    print("| rows | ns a row |\n|---|---|")
    with serving() as url:
        count = min(10_000, rows)
        while True:
            write_list(folder / "plain.csv", "plain", count)
            said = run(url, "file", folder / "plain.csv")
            print(f"| {count:,} | {1e9 * said['seconds'] / said['rows']:,.0f} |", flush=True)
            if count >= rows:
                break
            count = min(10 * count, rows)
        stop = str(rows - rows // 50)
        said = run(url, "resume", folder / "plain.csv", "--stop-rows", stop)
        print(f"\nresumed after {stop} rows: first new request after {said['first_request_seconds']:.1f} s, ", end="")
        print(f"peak {said['peak_mb']:.0f} MB")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["speed", "latency", "memory", "lateness", "start", "growth"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--way", default="", help="only what has these words in its name, and its baseline")
    arguments = parser.parse_args(argv)
    rows = arguments.rows
    with tempfile.TemporaryDirectory() as name:
        match arguments.what:
            case "speed":
                speed(Path(name), rows or 1_000_000, arguments.rounds, arguments.way)
            case "latency":
                latency(Path(name), rows or 400_000)
            case "memory":
                memory(Path(name), rows or 300_000)
            case "lateness":
                lateness(Path(name), rows or 1_000_000)
            case "growth":
                growth(Path(name), rows or 10_000_000)
            case _:
                start()


if __name__ == "__main__":
    main()
