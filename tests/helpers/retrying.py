"""A list that a person corrects, and a system that refuses some of its numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import attrs

from calls_async import (
    CallsClient,
    Outcome,
    OutcomeStatus,
)
from calls_async.protocol.endpoints import Request, Response
from calls_async.sandbox import DuplicateRule
from calls_async.testing import InProcessSandbox
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

TOKEN = "8231.7056.sandbox"
ACCEPTED, REJECTED = OutcomeStatus.ACCEPTED, OutcomeStatus.REJECTED


@attrs.define
class Sheet:
    """A list as a person corrects it: what stands in the phone cell of each row."""

    path: Path
    cells: list[str]

    def write(self) -> Path:
        self.path.write_text("phone,n\n" + "".join(f"{cell},{n}\n" for n, cell in enumerate(self.cells, start=1)))
        return self.path


@attrs.define
class System:
    """A sandbox that refuses requests with a number that it does not like, until it likes it."""

    clock: HeldClock = attrs.field(factory=HeldClock)
    sandbox: InProcessSandbox = attrs.field(factory=lambda: InProcessSandbox(duplicates=DuplicateRule.OFF))
    disliked: set[str] = attrs.field(factory=set)

    def client(self) -> CallsClient:
        return CallsClient(
            self.sandbox.url, exchange=self.exchange, clock=self.clock.clock(), upload_retry=QUICK, retry=QUICK
        )

    async def exchange(self, request: Request) -> Response:
        body = (request.body or b"").decode()
        if "addPhones" in request.path and any(f'"{phone}"' in body for phone in self.disliked):
            return Response(status=400, headers={}, body=b'{"error": "no such number"}')
        return await self.sandbox.exchange(request)

    def called(self) -> Counter[str]:
        return Counter(job.phone for job in self.sandbox.jobs)


def number(row: int) -> str:
    return f"1650{row:07}"


async def upload(system: System, sheet: Sheet, journal: Path, **options: Any) -> list[Outcome]:
    async with system.client() as client:
        settings: dict[str, Any] = {"chunk_rows": 3, "concurrency": 2, "durability": "process"} | options
        async with client.campaign(TOKEN).upload(sheet.write(), journal=journal, **settings) as one:
            return [outcome async for receipt in one for outcome in receipt.outcomes()]


def statuses(outcomes: list[Outcome]) -> dict[int, OutcomeStatus]:
    assert len({one.row for one in outcomes}) == len(outcomes)
    return {one.row: one.status for one in outcomes}
