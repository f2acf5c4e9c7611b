"""Learns what time it is for the server before an earlier process's keys are used again."""

from __future__ import annotations

import asyncio

from calls_async.errors import NoAnswerError, RequestError
from calls_async.transport.caller import Caller
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.pipeline.report_check import ReportCheck


class ServerTime:
    """Asks once, where an earlier process has sent something (`needed`): this one's clock may be wrong, and only the
    server's `Date` tells how old a key is (C-IDEM-7). A server that says no `Date` is asked in vain."""

    def __init__(self, caller: Caller, reports: ReportCheck, *, needed: bool) -> None:
        self._caller = caller
        self._reports = reports
        self._needed = needed
        self._turn = asyncio.Lock()

    async def learn(self, chunk: Chunk) -> None:
        """Return when the server's time is known, or it does not tell. Raises `NoAnswerError` where it says nothing
        at all."""
        if not self._needed or self._caller.server_ahead is not None:
            return
        async with self._turn:
            if not self._needed:
                return
            try:
                await self._reports.fetch(chunk, [])
            except NoAnswerError as error:
                if error.status is None and self._caller.server_ahead is None:
                    raise
            except RequestError:
                pass  # it has answered
            self._needed = False
