"""Async iterables: what was drawn is sent, whatever ends the drawing; nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from calls_async import Campaign
from calls_async.sandbox.server.server import Sandbox


def contact(number: int) -> dict[str, Any]:
    return {"phone": str(16500000000 + number)}


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("chunk_rows", [10, 100])
async def test_what_was_drawn_before_a_stop_is_sent(
    sandbox: Sandbox, campaign: Campaign, waits: bool, chunk_rows: int
) -> None:
    drawn = 0

    async def endless() -> AsyncIterator[dict[str, Any]]:
        nonlocal drawn
        while True:
            if waits:
                await asyncio.sleep(0)
            drawn += 1
            yield contact(drawn)

    async with campaign.upload(endless(), chunk_rows=chunk_rows, concurrency=2) as upload:
        rows = 0
        async for receipt in upload:
            rows += len(receipt.rows)
            upload.stop()
    assert rows == drawn == len(sandbox.jobs)


async def test_what_is_drawn_before_a_stop_from_an_iterable_is_sent(sandbox: Sandbox, campaign: Campaign) -> None:
    items = iter([contact(number) for number in range(20_000)])
    async with campaign.upload(items, chunk_rows=10, concurrency=2) as upload:
        rows = 0
        async for receipt in upload:
            rows += len(receipt.rows)
            upload.stop()
    assert rows + len(list(items)) == 20_000


async def test_a_generator_that_gives_what_it_holds_when_it_is_cancelled(campaign: Campaign) -> None:
    async def consumer() -> AsyncIterator[dict[str, Any]]:
        try:
            for number in range(10):
                yield contact(number)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            for number in range(10, 15):
                await asyncio.sleep(0)
                yield contact(number)
            raise

    async with asyncio.timeout(5):
        async with campaign.upload(consumer(), chunk_rows=5) as upload:
            rows = 0
            async for receipt in upload:
                rows += len(receipt.rows)
                upload.stop()
    assert rows == 15
    assert [task for task in asyncio.all_tasks() if "drawing" in task.get_name()] == []


async def test_a_source_that_waits_for_what_became_of_its_rows(campaign: Campaign, tmp_path: Path) -> None:
    async def upload(*, fails: bool) -> int:
        seen, rows = asyncio.Event(), 0

        async def source() -> AsyncIterator[dict[str, Any]]:
            for number in range(10):
                yield contact(number)
            if fails:
                raise ZeroDivisionError
            await seen.wait()
            yield contact(10)

        async with campaign.upload(source(), chunk_rows=5, journal=tmp_path / "journal") as one:
            async for receipt in one:
                rows += len(receipt.rows)
                if rows >= 10:
                    seen.set()
        return rows

    with pytest.raises(ZeroDivisionError):
        await upload(fails=True)
    async with asyncio.timeout(10):
        assert await upload(fails=False) == 11
