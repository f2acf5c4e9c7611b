"""For the tests of programs that use this package: a sandbox behind a real socket, and one without any.

    with SandboxThread() as sandbox:            # sandbox.url, sandbox.token; for whatever speaks HTTP
        ...

    sandbox = InProcessSandbox()                # no sockets, no threads: for fast unit tests
    async with sandbox.client() as client:
        ...

With pytest, the fixtures `calls_sandbox` and `calls_in_process` give these; see `pytest_plugin.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import parse_qsl, unquote, urlsplit

from calls_async.client import CallsClient
from calls_async.protocol.endpoints import Request, Response
from calls_async.sandbox.api import Call
from calls_async.sandbox.core import SandboxCore, SandboxOptions
from calls_async.sandbox.faults import FaultKind
from calls_async.sandbox.model.account import KeyConflict
from calls_async.sandbox.model.job import Job
from calls_async.sandbox.server.server import Sandbox
from calls_async.transport.exchange import ExchangeFailed
from calls_async.transport.http import make_headers, make_path_and_query

Result = TypeVar("Result")


IN_PROCESS_HOST = "https://sandbox.invalid"
"""What a client of an `InProcessSandbox` believes to talk to; nothing ever does."""


class InProcessSandbox(SandboxCore):
    """A sandbox that clients of the same event loop reach without a socket. Faults strike as they do on a socket, but
    nothing is slow. Takes the fields of `SandboxSettings`."""

    url = IN_PROCESS_HOST

    def client(self, **settings: Any) -> CallsClient:
        """Make a client of this sandbox; `settings` are those of `CallsClient`."""
        return CallsClient(IN_PROCESS_HOST, exchange=self.exchange, **settings)

    async def exchange(self, request: Request) -> Response:
        """Take a request of such a client, as if it had travelled."""
        await asyncio.sleep(0)  # whoever is cancelled meanwhile, or has others to let go on
        reply, fault = self.take(_to_call(request))
        if reply is None:
            raise ExchangeFailed("the connection broke: it was reset", reached=True)
        if fault is FaultKind.TRUNCATED_AFTER:
            raise ExchangeFailed("the answer broke off", reached=True)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Response(status=reply.status, headers=headers, body=reply.body)


def _to_call(request: Request) -> Call:
    url = urlsplit(make_path_and_query(request))
    return Call(
        method=request.method.value,
        path=unquote(url.path),
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in make_headers(request).items()},
        body=request.body or b"",
    )


class SandboxThread:
    """A sandbox on a free port of this machine, in a thread of its own: for tests of any kind, asyncio or not.

    `with` starts and stops it. Takes the fields of `SandboxSettings`. What it tells is what has happened up to now.
    """

    def __init__(self, **settings: Unpack[SandboxOptions]) -> None:
        self._sandbox = Sandbox(**settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"SandboxThread({self.url!r})"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="calls_async sandbox", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._sandbox.__aenter__(), self._loop).result()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._loop is not None:
                asyncio.run_coroutine_threadsafe(self._sandbox.__aexit__(), self._loop).result()
        finally:
            self._end()

    @property
    def url(self) -> str:
        """The host to give to a client."""
        return self._sandbox.url

    @property
    def token(self) -> str:
        """The first campaign's."""
        return self._sandbox.token

    @property
    def jobs(self) -> list[Job]:
        """Every job of every campaign, in the order of creation."""
        return self._ask(lambda: self._sandbox.jobs)

    @property
    def contacts(self) -> list[dict[str, object]]:
        """What the jobs were created from, under the API's field names."""
        return self._ask(lambda: self._sandbox.contacts)

    @property
    def calls(self) -> list[Call]:
        """Every request that was handled."""
        return self._ask(lambda: self._sandbox.calls)

    @property
    def key_conflicts(self) -> list[KeyConflict]:
        """Keys that came with two contents; there must be none (C-IDEM-8)."""
        return self._ask(lambda: list(self._sandbox.key_conflicts))

    def fail_next(self, kind: FaultKind | str, times: int = 1) -> None:
        """Let the next `times` requests go wrong in this way. Raises ValueError."""
        self._ask(lambda: self._sandbox.fail_next(kind, times))

    def advance(self, *, hours: float = 0.0, seconds: float = 0.0) -> None:
        """Move the server's clock forward; keys and the duplicate rule go by it."""
        self._ask(lambda: self._sandbox.advance(hours=hours, seconds=seconds))

    def _ask(self, question: Callable[[], Result]) -> Result:
        """Ask between two requests, so that nothing changes meanwhile."""
        loop = self._loop
        if loop is None:
            return question()

        async def answer() -> Result:
            return question()

        return asyncio.run_coroutine_threadsafe(answer(), loop).result()

    def _end(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
