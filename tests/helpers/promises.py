"""A batcher whose promises are counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from calls_async import BatcherClosedError, CallsClient, Campaign, Outcome
from calls_async.protocol.endpoints import Request, Response
from calls_async.sandbox.core import SandboxCore
from calls_async.testing import InProcessSandbox
from tests.helpers.servers import QUICK

FIRST = 16500000000
HOUR = 3600.0


def contact(number: int, **payload: Any) -> dict[str, Any]:
    return {"phone": FIRST + number, **({"payload": payload} if payload else {})}


def phones(sandbox: SandboxCore) -> Counter[str]:
    return Counter(job.phone for job in sandbox.jobs)


async def until(true: Callable[[], object]) -> None:
    while not true():
        await asyncio.sleep(0.001)


class Slow:
    """A server that has taken everything, and answers when it may."""

    def __init__(self, sandbox: InProcessSandbox) -> None:
        self.may = asyncio.Event()
        self._sandbox = sandbox

    async def exchange(self, request: Request) -> Response:
        response = await self._sandbox.exchange(request)
        await self.may.wait()
        return response

    def campaign(self) -> Campaign:
        client = CallsClient("https://sandbox.invalid", exchange=self.exchange, upload_retry=QUICK)
        return client.campaign(self._sandbox.token)


async def promises_of(adds: list[asyncio.Task[Outcome]]) -> tuple[list[int], list[int]]:
    """Whose contacts the journal is said to keep, and whose are said not to have been sent."""
    found = await asyncio.gather(*adds, return_exceptions=True)
    kept = [n for n, one in enumerate(found) if isinstance(one, BatcherClosedError) and one.kept]
    gone = [n for n, one in enumerate(found) if isinstance(one, BatcherClosedError) and not one.kept]
    return kept, gone
