"""The sandbox on a socket: an aiohttp server around `SandboxCore`, with faults where they are asked for."""

from __future__ import annotations

import asyncio
import logging
from typing import Self, Unpack

import attrs
from aiohttp import web

from calls_async.sandbox.api import Call
from calls_async.sandbox.core import SandboxCore, SandboxOptions, read_description
from calls_async.sandbox.page.routes import add_page
from calls_async.sandbox.server.guard import Guard
from calls_async.sandbox.server.replies import send

TICK_SECONDS = 0.25
"""How often calls are let happen while nobody asks."""
_log = logging.getLogger(__name__)


class Sandbox(SandboxCore):
    """A Calls API server on this machine, with a page to watch it at `/`. `async with` starts and stops it.

    Takes the fields of `SandboxSettings`, and raises what `SandboxCore` raises.
    """

    def __init__(self, **settings: Unpack[SandboxOptions]) -> None:
        host, allowed = settings.get("host", "127.0.0.1"), settings.get("allowed_hosts", ())
        self._guard = Guard([*([host] if host else []), *allowed])
        super().__init__(**settings)
        self.url = ""
        """Where it listens, once it does."""
        self._host = self.settings.host
        self._port = self.settings.port
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self.closed:
            raise RuntimeError("a sandbox with a state is started once; make another one of the same file")
        app = web.Application(client_max_size=self.settings.max_request_bytes, middlewares=[self._guard.middleware])
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
            self.close()
            raise
        self._port = self._runner.addresses[0][1]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104  # any address: this one
        host = f"[{host}]" if ":" in host else host
        self.url = f"http://{host}:{self._port}"
        if self.lives_by_itself:
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
        self.save()
        self.close()

    async def _tick(self) -> None:
        """Let calls go on also while nobody asks."""
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
            return await send(request, self.refuse_size(call), None, slow_seconds=0)
        reply, fault = self.take(call)
        return await send(request, reply, fault, slow_seconds=self.faults.delay_seconds)


async def _describe(request: web.Request) -> web.Response:
    return web.Response(body=read_description(), content_type="application/json")
