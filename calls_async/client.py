"""The client: one method for each documented method of the API; those for many contacts are in `bulk.py`."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from uuid import UUID

from calls_async.bulk import BulkVerbs
from calls_async.errors import ConfigurationError, ContactError
from calls_async.protocol import endpoints
from calls_async.protocol.contact import Contact, to_contact
from calls_async.protocol.endpoints import Request, Response, to_key
from calls_async.protocol.reports import AttemptReport, CampaignInfo, CampaignStatus, JobReport
from calls_async.transport.clock import Clock
from calls_async.transport.connection import Connection
from calls_async.transport.exchange import Exchange
from calls_async.transport.http import HttpTransport, Timeouts, resolve_host
from calls_async.transport.policy import RetryPolicy
from calls_async.transport.telemetry import NoTelemetry, Telemetry
from calls_async.upload.sources import ContactLike

Answer = TypeVar("Answer")
_TOKEN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")
_ENCODED_AT_A_TIME = 256
Key = str | UUID | None

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
            exchange=telemetry.exchange(exchange or self._transport.exchange, self.base_url),
            retry=retry or RetryPolicy(),
            upload_retry=upload_retry or RetryPolicy.for_uploads(),
            clock=clock or Clock(),
            rng=rng or random.Random(),
            telemetry=telemetry,
        )

    def campaign(self, token: str) -> Campaign:
        """A handle on the campaign of `token`; it costs nothing and holds nothing open."""
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


class Campaign(BulkVerbs):
    """One campaign. Every method that sends makes an idempotence key of its own unless it is given one, and repeats
    failed attempts with the same key and the same bytes.

    All methods raise `RefusedError` or `AccessError` where the server says no, and `NoAnswerError` or
    `UnreachableError` where no certain answer could be had within the client's `RetryPolicy`.
    """

    def __init__(self, connection: Connection, token: str) -> None:
        if not _TOKEN.fullmatch(str(token or "").strip()):
            raise ConfigurationError(
                "the campaign's token must be a word of printable characters; copy it from its page"
            )
        super().__init__(connection, token.strip())

    def __repr__(self) -> str:
        return f"Campaign({self._connection.base_url!r}, token='***')"

    # --- adding ---

    async def add_phones(
        self, contacts: Iterable[Contact | Mapping[str, Any]], *, idempotence_key: Key = None
    ) -> list[str]:
        """Adds contacts in one request and returns the IDs of all created call jobs (C-M-1).

        Raises `ContactError`, with the row counted from 1, before anything is sent.
        """
        bodies = []
        for row, contact in enumerate(contacts, start=1):
            bodies.append(_encode(row, contact))
            if row % _ENCODED_AT_A_TIME == 0:
                await asyncio.sleep(0)  # any number of contacts is fine, but the event loop is not ours alone
        request = endpoints.add_phones(self._token, b"[%b]" % b",".join(bodies), to_key(idempotence_key))
        return await self._call(request, endpoints.read_ids)

    async def add_phone(
        self,
        phone: str | int,
        *,
        gmt_zone: str | None = None,
        payload: Mapping[str, Any] | None = None,
        method: Literal["GET", "POST"] = "POST",
        idempotence_key: Key = None,
    ) -> str:
        """Adds one number by the CRM method and returns the ID of its call job (C-M-2, C-M-3).

        Every entry of `payload` travels as a URL parameter (C-CRM-1). Raises `ContactError`.
        """
        return await self._add_one(phone, gmt_zone, payload, idempotence_key, method=method)

    async def add_test_phone(
        self,
        phone: str | int,
        *,
        gmt_zone: str | None = None,
        payload: Mapping[str, Any] | None = None,
        idempotence_key: Key = None,
    ) -> str:
        """Adds one number for a test call, exempt from the duplicate rule (C-M-4, C-DUP-3). Raises `ContactError`."""
        return await self._add_one(phone, gmt_zone, payload, idempotence_key, method="GET", test=True)

    async def _add_one(
        self,
        phone: object,
        gmt_zone: str | None,
        payload: Mapping[str, Any] | None,
        idempotence_key: Key,
        *,
        method: str,
        test: bool = False,
    ) -> str:
        request = endpoints.add_phone(
            self._token,
            phone,
            gmt_zone=gmt_zone,
            payload=payload,
            key=to_key(idempotence_key),
            method=method,
            test=test,
        )
        return await self._call(request, endpoints.read_id)

    # --- jobs ---

    async def cancel(
        self, *, ids: Iterable[str | int] = (), phones: Iterable[str | int] = (), idempotence_key: Key = None
    ) -> list[str]:
        """Cancels call jobs by ID, by phone or both, and returns the IDs of all canceled ones (C-M-5, C-CAN-1)."""
        request = endpoints.cancel(self._token, ids, phones, to_key(idempotence_key))
        return await self._call(request, endpoints.read_ids)

    async def job_report(
        self, *, ids: Iterable[str | int] = (), phones: Iterable[str | int] = (), idempotence_key: Key = None
    ) -> list[JobReport]:
        """What became of call jobs, by ID, by phone or both (C-M-6, C-REP-1)."""
        request = endpoints.job_report(self._token, ids, phones, to_key(idempotence_key))
        return await self._call(request, endpoints.read_job_reports)

    async def attempt_report(
        self, *, ids: Iterable[str | int] = (), phones: Iterable[str | int] = (), idempotence_key: Key = None
    ) -> list[AttemptReport]:
        """Every call attempt of call jobs, by ID, by phone or both (C-M-7, C-REP-1)."""
        request = endpoints.attempt_report(self._token, ids, phones, to_key(idempotence_key))
        return await self._call(request, endpoints.read_attempt_reports)

    # --- the campaign ---

    async def info(self) -> CampaignInfo:
        """The campaign in words and numbers (C-M-8)."""
        return await self._call(endpoints.info(self._token), endpoints.read_campaign_info)

    async def status(self) -> CampaignStatus:
        """The campaign's status (C-M-9)."""
        return await self._call(endpoints.status(self._token), endpoints.read_campaign_status)

    async def pause(self, *, idempotence_key: Key = None) -> None:
        """Pauses the campaign (C-M-10)."""
        await self._control("pause", idempotence_key)

    async def resume(self, *, idempotence_key: Key = None) -> None:
        """Resumes the campaign (C-M-11)."""
        await self._control("resume", idempotence_key)

    async def stop(self, *, idempotence_key: Key = None) -> None:
        """Stops the campaign (C-M-12)."""
        await self._control("stop", idempotence_key)

    async def _control(self, verb: str, idempotence_key: Key) -> None:
        request = endpoints.control(self._token, verb, to_key(idempotence_key))
        await self._call(request, endpoints.read_nothing)

    async def _call(self, request: Request, read: Callable[[Response], Answer]) -> Answer:
        return await self._connection.single.call(request, read)


def _encode(row: int, item: ContactLike) -> bytes:
    try:
        return to_contact(item).to_bytes()
    except ContactError as error:
        wrong = ContactError(error.field, error.reason, row)
    raise wrong
