"""One way to upload one list, as a process of its own: prints rows, seconds and its peak of memory as JSON.

    python benchmarks/ways.py WAY FILE URL FOLDER

The ways are those of baselines.py and ours.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path

import baselines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way")
    parser.add_argument("file", type=Path)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-arrow", action="store_true")
    parser.add_argument("--core", type=int)
    parser.add_argument("--in-flight", type=int, default=baselines.IN_FLIGHT)
    parser.add_argument("--chunk-rows", type=int, default=baselines.CHUNK_ROWS)
    parser.add_argument("--durability", choices=["power", "process", "none"], default="power")
    parser.add_argument("--stop-rows", type=int, default=0)
    given = parser.parse_args()
    if given.core is not None:
        os.sched_setaffinity(0, [given.core])
    if given.without_arrow:
        sys.modules["pyarrow"] = None  # type: ignore[assignment]
    says: dict[str, float] = {}
    started = time.perf_counter()
    if given.way == "ceiling":
        seconds, rows = asyncio.run(baselines.ceiling(given.file, given.url, given.in_flight, given.chunk_rows))
    elif given.way in baselines.BASELINES:
        rows = asyncio.run(baselines.BASELINES[given.way](given.file, given.url, given.folder))
        seconds = time.perf_counter() - started
    else:
        import ours  # only now: a baseline does not pay for it

        options = ours.Options(given.in_flight, given.chunk_rows, given.durability, given.stop_rows, says)
        rows = asyncio.run(ours.WAYS[given.way](given.file, given.url, given.folder, options))
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mb": _peak_mb(), **says}))


def _peak_mb() -> float:
    """Return the most memory that this process has had resident; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
