"""A world of its own time: a server, a network that loses and delays, and the disk. It outlives every process."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter

import attrs

from calls_async.protocol.endpoints import KEY_NAME, Request, Response
from calls_async.sandbox.api import Api, Call, Reply
from calls_async.sandbox.model.account import Account, DuplicateRule
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.job import Job
from calls_async.transport.exchange import ExchangeFailed

TOKEN = "simulated"
START = 1_800_000_000.0
LATEST_SECONDS = 100.0
"""How late a request may arrive after its sender has given it up."""


@attrs.define
class World:
    """`trouble` is the share of exchanges that go wrong; `rng` decides everything."""

    rng: random.Random
    trouble: float
    skew_seconds: float
    slowness_seconds: float = 0.3
    """How long a request or an answer takes at most, when all is well."""
    now: float = START
    api: Api = attrs.field(init=False)
    duplicates: DuplicateRule = DuplicateRule.OFF
    refused: set[str] = attrs.field(factory=set)
    """Phones for which the server says no."""
    largest_body: int | None = None
    """Larger ones get a 413."""
    outages: list[tuple[float, float]] = attrs.field(factory=list)
    """From when to when nobody answers."""
    doubted: set[str] = attrs.field(factory=set)
    """Phones of requests that a gateway refused when they came again, whatever had become of them."""
    _late: list[tuple[float, Call]] = attrs.field(factory=list)
    _stored_failures: set[str] = attrs.field(factory=set)
    _seen_keys: set[str] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        clock = Clock(lambda: self.now + self.skew_seconds)
        account = Account(clock, self.duplicates)
        account.set_up(TOKEN)
        self.api = Api(account)

    # --- the network ---

    async def exchange(self, request: Request) -> Response:
        """One exchange, which may go wrong at every point of it."""
        call = _to_call(request)
        await self._pass(self.slowness_seconds)
        fate = "no connection" if any(start <= self.now < end for start, end in self.outages) else self._draw()
        if fate == "no connection":
            raise ExchangeFailed("no connection", reached=False)
        if fate == "lost":
            raise ExchangeFailed("lost on the way", reached=True)
        if fate == "late":
            self._late.append((self.now + self.rng.uniform(0, LATEST_SECONDS), call))
            await self._pass(60)
            raise ExchangeFailed("no answer in time", reached=True)
        if fate == "busy":
            wait = self.rng.choice(["1", "30", "100000", "Wed, 21 Oct 2015 07:28:00 GMT"])
            return Response(status=self.rng.choice([429, 503]), headers={"retry-after": wait})
        if fate == "gateway" and call.key in self._seen_keys and call.path.endswith("addPhones"):
            self.doubted |= {str(contact["phone"]) for contact in json.loads(call.body)}
            return Response(status=400, body=b"the gateway does not like it")
        reply = self.handle(call)
        await self._pass(self.slowness_seconds)
        if fate == "answer lost":
            raise ExchangeFailed("the connection broke", reached=True)
        if fate == "answer spoilt":
            return Response(status=200, body=self.rng.choice([b"<html>", b"", b"[", b'{"ok": true}']))
        if fate == "error after":
            return Response(status=self.rng.choice([500, 502, 504, 409]), body=b"in progress or broken")
        return Response(status=reply.status, body=reply.body)

    def _draw(self) -> str:
        if self.rng.random() >= self.trouble:
            return "well"
        fates = ["no connection", "lost", "late", "busy", "answer lost", "answer spoilt", "error after", "gateway"]
        return self.rng.choice(fates)

    async def _pass(self, most_seconds: float) -> None:
        await asyncio.sleep(self.rng.uniform(0, most_seconds))

    # --- the server ---

    def handle(self, call: Call) -> Reply:
        """The server acts, after what has arrived late before."""
        self.catch_up()
        return self._act(call)

    def catch_up(self) -> None:
        """The server acts on what has arrived late by now."""
        due = sorted((item for item in self._late if item[0] <= self.now), key=lambda item: item[0])
        self._late = [item for item in self._late if item[0] > self.now]
        now = self.now
        for arrived, call in due:
            self.now = arrived
            self._act(call)
        self.now = now

    def _act(self, call: Call) -> Reply:
        key = call.key or ""
        adds = call.path.endswith("addPhones")
        if key in self._stored_failures:
            return Reply.error(500, "stored")
        if adds and self.largest_body is not None and len(call.body) > self.largest_body:
            return Reply(status=413, body=b"<html>Request Entity Too Large</html>")
        if adds and any(str(contact["phone"]) in self.refused for contact in json.loads(call.body)):
            return Reply.error(400, "one of the phones is not allowed")
        first = key not in self._seen_keys
        self._seen_keys.add(key)
        if adds and first and self.rng.random() < 0.1 * self.trouble:
            # Some servers store a failure with its key, whether they have acted or not.
            self._stored_failures.add(key)
            if self.rng.random() < 0.5:
                self.api.handle(call)
            return Reply.error(500, "stored")
        return self.api.handle(call)

    def jobs_by_row(self) -> Counter[int]:
        """How many jobs each row has; rows carry their number in the payload."""
        return Counter(job.payload["row"] for job in self.jobs())

    def row_of_job(self) -> dict[str, int]:
        return {job.id: job.payload["row"] for job in self.jobs()}

    def jobs(self) -> list[Job]:
        return list(self.api.account.campaigns[TOKEN].jobs.values())


def _to_call(request: Request) -> Call:
    headers = {KEY_NAME.lower(): request.idempotence_key} if request.idempotence_key is not None else {}
    return Call(
        method=request.method.value,
        path=request.path.replace("{token}", request.token),
        query=dict(request.query),
        headers=headers,
        body=request.body or b"",
    )
