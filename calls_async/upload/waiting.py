"""Waiting: for what must not be left half done, and for whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def see_through(work: asyncio.Future[Any]) -> None:
    """Waits until `work` is done. A cancellation meanwhile is raised after that; what `work` raised is not."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def first_of(*waits: Awaitable[Any]) -> None:
    """Waits until one of them is done, and cancels the others. What they raise is not raised here."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
