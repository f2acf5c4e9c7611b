"""What we are measured against: scripts without validation, journal or retries, as their best authors write them.

The tight ones know everything that makes a script fast, the careful one is what a good programmer writes in an
afternoon, `usual` what is found in most repositories; the `ceiling` sends bytes that were made beforehand, and looks
at no answer. Nothing of calls_async is imported here, for starts are measured, too.
"""

from __future__ import annotations

import asyncio
import csv
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import orjson

CHUNK_ROWS = 500
IN_FLIGHT = 16
PATH = "/api/calls/campaign/t/addPhones"
PHONE = re.compile(r"[1-9][0-9]{6,14}")

Fields = dict[str, Any]
Chunks = Iterable[list[Fields]]


async def ceiling(source: Path, url: str, in_flight: int, chunk_rows: int) -> tuple[float, int]:
    """Post bytes that were made beforehand, of at most 300,000 rows; return the seconds of that, and the rows."""
    bodies = []
    for chunk in chunked(contacts_of_csv(source), chunk_rows):
        bodies.append(orjson.dumps(chunk))
        if len(bodies) * chunk_rows >= 300_000:
            break
    rows = len(bodies) * chunk_rows
    started = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            while bodies:
                async with session.post(url + PATH, data=bodies.pop()) as response:
                    await response.read()

        await asyncio.gather(*(work() for _ in range(in_flight)))
    return time.perf_counter() - started, rows


async def usual(source: Path, url: str, folder: Path) -> int:
    """Read all with DictReader, and send all chunks at once behind a semaphore; return the rows."""
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

        async def post(chunk: list[Fields]) -> list[str]:
            async with semaphore, session.post(url + PATH, json=chunk) as response:
                ids: list[str] = await response.json()
                return ids

        parts = [rows[n : n + CHUNK_ROWS] for n in range(0, len(rows), CHUNK_ROWS)]
        answers = await asyncio.gather(*(post(part) for part in parts))
    with (folder / "ids.csv").open("w") as out:
        for part, ids in zip(parts, answers, strict=True):
            for contact, one in zip(part, ids, strict=True):
                out.write(f"{contact['phone']},{one}\n")
    return len(rows)


# --- what they send, a chunk at a time ---


def tight_csv(source: Path) -> Chunks:
    """Read a chunk's rows at once, and make all its contacts in one comprehension."""
    match = PHONE.fullmatch
    with source.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        while rows := list(islice(reader, CHUNK_ROWS)):
            yield [
                {
                    "phone": phone,
                    "payload": {"name": name, "age": age, "promo": promo},
                    "gmtZone": zone,
                    "dialerPriority": int(priority),
                }
                for phone, name, age, promo, zone, priority in rows
                if match(phone)
            ]


def tight_lines(source: Path) -> Chunks:
    """The same of JSON Lines whose lines are flat."""
    match = PHONE.fullmatch
    with source.open("rb") as file:
        while rows := list(map(orjson.loads, islice(file, CHUNK_ROWS))):
            yield [
                {
                    "phone": row["phone"],
                    "payload": {"name": row["name"], "age": row["age"], "promo": row["promo"]},
                    "gmtZone": row["gmtZone"],
                    "dialerPriority": int(row["dialerPriority"]),
                }
                for row in rows
                if match(row["phone"])
            ]


def tight_api_lines(source: Path) -> Chunks:
    """The same of JSON Lines that are contacts already."""
    match = PHONE.fullmatch
    with source.open("rb") as file:
        while rows := list(map(orjson.loads, islice(file, CHUNK_ROWS))):
            yield [row for row in rows if match(row["phone"])]


def tight_parquet(source: Path) -> Chunks:
    """The same of Parquet, whose columns become lists at once."""
    import pyarrow.parquet as pq

    match = PHONE.fullmatch
    for batch in pq.ParquetFile(source).iter_batches(CHUNK_ROWS):
        yield [
            {
                "phone": phone,
                "payload": {"name": name, "age": age, "promo": promo},
                "gmtZone": zone,
                "dialerPriority": int(priority),
            }
            for phone, name, age, promo, zone, priority in zip(*(column.to_pylist() for column in batch), strict=True)
            if match(phone)
        ]


def careful_csv(source: Path) -> Chunks:
    """Read row by row, and gather chunks."""
    return chunked(contacts_of_csv(source), CHUNK_ROWS)


def contacts_of_csv(source: Path) -> Iterator[Fields]:
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


def chunked(rows: Iterator[Fields], size: int) -> Iterator[list[Fields]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


# --- how they send it ---


Script = Callable[[Path, str, Path], Awaitable[int]]
"""From the list, the server's URL and a folder for what is written, to the number of rows."""


def sending(chunks: Callable[[Path], Chunks | AsyncIterator[list[Fields]]]) -> Script:
    """Return a script of a bounded queue and 16 workers, that writes the IDs down as they come."""

    async def send(source: Path, url: str, folder: Path) -> int:
        queue: asyncio.Queue[list[Fields] | None] = asyncio.Queue(IN_FLIGHT)
        sent = 0
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
                found = chunks(source)
                if isinstance(found, AsyncIterator):
                    async for chunk in found:
                        await queue.put(chunk)
                else:
                    for chunk in found:
                        await queue.put(chunk)
                for _ in workers:
                    await queue.put(None)
                await asyncio.gather(*workers)
        return sent

    return send


BASELINES: dict[str, Script] = {
    "usual": usual,
    "careful": sending(careful_csv),
    "tight": sending(tight_csv),
    "tight_lines": sending(tight_lines),
    "tight_api_lines": sending(tight_api_lines),
    "tight_parquet": sending(tight_parquet),
}
