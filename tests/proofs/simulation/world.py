"""A world of its own time: a server, a network that loses and delays, and the disk. It outlives every process."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from email.utils import formatdate

import attrs

from calls_async.protocol.endpoints import KEY_NAME, Request, Response
from calls_async.sandbox.api import Api, Call, Reply
from calls_async.sandbox.model.account import Account, DuplicateRule
from calls_async.sandbox.model.campaign import Campaign
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.job import Job
from calls_async.transport.exchange import ExchangeFailed
from tests.proofs.simulation.story import Exchange, Story

TOKEN = "simulated"
START = 1_800_000_000.0
LATEST_SECONDS = 100.0
"""How late a request may be acted upon after its sender has given it up, or was told something else."""
BELIEVED = (400, 422)
"""Refusals that are true as the first answer to a key. A 413 is always true; `largest_body` gives those."""
REFUSALS = (400, 406, 409, 409, 411, 412, 415, 418, 422, 423, 428, 451)
NOTHING_GOES_HERE = (301, 401, 402, 403, 404, 405, 407, 410, 501)
FAILURES = (408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529, 598)
WORDS = (b"", b"Conflict", b"key already used", b"duplicate request", b'{"message": "no"}', b"<html>no</html>")


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
    refused: set[str] = attrs.field(factory=set)
    """Phones for which the server says no."""
    largest_body: int | None = None
    """Larger ones get a 413."""
    outages: list[tuple[float, float]] = attrs.field(factory=list)
    """From when to when nobody answers."""
    doubted: set[str] = attrs.field(factory=set)
    """Phones of requests that were refused for no reason of their own, whatever had become of them."""
    consistent: bool = False
    """Whether it says the same whenever the same is sent, though answers are lost: nothing is refused by chance."""
    tells_time: bool = False
    """Whether the server's answers have a `Date`."""
    told_time: bool = False
    """Whether this life's process has had one."""
    poison: set[str] = attrs.field(factory=set)
    """Phones at which the server always fails."""
    strangers: set[str] = attrs.field(factory=set)
    """Phones of which another list has jobs, too."""
    story: Story = attrs.field(factory=Story)
    requests: int = 0
    _late: list[tuple[float, Call]] = attrs.field(factory=list)
    _kept: dict[str, Reply] = attrs.field(factory=dict)
    """Failures and refusals that the server keeps under the key (C-IDEM-1)."""
    _seen_keys: set[str] = attrs.field(factory=set)
    """Under which something has arrived, or is on its way."""
    _acted_keys: set[str] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        clock = Clock(lambda: self.now + self.skew_seconds)
        account = Account(clock, DuplicateRule.OFF)
        account.set_up(TOKEN)
        self.api = Api(account)

    # --- the network ---

    async def exchange(self, request: Request) -> Response:
        """One exchange, which may go wrong at every point of it."""
        self.requests += 1
        call, jobs = _to_call(request), len(self._campaign.jobs)
        try:
            response = await self._exchange(call)
        except ExchangeFailed as error:
            self._tell(call, str(error), jobs)
            raise
        self._tell(call, f"{response.status} {response.body[:40]!r}", jobs)
        self.told_time = self.told_time or "date" in response.headers
        return response

    def _tell(self, call: Call, fate: str, jobs_before: int) -> None:
        created = len(self._campaign.jobs) - jobs_before
        self.story.tell(Exchange(self.since(), call.body, call.key or "none", fate, created))

    async def _exchange(self, call: Call) -> Response:
        await self._pass(self.slowness_seconds)
        fate = "no connection" if any(start <= self.now < end for start, end in self.outages) else self._draw()
        if fate == "no connection":
            raise ExchangeFailed("no connection", reached=False)
        first = call.key not in self._seen_keys
        self._seen_keys.add(call.key or "")
        if fate == "lost":
            raise ExchangeFailed("lost on the way", reached=True)
        if fate == "late":
            self._act_late(call)
            await self._pass(60)
            raise ExchangeFailed("no answer in time", reached=True)
        if fate == "status":
            return await self._say_anything(call, first=first)
        reply = self.handle(call)
        await self._pass(self.slowness_seconds)
        if fate == "answer lost":
            raise ExchangeFailed("the connection broke", reached=True)
        if fate == "answer spoilt":
            spoilt = self.rng.choice([b"<html>", b"", b"[", b'{"ok": true}'])
            return Response(status=200, headers=self._headers(), body=spoilt)
        return Response(status=reply.status, headers=self._headers(), body=reply.body)

    def _headers(self) -> dict[str, str]:
        return {"date": formatdate(self.now + self.skew_seconds, usegmt=True)} if self.tells_time else {}

    def _draw(self) -> str:
        if self.rng.random() >= self.trouble:
            return "well"
        lost = ["no connection", "lost", "late", "answer lost"]
        return self.rng.choice(lost if self.consistent else [*lost, "answer spoilt", *["status"] * 5])

    async def _say_anything(self, call: Call, *, first: bool) -> Response:
        """Answer with any 3xx, 4xx or 5xx; the request is acted upon before, after, late, or never."""
        rng = self.rng
        few = NOTHING_GOES_HERE if rng.random() < 0.2 else ()  # which end a life
        status, words = rng.choice(few or REFUSALS + FAILURES), rng.choice(WORDS)
        html = words.startswith(b"<")
        believed = status in BELIEVED and first and not html
        acted = "never" if believed else rng.choice(["never", "before", "late"])
        if acted == "before":
            self.handle(call)
        elif acted == "late":
            self._act_late(call)
        if status in REFUSALS and call.path.endswith("addPhones"):
            self.doubted |= _phones(call)
        headers = {"content-type": "text/html" if html else "application/json"} | self._headers()
        if status in (429, 503, 409) and rng.random() < 0.5:
            headers["retry-after"] = rng.choice(["1", "30", "100000", "Wed, 21 Oct 2015 07:28:00 GMT"])
        await self._pass(self.slowness_seconds)
        return Response(status=status, headers=headers, body=words)

    def _act_late(self, call: Call) -> None:
        self._late.append((self.now + self.rng.uniform(0, LATEST_SECONDS), call))

    async def _pass(self, most_seconds: float) -> None:
        await asyncio.sleep(self.rng.uniform(0, most_seconds))

    # --- the server ---

    def handle(self, call: Call) -> Reply:
        """The server acts, after what has arrived late before."""
        self.catch_up()
        return self._act(call)

    def catch_up(self) -> None:
        """The server acts on what has arrived late by now."""
        if not self._late:
            return
        due = sorted((item for item in self._late if item[0] <= self.now), key=lambda item: item[0])
        self._late = [item for item in self._late if item[0] > self.now]
        now = self.now
        for arrived, call in due:
            self.now = arrived
            self._act(call)
        self.now = now

    def _act(self, call: Call) -> Reply:
        if TOKEN not in call.path:
            return self.api.handle(call)
        key = call.key or ""
        adds = call.path.endswith("addPhones")
        if key in self._kept:
            return self._kept[key]
        if adds and self.largest_body is not None and len(call.body) > self.largest_body:
            return Reply(status=413, body=b"<html>Request Entity Too Large</html>")
        if adds and _phones(call) & self.poison:
            return Reply.error(500, "NullPointerException")
        if adds and _phones(call) & self.refused:
            return Reply.error(400, "one of the phones is not allowed")
        first = key not in self._acted_keys
        self._acted_keys.add(key)
        if adds and first and not self.consistent and self.rng.random() < 0.1 * self.trouble:
            # Some servers keep a failure with its key, whether they have acted or not.
            kept = self._kept[key] = Reply.error(self.rng.choice([500, 500, 403, 404, 409, 418, 503]), "kept")
            self.doubted |= _phones(call)
            if self.rng.random() < 0.5:
                self.api.handle(call)
            return kept
        return self.api.handle(call)

    @property
    def duplicates(self) -> DuplicateRule:
        """What becomes of a contact that the server has."""
        return self.api.account.duplicates

    def add_stranger(self, phone: str, *, days_ago: float = 0.0) -> None:
        """Another list's job of a phone, of some days ago: it carries no row of ours."""
        self.strangers.add(phone)
        now, self.now = self.now, self.now - days_ago * 86_400
        self.api.account.add(self._campaign, [{"phone": phone, "payload": {"row": 0, "n": len(self._campaign.jobs)}}])
        self.now = now

    def since(self) -> float:
        """How long the schedule has been going on; seconds."""
        return self.now - START

    def jobs_by_row(self) -> Counter[int]:
        """How many jobs each row has; rows carry their number in the payload."""
        return Counter(row for job in self.jobs() if (row := job.payload["row"]))

    def row_of_job(self) -> dict[str, int]:
        return {job.id: job.payload["row"] for job in self.jobs()}

    def jobs(self) -> list[Job]:
        return list(self._campaign.jobs.values())

    @property
    def _campaign(self) -> Campaign:
        return self.api.account.campaigns[TOKEN]


def _phones(call: Call) -> set[str]:
    return {str(contact["phone"]) for contact in json.loads(call.body)}


def _to_call(request: Request) -> Call:
    headers = {KEY_NAME.lower(): request.idempotence_key} if request.idempotence_key is not None else {}
    return Call(
        method=request.method.value,
        path=request.path.replace("{token}", request.token.reveal()),
        query=dict(request.query),
        headers=headers,
        body=request.body or b"",
    )
