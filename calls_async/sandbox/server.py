"""The sandbox on a socket: an aiohttp server around `Api`, which spoils answers where faults are asked for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.resources import files
from typing import Self

import attrs
from aiohttp import web

from calls_async.sandbox.api import Api, Call, Reply
from calls_async.sandbox.behaviour import Behaviour
from calls_async.sandbox.dialer import DialerSettings
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.jobs import Job
from calls_async.sandbox.state import DEFAULT_TOKEN, Clock, DuplicateRule, KeyConflict

MAX_REQUEST_BYTES = 64 * 2**20
TICK_SECONDS = 0.25
"""How often calls are let happen while nobody asks."""
_BEFORE = {
    FaultKind.UNAVAILABLE: Reply.error(503, "overloaded"),
    FaultKind.IN_PROGRESS: Reply.error(409, "a request with this key is in progress"),
    FaultKind.TOO_MANY_SECONDS: Reply.error(429, "slow down"),
    FaultKind.TOO_MANY_DATE: Reply.error(429, "slow down"),
}
_AFTER = {
    FaultKind.SERVER_ERROR_AFTER: Reply.error(500, "something broke"),
    FaultKind.BAD_GATEWAY_AFTER: Reply(
        status=502, body=b"<html><body><h1>502 Bad Gateway</h1></body></html>", content_type="text/html"
    ),
    FaultKind.GARBAGE_AFTER: Reply(body=b"<html>Welcome</html>", content_type="text/html"),
}


class Sandbox:
    """A Calls API server on this machine. `async with` starts and stops it.

    `tokens` are the campaigns that exist. `port` 0 takes a free one. `duplicates` chooses between the rules of
    C-DUP-1 and C-DUP-2. Larger requests than `max_request_bytes` are answered 413 (C-M-16). `quoted` and
    `numeric_ids` choose among the forms of answers (C-M-15, C-M-17). With a `behaviour`, calls are made, in the time
    of the `clock`, as `dialing` says; without one, jobs stay planned. `keep_calls` bounds what `calls` remembers.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens: Sequence[str] = (DEFAULT_TOKEN,),
        duplicates: DuplicateRule = DuplicateRule.IGNORE,
        quoted: bool = False,
        numeric_ids: bool = False,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        faults: Faults | None = None,
        behaviour: Behaviour | None = None,
        dialing: DialerSettings | None = None,
        keep_calls: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.faults = faults or Faults()
        self.api = Api(
            tokens,
            clock=self.clock,
            duplicates=duplicates,
            quoted=quoted,
            numeric_ids=numeric_ids,
            behaviour=behaviour,
            dialing=dialing,
            keep_calls=keep_calls,
        )
        self.token = tokens[0]
        """The first campaign's."""
        self.url = ""
        """Where it listens, once it does."""
        self._max_request_bytes = max_request_bytes
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._calls = behaviour is not None
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=self._max_request_bytes)
        app.router.add_get("/openapi.json", _describe)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        self.url = f"http://{self._host}:{self._port}"
        if self._calls:
            self._ticker = asyncio.create_task(self._tick(), name="calls_async sandbox's calls")
        return self

    async def __aexit__(self, *_: object) -> None:
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.cancel()
            await asyncio.wait([ticker])
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    # --- for tests ---

    @property
    def jobs(self) -> list[Job]:
        """Every job of every campaign, in the order of creation."""
        self.api.account.catch_up()
        return [job for campaign in self.api.account.campaigns.values() for job in campaign.jobs.values()]

    @property
    def contacts(self) -> list[dict[str, object]]:
        """What the jobs were created from, under the API's field names."""
        return [
            {"phone": job.phone, **({} if job.payload is None else {"payload": job.payload}), **job.settings}
            for job in self.jobs
        ]

    @property
    def calls(self) -> list[Call]:
        """Every request that was handled, or the last `keep_calls` of them."""
        return list(self.api.calls)

    @property
    def key_conflicts(self) -> list[KeyConflict]:
        """Keys that came with two contents; there must be none (C-IDEM-8)."""
        return self.api.account.key_conflicts

    def fail_next(self, kind: FaultKind | str, times: int = 1) -> None:
        """The next `times` requests go wrong in this way."""
        self.faults.fail_next(kind, times)

    def advance(self, *, hours: float = 0.0, seconds: float = 0.0) -> None:
        """Moves the server's clock forward; keys and the duplicate rule go by it."""
        self.clock.advance(hours=hours, seconds=seconds)
        self.api.account.catch_up()

    def take(self, call: Call) -> tuple[Reply | None, FaultKind | None]:
        """Handles a call without any socket. Returns the answer, None where the connection is reset, and the
        fault that befell it, which may have taken the answer's place; how slowly or how much of it comes is left."""
        fault = self.faults.draw()
        if fault is FaultKind.RESET_BEFORE:
            return None, fault
        if fault in _BEFORE:
            return attrs.evolve(_BEFORE[fault], headers=self._retry_after(fault)), fault
        if len(call.body) > self._max_request_bytes:
            return Reply.error(413, "too large"), None
        reply = self.api.handle(call)
        if fault is FaultKind.RESET_AFTER:
            return None, fault
        return (reply if fault is None else _AFTER.get(fault, reply)), fault

    # --- serving ---

    async def _tick(self) -> None:
        """Calls go on also while nobody asks."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.api.account.catch_up()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        reply, fault = self.take(call)
        if reply is None:
            return self._reset(request)
        if fault is FaultKind.DELAY_AFTER:
            await asyncio.sleep(self.faults.delay_seconds)
            return _response(reply)
        if fault is FaultKind.TRUNCATED_AFTER:
            return await self._in_parts(request, reply, [reply.body[: len(reply.body) // 2]], pause=0)
        if fault is FaultKind.SLOW_BODY_AFTER:
            half = len(reply.body) // 2
            parts = [reply.body[:half], reply.body[half:]]
            return await self._in_parts(request, reply, parts, pause=self.faults.delay_seconds)
        return _response(reply)

    async def _in_parts(
        self, request: web.Request, reply: Reply, parts: Iterable[bytes], *, pause: float
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers={"Content-Type": reply.content_type})
        # Also an empty body can be cut short: one byte more is promised.
        whole = b"".join(parts) == reply.body and pause > 0
        response.content_length = len(reply.body) if whole else len(reply.body) + 1
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for part in parts:
                await response.write(part)
                await asyncio.sleep(pause)
        if not whole and request.transport is not None:
            request.transport.close()
        return response

    def _retry_after(self, fault: FaultKind) -> dict[str, str]:
        seconds = self.faults.retry_after_seconds
        if fault is FaultKind.TOO_MANY_SECONDS:
            return {"Retry-After": str(seconds)}
        if fault is FaultKind.TOO_MANY_DATE:
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            return {"Retry-After": format_datetime(until, usegmt=True)}
        return {}

    @staticmethod
    def _reset(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # nobody is there to read it


def description() -> bytes:
    """The Calls API as an OpenAPI 3.1 document, which the package holds as a file."""
    return files("calls_async.sandbox").joinpath("openapi.json").read_bytes()


async def _describe(request: web.Request) -> web.Response:
    return web.Response(body=description(), content_type="application/json")


def _response(reply: Reply) -> web.Response:
    content_type = f"{reply.content_type}; charset=utf-8"
    return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": content_type, **reply.headers})
