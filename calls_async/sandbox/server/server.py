"""The sandbox on a socket: an aiohttp server around `Api`, which spoils answers where faults are asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib.resources import files
from pathlib import Path
from typing import Self

import attrs
from aiohttp import web

from calls_async.sandbox.api import Api, Call, Reply, route_of
from calls_async.sandbox.core import _AFTER, _BEFORE, _TOO_LARGE
from calls_async.sandbox.faults import FaultKind, Faults
from calls_async.sandbox.model.account import DEFAULT_TOKEN, Account, DuplicateRule, KeyConflict, made_up_token
from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.clock import Clock
from calls_async.sandbox.model.dialer import DialerSettings
from calls_async.sandbox.model.job import Job
from calls_async.sandbox.page.routes import add_page
from calls_async.sandbox.request_log import RequestLog
from calls_async.sandbox.server.guard import Guard, is_loopback
from calls_async.sandbox.server.replies import send
from calls_async.sandbox.state_file import StateFileError, Store

MAX_REQUEST_BYTES = 64 * 2**20
TICK_SECONDS = 0.25
"""How often calls are let happen while nobody asks."""
_log = logging.getLogger(__name__)


class Sandbox:
    """A Calls API server on this machine, with a page to watch it at `/`. `async with` starts and stops it.

    `tokens` are campaigns that exist from the start. `port` 0 takes a free one. `duplicates` chooses between the
    rules of C-DUP-1 and C-DUP-2. Larger requests than `max_request_bytes` are answered 413 (C-M-16). `quoted` and
    `numeric_ids` choose among the forms of answers (C-M-15, C-M-17). With a `behaviour`, calls are made, in the time
    of the `clock`, as `dialing` says; without one, jobs stay planned. `keep_calls` bounds what `calls` remembers.
    `state` is a file that keeps everything over the death of the process. `allowed_hosts` are names of this machine,
    besides localhost and every IP address, that requests may name in their `Host` header. Raises `StateFileError`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens: Sequence[str] = (),
        duplicates: DuplicateRule = DuplicateRule.IGNORE,
        quoted: bool = False,
        numeric_ids: bool = False,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        faults: Faults | None = None,
        behaviour: Behaviour | None = None,
        dialing: DialerSettings | None = None,
        keep_calls: int | None = None,
        clock: Clock | None = None,
        state: Path | str | None = None,
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        self.clock = clock or Clock()
        self.faults = faults or Faults()
        self.account = Account(
            self.clock, duplicates, behaviour=behaviour, dialing=dialing, watched=state is not None
        )
        guard = Guard([*([host] if host else []), *allowed_hosts])
        self._store = None if state is None else Store(Path(state))
        if self._store is not None:
            self._store.load(self.account)
        if not (tokens or self.account.campaigns):
            # Where a browser may send the requests of other web pages unmarked, nobody shall guess it.
            tokens = [DEFAULT_TOKEN if is_loopback(host) and not allowed_hosts else made_up_token()]
        try:
            for token in tokens:
                self.account.set_up(token)
        except ValueError:
            self._close()
            raise
        self.api = Api(self.account, quoted=quoted, numeric_ids=numeric_ids, keep_calls=keep_calls)
        self.requests = RequestLog()
        self.token = tokens[0] if tokens else next(iter(self.account.campaigns))
        """The first campaign's."""
        self.url = ""
        """Where it listens, once it does."""
        self._max_request_bytes = max_request_bytes
        self._host = host
        self._guard = guard
        self._port = port
        self._runner: web.AppRunner | None = None
        self._calls = behaviour is not None
        self._ticker: asyncio.Task[None] | None = None
        self.save()

    async def __aenter__(self) -> Self:
        if self._store is not None and self._store.closed:
            raise RuntimeError("a sandbox with a state is started once; make another one of the same file")
        app = web.Application(client_max_size=self._max_request_bytes, middlewares=[self._guard.middleware])
        app.router.add_get("/openapi.json", _describe)
        add_page(app, self)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            self._close()
            raise
        self._port = self._runner.addresses[0][1]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104  # any address: this one
        host = f"[{host}]" if ":" in host else host
        self.url = f"http://{host}:{self._port}"
        if self._calls or self._store is not None:
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
        if self._store is not None:
            self.save()
        self._close()

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()

    # --- for tests ---

    @property
    def jobs(self) -> list[Job]:
        """Every job of every campaign, in the order of creation."""
        self.account.catch_up()
        return [job for campaign in self.account.campaigns.values() for job in campaign.jobs.values()]

    @property
    def contacts(self) -> list[dict[str, object]]:
        """What the jobs were created from, under the API's field names."""
        return [job.contact for job in self.jobs]

    @property
    def calls(self) -> list[Call]:
        """Every request that was handled, or the last `keep_calls` of them."""
        return list(self.api.calls)

    @property
    def key_conflicts(self) -> list[KeyConflict]:
        """Keys that came with two contents; there must be none (C-IDEM-8)."""
        return self.account.key_conflicts

    def fail_next(self, kind: FaultKind | str, times: int = 1) -> None:
        """The next `times` requests go wrong in this way."""
        self.faults.fail_next(kind, times)

    def advance(self, *, hours: float = 0.0, seconds: float = 0.0) -> None:
        """Moves the server's clock forward; keys and the duplicate rule go by it."""
        self.clock.advance(hours=hours, seconds=seconds)
        self.account.catch_up()

    def take(self, call: Call) -> tuple[Reply | None, FaultKind | None]:
        """Handles a call without any socket. Returns the answer, None where the connection is reset, and the
        fault that befell it, which may have taken the answer's place; how slowly or how much of it comes is left."""
        fault = None if route_of(call.path) is None else self.faults.draw()
        again = self.account.knows(call.key or "")
        conflicts, jobs = len(self.account.key_conflicts), self.account.jobs_created
        reply = self._take(call, fault)
        self.requests.note(
            call,
            at=self.clock(),
            status=None if reply is None else reply.status,
            fault=fault,
            created_jobs=self.account.jobs_created - jobs,
            conflict=len(self.account.key_conflicts) > conflicts,
            again=again,
        )
        return reply, fault

    def _take(self, call: Call, fault: FaultKind | None) -> Reply | None:
        if fault is FaultKind.RESET_BEFORE:
            return None
        if fault in _BEFORE:
            return attrs.evolve(_BEFORE[fault], headers=self._retry_after(fault))
        if len(call.body) > self._max_request_bytes:
            return _TOO_LARGE
        reply = self.api.handle(call)
        if not self.save():
            return Reply.error(503, "the sandbox cannot write its state")
        if fault is FaultKind.RESET_AFTER:
            return None
        return reply if fault is None else _AFTER.get(fault, reply)

    def _refuse_size(self, call: Call) -> Reply:
        """C-M-16, for a body that was not even read."""
        self.requests.note(
            call, at=self.clock(), status=_TOO_LARGE.status, fault=None, created_jobs=0, conflict=False, again=False
        )
        return _TOO_LARGE

    def save(self, *, clock_too: bool = False) -> bool:
        """Whether everything is on disk; the clock's moment only if asked for, or now and then."""
        if self._store is None:
            return True
        try:
            self._store.save(self.account, clock_too=clock_too)
        except StateFileError as error:
            _log.error("%s", error)
            return False
        return True

    # --- serving ---

    async def _tick(self) -> None:
        """Calls go on also while nobody asks."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self.account.catch_up()
            except Exception:  # noqa: BLE001  # it would be the end of all calls, unheard
                _log.exception("the sandbox's calls do not go on")
            self.save()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        try:
            call = attrs.evolve(call, body=await request.read())
        except web.HTTPRequestEntityTooLarge:
            return await send(request, self._refuse_size(call), None, slow_seconds=0)
        reply, fault = self.take(call)
        return await send(request, reply, fault, slow_seconds=self.faults.delay_seconds)

    def _retry_after(self, fault: FaultKind) -> dict[str, str]:
        seconds = self.faults.retry_after_seconds
        if fault is FaultKind.TOO_MANY_SECONDS:
            return {"Retry-After": str(seconds)}
        if fault is FaultKind.TOO_MANY_DATE:
            until = datetime.now(UTC) + timedelta(seconds=seconds)
            return {"Retry-After": format_datetime(until, usegmt=True)}
        return {}


def description() -> bytes:
    """The Calls API as an OpenAPI 3.1 document, which the package holds as a file."""
    return files("calls_async.sandbox").joinpath("openapi.json").read_bytes()


async def _describe(request: web.Request) -> web.Response:
    return web.Response(body=description(), content_type="application/json")
