"""Learns what time it is for the server before an earlier process's keys are used again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from calls_async.protocol import endpoints, keys
from calls_async.protocol.token import AnyToken
from calls_async.transport.answers import TryAgain
from calls_async.transport.caller import Caller
from calls_async.transport.pacing.signals import Sign
from calls_async.upload.chunks.chunk import Chunk

MOST_SWALLOWED = 5
"""Of a server that is there: so often may the question be lost, then it goes on without."""


class ServerTime:
    """Asks once, where an earlier process has sent something (`needed`): this one's clock may be wrong, and only the
    server's `Date` tells how old a key is (C-IDEM-7). Any answer will do; a server without a `Date` is asked in vain.
    `note_request` hears of each attempt."""

    def __init__(self, caller: Caller, token: AnyToken, *, needed: bool, note_request: Callable[[int], None]) -> None:
        self._caller = caller
        self._token = token
        self._needed = needed
        self._note_request = note_request
        self._turn = asyncio.Lock()
        self._swallowed = 0

    @property
    def unknown(self) -> bool:
        """Whether it must be learnt."""
        return self._needed and self._caller.server_ahead is None

    async def learn(self, chunk: Chunk) -> None:
        """Return when the server has said something, or has swallowed the question again and again. Raises `TryAgain`
        where nothing has come."""
        if not self.unknown:
            return
        async with self._turn:
            if not self._needed:
                return
            self._note_request(1)
            request = endpoints.job_report(self._token, [], chunk.phones[:1], keys.new_key())
            try:
                await self._caller.hear_from(request)
            except TryAgain as silence:
                self._swallowed += silence.sign is not Sign.ABSENT
                if self._swallowed < MOST_SWALLOWED:
                    raise
            self._needed = False
