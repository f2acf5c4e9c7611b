"""The client: connections to one system, and its campaigns."""

from __future__ import annotations

import random
from types import TracebackType
from typing import Self

from calls_async.campaign import Campaign
from calls_async.transport.attempts import Runtime
from calls_async.transport.clock import Clock
from calls_async.transport.connection import Connection
from calls_async.transport.exchange import Exchange
from calls_async.transport.http import HttpTransport, Timeouts, resolve_host
from calls_async.transport.policy import RetryPolicy
from calls_async.transport.telemetry import NoTelemetry, Telemetry

MAX_ANSWER_BYTES = 64 * 2**20
"""Answers larger than this are refused, unless the client is told otherwise."""


class CallsClient:
    """Connections to one system; `async with` opens and closes them. Campaigns of all tokens share them.

    `host` is `jaicp`, `aimylogic`, `tovie`, `dialogstudio`, or the URL of an installation (C-HOST-1 … C-HOST-5).
    Plain http is refused but for this machine, unless `allow_plain_http` says that the network may see the token.
    `retry` rules single calls, `upload_retry` the chunks of uploads. `telemetry` watches what the
    client does (`calls_async.otel.OpenTelemetry`). `exchange` is how requests travel, in place of
    HTTP to the host; it, `clock` and `rng` are for tests.

    Raises `ConfigurationError` for a host that cannot work.
    """

    def __init__(
        self,
        host: str,
        *,
        retry: RetryPolicy | None = None,
        upload_retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        allow_plain_http: bool = False,
        telemetry: Telemetry | None = None,
        exchange: Exchange | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.base_url = resolve_host(host, allow_plain_http=allow_plain_http)
        self._transport = HttpTransport(
            self.base_url, timeouts=timeouts or Timeouts(), max_answer_bytes=max_answer_bytes
        )
        self._needs_transport = exchange is None
        telemetry = telemetry or NoTelemetry()
        self._connection = Connection(
            base_url=self.base_url,
            runtime=Runtime(
                exchange=telemetry.exchange(exchange or self._transport.exchange, self.base_url),
                clock=clock or Clock(),
                rng=rng or random.Random(),
                telemetry=telemetry,
            ),
            retry=retry or RetryPolicy(),
            upload_retry=upload_retry or RetryPolicy.for_uploads(),
        )

    def campaign(self, token: str) -> Campaign:
        """Return a handle on the campaign of `token`; it costs nothing and holds nothing open."""
        return Campaign(self._connection, token)

    async def __aenter__(self) -> Self:
        if self._needs_transport:
            await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.__aexit__()

    def __repr__(self) -> str:
        return f"CallsClient({self.base_url!r})"
