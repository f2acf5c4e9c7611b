"""Ways to upload with calls_async: validation, journal, retries, the adaptive window, and a results file.

`careful_contacts` is the script to compare `contacts` with: both take the same objects from the same generator.
"""

from __future__ import annotations

import asyncio
import csv
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from baselines import CHUNK_ROWS, IN_FLIGHT, PHONE, Fields, sending

from calls_async import CallsClient, ChunkSent, Contact, Event
from calls_async.upload.outcomes.results_file import ResultsFile


@attrs.define
class Options:
    """How a way is gone; and what it has found besides, in `says`."""

    in_flight: int = IN_FLIGHT
    chunk_rows: int = CHUNK_ROWS
    durability: str = "power"
    stop_rows: int = 0
    says: dict[str, float] = attrs.field(factory=dict)


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


async def careful_contacts(source: Path, url: str, folder: Path, options: Options) -> int:
    """Gather the same contacts into chunks by hand, and send them by the other scripts' workers."""

    async def chunks(source: Path) -> AsyncIterator[list[Fields]]:
        match = PHONE.fullmatch
        chunk: list[Fields] = []
        async for contact in contacts(source):
            if not match(contact.phone):
                continue
            row: Fields = {"phone": contact.phone}
            if contact.payload is not None:
                row["payload"] = contact.payload
            if contact.gmt_zone is not None:
                row["gmtZone"] = contact.gmt_zone
            if contact.dialer_priority is not None:
                row["dialerPriority"] = contact.dialer_priority
            chunk.append(row)
            if len(chunk) == CHUNK_ROWS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    return await sending(chunks)(source, url, folder)


async def file(source: Path, url: str, folder: Path, options: Options) -> int:
    """A file, by columns where pyarrow is installed."""
    return await _upload(source, url, folder, options)


async def rows(source: Path, url: str, folder: Path, options: Options) -> int:
    """An async generator of contacts."""
    return await _upload(contacts(source), url, folder, options)


async def late(source: Path, url: str, folder: Path, options: Options) -> int:
    """A file, while a task of the same loop wakes every 5 ms and notes how late it is."""
    lateness = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            lateness.append(time.perf_counter() - due)

    ticking = asyncio.create_task(tick())
    found = await _upload(source, url, folder, options)
    ticking.cancel()
    lateness.sort()
    options.says["p99_ms"] = 1000 * lateness[len(lateness) * 99 // 100]
    options.says["max_ms"] = 1000 * lateness[-1]
    return found


async def stop_and_resume(source: Path, url: str, folder: Path, options: Options) -> int:
    """All but the last chunks are uploaded, then the upload is begun again: seconds until its first new request."""
    begun = time.perf_counter()

    def hear(event: Event) -> None:
        if isinstance(event, ChunkSent) and "first_request_seconds" not in options.says:
            options.says["first_request_seconds"] = time.perf_counter() - begun

    async with CallsClient(url) as client:
        campaign = client.campaign("t")
        if not (folder / "list.journal").exists():
            async with campaign.upload(
                source, journal=folder / "list.journal", chunk_rows=options.chunk_rows
            ) as upload:
                async for receipt in upload:
                    if receipt.last_row >= options.stop_rows:
                        break
            os.sync()
            begun = time.perf_counter()
        upload = campaign.upload(
            source, journal=folder / "list.journal", chunk_rows=options.chunk_rows, on_event=hear
        )
        async with upload:
            async for _ in upload:
                pass
    return upload.summary.accepted


async def _upload(source: Any, url: str, folder: Path, options: Options) -> int:
    results = ResultsFile(str(folder / "results.jsonl"))
    journal = folder / "list.journal" if options.durability != "none" else None
    async with CallsClient(url) as client:
        upload = client.campaign("t").upload(
            source,
            journal=journal,
            durability="process" if options.durability == "process" else "power",
            chunk_rows=options.chunk_rows,
            concurrency=options.in_flight,
        )
        async with upload:
            async for receipts in upload.batches():
                await results.add(receipts)
        await results.finish()
    return upload.summary.rows


WAYS: dict[str, Callable[[Path, str, Path, Options], Awaitable[int]]] = {
    "careful_contacts": careful_contacts,
    "file": file,
    "rows": rows,
    "late": late,
    "resume": stop_and_resume,
}
