"""Receipts on their way to whoever reads them, and the summary that counts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from calls_async.concurrency import Channel, ChannelClosed
from calls_async.upload.outcomes.outcome import Receipt, Summary


class Receipts:
    """Hands receipts out through a channel; `on_answer` hears of each of this process before it has its turn,
    `elapsed` tells how many seconds the upload has been running."""

    def __init__(
        self,
        channel: Channel[Receipt],
        summary: Summary,
        on_answer: Callable[[Receipt], None],
        elapsed: Callable[[], float],
    ) -> None:
        self.summary = summary
        self.in_doubt: list[Receipt] = []
        """Chunks that were in flight when the upload was cancelled, where no journal keeps them."""
        self.undelivered: list[Receipt] = []
        """Those that could not be handed out any more, for the upload was cancelled."""
        self._channel = channel
        self._on_answer = on_answer
        self._elapsed = elapsed

    async def hand_out(self, receipt: Receipt) -> None:
        """Count a receipt and hand it out, when there is room for it."""
        self.summary.add(receipt)
        self.summary.note_time(self._elapsed())
        self._on_answer(receipt)
        await self._put(receipt)

    async def hand_out_again(self, receipt: Receipt) -> None:
        """Hand out a receipt of an earlier process."""
        self.summary.add(receipt)
        await self._put(receipt)

    async def _put(self, receipt: Receipt) -> None:
        try:
            await self._channel.put(receipt)
        except (asyncio.CancelledError, ChannelClosed):
            self.undelivered.append(receipt)
            raise

    def doubt(self, receipt: Receipt) -> None:
        """Keep a receipt that cannot be handed out any more: its rows are unknown."""
        self.in_doubt.append(receipt)
        self.summary.add(receipt)
        self._on_answer(receipt)
