"""Contact lists as services and people have them: a file, a list, a generator, rows that come in time."""

from __future__ import annotations

import asyncio
import csv
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from calls_async.upload.sources.source import SourceLike

Row = dict[str, Any]


def make_source(
    kind: str, rows: list[Row], folder: Path, rng: random.Random, *, line_ends: bool = True
) -> SourceLike:
    """Make a source of the rows as they are now; a file is written into `folder`, its last line with or without an
    end."""
    if kind == "csv":
        path = folder / "list.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["phone", "payload"])
            writer.writerows([row["phone"], '{"row": %d}' % row["payload"]["row"]] for row in rows)  # noqa: UP031
        if not line_ends:
            path.write_bytes(path.read_bytes().removesuffix(b"\r\n"))
        return path
    if kind == "list":
        return list(rows)
    return _slowly(list(rows), rng) if kind == "async" else _generate(list(rows))


def _generate(rows: list[Row]) -> Iterator[Row]:
    yield from rows


async def _slowly(rows: list[Row], rng: random.Random) -> AsyncIterator[Row]:
    for row in rows:
        if rng.random() < 0.2:
            await asyncio.sleep(rng.uniform(0, 3))
        yield row
