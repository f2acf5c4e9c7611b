"""One way to upload one list, as a process of its own: prints seconds, rows and its peak of memory as JSON.

    python benchmarks/ways.py WAY FILE URL FOLDER

`ceiling`, `careful` and `usual` are the baselines; the others are ours, with validation, journal, retries and a
results file.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from calls_async import CallsClient, ChunkSent, Contact, Event
from calls_async.upload.outcomes.results_file import ResultsFile

CHUNK_ROWS = 500
IN_FLIGHT = 16
DURABILITY = "power"
STOP_ROWS = 0
SAYS: dict[str, float] = {}
"""What a way has found besides."""
PATH = "/api/calls/campaign/t/addPhones"
PHONE = re.compile(r"[1-9][0-9]{6,14}")

Way = Callable[[Path, str, Path], Awaitable[tuple[float, int]]]
"""From the list, the server's URL and a folder for what is written, to seconds and rows."""


# --- the baselines ---


async def ceiling(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """aiohttp posting bytes that were made beforehand, of at most 300,000 rows; the answers are not looked at."""
    bodies = []
    for chunk in chunked(contacts_of_csv(source)):
        bodies.append(orjson.dumps(chunk))
        if len(bodies) * CHUNK_ROWS >= 300_000:
            break
    rows = len(bodies) * CHUNK_ROWS
    started = time.perf_counter()
    async with aiohttp.ClientSession() as session:

        async def work() -> None:
            while bodies:
                async with session.post(url + PATH, data=bodies.pop()) as response:
                    await response.read()

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return time.perf_counter() - started, rows


async def careful(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """What a good programmer writes in an afternoon: csv.reader, a bounded queue, workers, IDs written down."""

    async def fill(put: Put) -> None:
        for chunk in chunked(contacts_of_csv(source)):
            await put(chunk)

    return await _careful(fill, url, folder)


async def careful_lines(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """The same for JSON Lines."""

    def fields() -> Iterator[dict[str, Any]]:
        with source.open("rb") as file:
            for row in map(orjson.loads, file):
                if PHONE.fullmatch(row["phone"]):
                    yield {
                        "phone": row["phone"],
                        "payload": {"name": row["name"], "age": row["age"], "promo": row["promo"]},
                        "gmtZone": row["gmtZone"],
                        "dialerPriority": int(row["dialerPriority"]),
                    }

    async def fill(put: Put) -> None:
        for chunk in chunked(fields()):
            await put(chunk)

    return await _careful(fill, url, folder)


async def careful_contacts(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """The same, fed by an async generator of `Contact`."""

    def fields(contact: Contact) -> dict[str, Any] | None:
        if not PHONE.fullmatch(contact.phone):
            return None
        row: dict[str, Any] = {"phone": contact.phone}
        if contact.payload is not None:
            row["payload"] = contact.payload
        if contact.gmt_zone is not None:
            row["gmtZone"] = contact.gmt_zone
        if contact.dialer_priority is not None:
            row["dialerPriority"] = contact.dialer_priority
        return row

    async def fill(put: Put) -> None:
        chunk: list[dict[str, Any]] = []
        async for contact in contacts(source):
            if (row := fields(contact)) is not None:
                chunk.append(row)
                if len(chunk) == CHUNK_ROWS:
                    await put(chunk)
                    chunk = []
        if chunk:
            await put(chunk)

    return await _careful(fill, url, folder)


Put = Callable[[list[dict[str, Any]]], Awaitable[None]]


async def _careful(fill: Callable[[Put], Awaitable[None]], url: str, folder: Path) -> tuple[float, int]:
    queue: asyncio.Queue[list[dict[str, Any]] | None] = asyncio.Queue(IN_FLIGHT)
    sent, started = 0, time.perf_counter()
    with (folder / "ids.csv").open("w") as out:
        async with aiohttp.ClientSession() as session:

            async def work() -> None:
                nonlocal sent
                while (chunk := await queue.get()) is not None:
                    async with session.post(url + PATH, data=orjson.dumps(chunk)) as response:
                        response.raise_for_status()
                        ids = orjson.loads(await response.read())
                    out.writelines([f"{row['phone']},{one}\n" for row, one in zip(chunk, ids, strict=True)])
                    sent += len(ids)

            workers = [asyncio.create_task(work()) for _ in range(IN_FLIGHT)]
            await fill(queue.put)
            for _ in workers:
                await queue.put(None)
            await asyncio.gather(*workers)
    return time.perf_counter() - started, sent


async def usual(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """What is found in most repositories: DictReader, all chunks in a gather, a Semaphore."""
    started = time.perf_counter()
    with source.open(encoding="utf-8", newline="") as file:
        rows = []
        for row in csv.DictReader(file):
            payload = {"name": row["name"], "age": row["age"], "promo": row["promo"]}
            priority = int(row["dialerPriority"])
            rows.append(
                {"phone": row["phone"], "payload": payload, "gmtZone": row["gmtZone"], "dialerPriority": priority}
            )
    semaphore = asyncio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession() as session:

        async def post(chunk: list[dict[str, Any]]) -> list[str]:
            async with semaphore, session.post(url + PATH, json=chunk) as response:
                ids: list[str] = await response.json()
                return ids

        parts = [rows[n : n + CHUNK_ROWS] for n in range(0, len(rows), CHUNK_ROWS)]
        answers = await asyncio.gather(*(post(part) for part in parts))
    with (folder / "ids.csv").open("w") as out:
        for part, ids in zip(parts, answers, strict=True):
            for contact, one in zip(part, ids, strict=True):
                out.write(f"{contact['phone']},{one}\n")
    return time.perf_counter() - started, len(rows)


def contacts_of_csv(source: Path) -> Iterator[dict[str, Any]]:
    with source.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        for phone, name, age, promo, zone, priority in reader:
            if PHONE.fullmatch(phone):
                yield {
                    "phone": phone,
                    "payload": {"name": name, "age": age, "promo": promo},
                    "gmtZone": zone,
                    "dialerPriority": int(priority),
                }


def chunked(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


# --- ours ---


async def contacts(source: Path) -> AsyncIterator[Contact]:
    """What a service might do: its own objects become contacts, one at a time."""
    with source.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        for phone, name, age, promo, zone, priority in reader:
            yield Contact(
                phone=phone,
                payload={"name": name, "age": age, "promo": promo},
                gmt_zone=zone,
                dialer_priority=int(priority),
            )


async def file(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """A file, by columns where pyarrow is installed."""
    return await _upload(source, url, folder)


async def rows(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """An async generator of contacts."""
    return await _upload(contacts(source), url, folder)


async def late(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """A file, while a task of the same loop wakes every 5 ms and notes how late it is."""
    lateness = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            lateness.append(time.perf_counter() - due)

    ticking = asyncio.create_task(tick())
    found = await _upload(source, url, folder)
    ticking.cancel()
    lateness.sort()
    SAYS["p99_ms"] = 1000 * lateness[len(lateness) * 99 // 100]
    SAYS["max_ms"] = 1000 * lateness[-1]
    return found


async def stop_and_resume(source: Path, url: str, folder: Path) -> tuple[float, int]:
    """All but the last chunks are uploaded, then the upload is begun again: seconds until its first new request."""
    begun = time.perf_counter()

    def hear(event: Event) -> None:
        if isinstance(event, ChunkSent) and "first_request_seconds" not in SAYS:
            SAYS["first_request_seconds"] = time.perf_counter() - begun

    async with CallsClient(url) as client:
        campaign = client.campaign("t")
        if not (folder / "list.journal").exists():
            async with campaign.upload(source, journal=folder / "list.journal", chunk_rows=CHUNK_ROWS) as upload:
                async for receipt in upload:
                    if receipt.last_row >= STOP_ROWS:
                        break
            os.sync()
            begun = time.perf_counter()
        upload = campaign.upload(source, journal=folder / "list.journal", chunk_rows=CHUNK_ROWS, on_event=hear)
        async with upload:
            async for _ in upload:
                pass
    return time.perf_counter() - begun, upload.summary.accepted


async def _upload(source: Any, url: str, folder: Path) -> tuple[float, int]:
    results = ResultsFile(str(folder / "results.jsonl"))
    journal = folder / "list.journal" if DURABILITY != "none" else None
    started = time.perf_counter()
    async with CallsClient(url) as client:
        upload = client.campaign("t").upload(
            source,
            journal=journal,
            durability="process" if DURABILITY == "process" else "power",
            chunk_rows=CHUNK_ROWS,
            concurrency=IN_FLIGHT,
        )
        async with upload:
            async for receipts in upload.batches():
                await results.add(receipts)
        await results.finish()
    return time.perf_counter() - started, upload.summary.rows


WAYS: dict[str, Way] = {
    "ceiling": ceiling,
    "careful": careful,
    "careful_contacts": careful_contacts,
    "careful_lines": careful_lines,
    "usual": usual,
    "file": file,
    "rows": rows,
    "late": late,
    "resume": stop_and_resume,
}


def main() -> None:
    global CHUNK_ROWS, IN_FLIGHT, DURABILITY, STOP_ROWS  # noqa: PLW0603  # of this process alone
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("file", type=Path)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without-arrow", action="store_true")
    parser.add_argument("--core", type=int)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    parser.add_argument("--chunk-rows", type=int, default=CHUNK_ROWS)
    parser.add_argument("--durability", choices=["power", "process", "none"], default=DURABILITY)
    parser.add_argument("--stop-rows", type=int, default=STOP_ROWS)
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, [arguments.core])
    CHUNK_ROWS = arguments.chunk_rows
    IN_FLIGHT, DURABILITY, STOP_ROWS = arguments.in_flight, arguments.durability, arguments.stop_rows
    if arguments.without_arrow:
        sys.modules["pyarrow"] = None  # type: ignore[assignment]
    seconds, rows = asyncio.run(WAYS[arguments.way](arguments.file, arguments.url, arguments.folder))
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_mb": _peak_mb(), **SAYS}))


def _peak_mb() -> float:
    """The most memory that this process has had resident; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
