"""Uploads that stop in the middle, and what their journals say."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from calls_async import CallsClient, Campaign, Outcome, RetryPolicy
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.journal import overview as inspect
from tests.helpers.contacts import contacts

TWICE = RetryPolicy(max_attempts=2, backoff_seconds=0.001)


async def stopped_after(campaign: Campaign, source: Any, path: Path, chunks: int, **settings: Any) -> None:
    """An upload that dies after some receipts, by an error of its consumer."""
    with pytest.raises(ZeroDivisionError):
        async with campaign.upload(source, journal=path, **settings) as upload:
            async for receipt in upload:
                chunks -= receipt is not None
                if chunks <= 0:
                    raise ZeroDivisionError


def written(path: Path) -> set[str]:
    """The keys of all chunks that a journal holds."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as shell:
        keys = {key for (key,) in shell.execute("SELECT key FROM chunk")}
    shell.close()
    return keys


# --- reconciling ---


async def unknown_upload(sandbox: Sandbox, path: Path, kind: str, rows: int = 10) -> None:
    """An upload whose answers all fail twice, in the given way."""
    sandbox.fail_next(kind, 2 * rows)
    async with CallsClient(sandbox.url, upload_retry=TWICE) as client:
        summary = await client.campaign(sandbox.token).upload(contacts(rows), journal=path, chunk_rows=1).run()
    assert summary.unknown == rows
    sandbox.faults._next.clear()


def outcomes_in(path: Path) -> list[Outcome]:
    store = inspect.open_for_reading(path)
    try:
        return [outcome for receipt in inspect.all_receipts(store) for outcome in receipt.outcomes()]
    finally:
        store.close()
