"""Waiting that a cancellation does not cut short: for what must not be left half done."""

from __future__ import annotations

import asyncio
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
