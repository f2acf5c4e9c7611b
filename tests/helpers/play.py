"""Uploads in virtual time against a scripted server."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import attrs

from calls_async import Event, Outcome, RetryPolicy
from calls_async.events import EventDispatcher
from calls_async.protocol.endpoints import Request, Response
from calls_async.transport.attempts import Runtime
from calls_async.transport.clock import Clock
from calls_async.transport.connection import Connection
from calls_async.transport.exchange import ExchangeFailed
from calls_async.upload.assembly import UploadRequest
from calls_async.upload.journal.settings import JournalOwner, JournalSettings
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from calls_async.upload.upload import Upload
from tests.proofs.simulation.loop import SimulatedLoop

FIRST = 16500000000
GONE = ExchangeFailed("no connection", reached=False)
LOST = ExchangeFailed("the connection broke", reached=True)
Says = Callable[["Server", list[str], int], Response | Exception | None]


@attrs.define
class Server:
    """Creates a job for each contact, but where `says` answers in its place: it is given the contacts of the request,
    and how often that came before."""

    says: Says
    report: Callable[[Server], Response | Exception] | None = None
    jobs: list[str] = attrs.field(factory=list)
    came: Counter[str] = attrs.field(factory=Counter)
    requests: int = 0
    key: str = ""
    """Of the request that is being answered."""
    tells_time: Callable[[], float] | None = None
    """What time it is for it, where its answers have a `Date`."""
    created_at: Callable[[], float] | None = None
    """What time it is for its jobs, where its report says so."""
    times: list[float] = attrs.field(factory=list)
    known_as: str | None = None
    """One key in place of all, where a test creates by itself."""
    _known: dict[str, list[str]] = attrs.field(factory=dict)

    async def exchange(self, request: Request) -> Response:
        await asyncio.sleep(0.1)
        self.requests += 1
        response = self._answer(request)
        if self.tells_time is None:
            return response
        return attrs.evolve(
            response, headers={**response.headers, "date": formatdate(self.tells_time(), usegmt=True)}
        )

    def _answer(self, request: Request) -> Response:
        if request.path.endswith("getReport"):
            return self._report(json.loads(request.body or b"{}")["phones"])
        phones = [contact["phone"] for contact in json.loads(request.body or b"[]")]
        key = self.key = str(request.idempotence_key)
        self.came[key] += 1
        said = self.says(self, phones, self.came[key] - 1)
        if isinstance(said, Exception):
            raise said
        return said or self.create(self.known_as or key, phones)

    def forget_keys(self) -> None:
        """A day has passed (C-IDEM-7)."""
        self._known.clear()

    def act_later(self, phones: list[str], seconds: float) -> None:
        """Create jobs for these contacts after a while, and answer nobody."""
        asyncio.get_running_loop().call_later(seconds, self.jobs.extend, phones)

    def create(self, key: str, phones: list[str]) -> Response:
        if key not in self._known:
            self._known[key] = [str(len(self.jobs) + n) for n in range(len(phones))]
            self.jobs += phones
            self.times += [self.created_at() if self.created_at else 0.0] * len(phones)
        return Response(status=200, body=json.dumps(self._known[key]).encode())

    def _report(self, asked: list[str]) -> Response:
        if self.report is not None:
            said = self.report(self)
            if isinstance(said, Exception):
                raise said
            return said
        reports = [
            {"callJobId": str(n), "phone": phone}
            | ({"createdAt": int(self.times[n] * 1000)} if self.created_at else {})
            for n, phone in enumerate(self.jobs)
            if phone in asked
        ]
        return Response(status=200, body=json.dumps(reports).encode())


@attrs.frozen
class Twice:
    """A server that answers a chunk's first request with `first`, acts upon it later, and then says `then`, but to
    whoever asks again when the jobs are there."""

    first: Response
    then: Response
    acts_after_seconds: float

    def server(self) -> Server:
        def says(server: Server, phones: list[str], before: int) -> Response | None:
            if before == 0:
                loop = asyncio.get_running_loop()
                loop.call_later(self.acts_after_seconds, server.create, server.key, phones)
                return self.first
            return None if server.jobs else self.then

        return Server(says)


@attrs.define
class Play:
    """Uploads of contacts in virtual time."""

    server: Server
    journal: Path | None = None
    disk_seconds: float = 0.01
    loop: SimulatedLoop = attrs.field(init=False)
    outcomes: list[Outcome] = attrs.field(factory=list)
    told: list[Event] = attrs.field(factory=list)
    upload: Upload = attrs.field(init=False)
    started: float = 1.8e9
    wall_off: float = 0.0
    """How far the wall clock has been set off; seconds."""

    def run(self, count: int, *, from_source: bool = True, **how: Any) -> Any:
        """One life with `count` contacts; returns the error that it ends with, if any."""
        return self.run_of([{"phone": FIRST + n} for n in range(count)] if from_source else None, **how)

    def run_of(
        self,
        contacts: list[dict[str, Any]] | None,
        *,
        act: Callable[[Upload], Awaitable[None]] | None = None,
        exclude: list[Path] | None = None,
        policy: RetryPolicy | None = None,
        consumer_seconds: float = 0.0,
        **settings: Any,
    ) -> Any:
        """One life; returns the error that it ends with, if any."""
        loop = self.loop = SimulatedLoop(random.Random(1), None, self.disk_seconds)
        clock = Clock(
            wall=lambda: self.started + self.wall_off + loop.time(), monotonic=loop.time, sleep=asyncio.sleep
        )
        connection = Connection(
            base_url="https://play.invalid",
            runtime=Runtime(exchange=self.server.exchange, clock=clock, rng=random.Random(2)),
            retry=RetryPolicy(),
            upload_retry=policy or RetryPolicy.for_uploads(),
        )
        self.outcomes.clear()
        request = UploadRequest(
            source=open_source(contacts, Reading()),
            settings=UploadSettings(**settings),
            owner=JournalOwner(token="token", host=connection.base_url),
            journal=JournalSettings(path=self.journal) if self.journal else None,
            screening=Screening(exclude=exclude or []),
            events=EventDispatcher(self.told.append),
        )
        self.upload = Upload(request, connection)

        async def main() -> None:
            acting = asyncio.ensure_future(act(self.upload)) if act else None
            try:
                async with self.upload:
                    async for receipt in self.upload:
                        self.outcomes.extend(receipt.outcomes())
                        await asyncio.sleep(consumer_seconds)
            finally:
                if acting is not None:
                    acting.cancel()

        try:
            loop.run_until_complete(main())
        except Exception as error:  # noqa: BLE001  # for the test to look at
            return error
        finally:
            loop.close()
            self.started += loop.time()
        return None

    def statuses(self) -> Counter[str]:
        return Counter(str(outcome.status) for outcome in self.outcomes)


def after(seconds: float, **how: Any) -> Callable[[Upload], Awaitable[None]]:
    async def act(upload: Upload) -> None:
        await asyncio.sleep(seconds)
        upload.stop(**how)

    return act
