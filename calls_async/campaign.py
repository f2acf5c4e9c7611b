"""One campaign: a method for each documented method of the API, and those for any number of contacts or jobs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, Unpack
from uuid import UUID

from calls_async.errors import ConfigurationError, ContactError
from calls_async.jobs.names import JobIds, Phones
from calls_async.jobs.requests import JobRequests, JobVerb
from calls_async.jobs.settings import JobsOptions, JobsSettings
from calls_async.jobs.stream import JobStream
from calls_async.jobs.watch import WATCH_SECONDS, watch_campaign
from calls_async.protocol import endpoints
from calls_async.protocol.contact import Contact, to_contact
from calls_async.protocol.endpoints import Request, Response, to_key
from calls_async.protocol.reports import AttemptReport, CampaignInfo, CampaignStatus, JobReport
from calls_async.protocol.token import Token
from calls_async.transport.attempts import CallPlan
from calls_async.transport.connection import Connection
from calls_async.upload.batcher.batcher import Batcher
from calls_async.upload.journal.settings import JournalSettings, Purpose
from calls_async.upload.options import BatcherOptions, UploadOptions, make_batcher, make_upload
from calls_async.upload.reconcile import Reconciliation, reconcile
from calls_async.upload.sources.source import ContactLike, SourceLike
from calls_async.upload.upload import Upload

Answer = TypeVar("Answer")
Key = str | UUID | None
Names = Iterable[str | int]
_TOKEN = re.compile(r"(?!\.\.?$)[^\x00-\x1f\x7f\ud800-\udfff]+")
"""Not `.` and `..`, which a URL's path loses: the request would be another one."""
_ENCODED_AT_A_TIME = 256


class Campaign:
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
        self._connection = connection
        self._token = Token(token.strip())

    def __repr__(self) -> str:
        return f"Campaign({self._connection.base_url!r}, token='***')"

    # --- any number of contacts ---

    def upload(self, source: SourceLike | None, **options: Unpack[UploadOptions]) -> Upload:
        """Stream contacts of any number through `addPhones`, chunk by chunk; see `Upload` and `UploadOptions`.

        `source` is a path (CSV, JSON Lines, Parquet, Excel), an open binary file (with `format`), or an iterable or
        async iterable of `Contact` or of mappings with the API's field names. With a `journal`, it may be None: then
        only what the journal holds is sent.

        Raises `ConfigurationError` at once; while it runs, `JournalError`, `SourceError`, `AccessError`,
        `NoAnswerError`, `TooManyRefusalsError`, and whatever an iterable of the caller's raises. A contact that
        cannot be sent is an outcome, not an error.
        """
        return make_upload(self._connection, self._token, source, options)

    def batcher(self, **options: Unpack[BatcherOptions]) -> Batcher:
        """Gather contacts that tasks add one at a time into chunks, and give each its outcome; see `Batcher` and
        `BatcherOptions`. A chunk is sent when it is full, or when its oldest contact has waited `linger_seconds`.

        Raises `ConfigurationError` at once, and `JournalError` and `SourceError` when it is entered.
        """
        return make_batcher(self._connection, self._token, options)

    async def reconcile(
        self, journal: str | Path, *, resend: bool = False, exclude: Sequence[str | Path] = ()
    ) -> Reconciliation:
        """Settle the unknown rows of a journal: ask the API for their jobs, and adopt those it finds.

        First, what has no answer yet is sent again under its own key, while that is good. With `resend`, rows that
        have no job are sent under new keys; not before `LATE_SECONDS` have passed since they became unknown, for a
        late request might still arrive. Rows that cannot be told apart stay unknown. `exclude` as in `upload`.

        Raises `JournalError` and all that an upload raises.
        """
        settings = JournalSettings(path=Path(journal), purpose=Purpose.SETTLING)
        return await reconcile(self._connection, self._token, settings, resend=resend, exclude=exclude)

    # --- adding ---

    async def add_phones(
        self, contacts: Iterable[Contact | Mapping[str, Any]], *, idempotence_key: Key = None
    ) -> list[str]:
        """Add contacts in one request and return the IDs of all created call jobs (C-M-1).

        Raises `ContactError`, with the row counted from 1, before anything is sent.
        """
        body = await _encode(contacts)
        return await self._call(endpoints.add_phones(self._token, body, to_key(idempotence_key)), endpoints.read_ids)

    async def add_phone(
        self,
        phone: str | int,
        *,
        gmt_zone: str | None = None,
        payload: Mapping[str, Any] | None = None,
        method: Literal["GET", "POST"] = "POST",
        idempotence_key: Key = None,
    ) -> str:
        """Add one number by the CRM method and return the ID of its call job (C-M-2, C-M-3).

        Every entry of `payload` travels as a URL parameter (C-CRM-1). Raises `ContactError`.
        """
        add = partial(endpoints.add_phone, self._token, phone, gmt_zone=gmt_zone, payload=payload)
        return await self._call(add(key=to_key(idempotence_key), method=method), endpoints.read_id)

    async def add_test_phone(
        self,
        phone: str | int,
        *,
        gmt_zone: str | None = None,
        payload: Mapping[str, Any] | None = None,
        idempotence_key: Key = None,
    ) -> str:
        """Add one number for a test call, exempt from the duplicate rule (C-M-4, C-DUP-3). Raises `ContactError`."""
        add = partial(endpoints.add_phone, self._token, phone, gmt_zone=gmt_zone, payload=payload)
        return await self._call(add(key=to_key(idempotence_key), method="GET", test=True), endpoints.read_id)

    # --- jobs ---

    async def cancel(self, *, ids: Names = (), phones: Names = (), idempotence_key: Key = None) -> list[str]:
        """Cancel call jobs by ID, by phone or both, and return the IDs of all canceled ones (C-M-5, C-CAN-1)."""
        request = endpoints.cancel(self._token, ids, phones, to_key(idempotence_key))
        return await self._call(request, endpoints.read_ids)

    async def job_report(
        self, *, ids: Names = (), phones: Names = (), idempotence_key: Key = None
    ) -> list[JobReport]:
        """Return what became of call jobs, by ID, by phone or both (C-M-6, C-REP-1)."""
        request = endpoints.job_report(self._token, ids, phones, to_key(idempotence_key))
        return await self._call(request, endpoints.read_job_reports)

    async def attempt_report(
        self, *, ids: Names = (), phones: Names = (), idempotence_key: Key = None
    ) -> list[AttemptReport]:
        """Return every call attempt of call jobs, by ID, by phone or both (C-M-7, C-REP-1)."""
        request = endpoints.attempt_report(self._token, ids, phones, to_key(idempotence_key))
        return await self._call(request, endpoints.read_attempt_reports)

    def stream_job_reports(
        self, ids: JobIds = (), *, phones: Phones = (), **options: Unpack[JobsOptions]
    ) -> JobStream[JobReport]:
        """Stream what became of any number of call jobs (C-M-6), in the order of the answers, in bounded memory; see
        `JobStream` and `JobsSettings`.

        `ids` is an iterable or async iterable of IDs, or of outcomes, or the path of a results file; of rows that are
        unknown, the jobs are asked for by phone. `phones` are numbers, each of which may have several jobs.

        Raises `ConfigurationError` at once, and while it is iterated what single calls raise, `SourceError`,
        `JobsRefusedError` in the end, and whatever an iterable of the caller's raises.
        """
        verb = JobVerb(partial(endpoints.job_report, self._token), endpoints.read_job_reports)
        return self._stream(ids, phones, verb, options)

    def stream_attempt_reports(
        self, ids: JobIds = (), *, phones: Phones = (), **options: Unpack[JobsOptions]
    ) -> JobStream[AttemptReport]:
        """Stream every call attempt of any number of call jobs (C-M-7); otherwise as `stream_job_reports`."""
        verb = JobVerb(partial(endpoints.attempt_report, self._token), endpoints.read_attempt_reports)
        return self._stream(ids, phones, verb, options)

    def cancel_all(self, ids: JobIds = (), *, phones: Phones = (), **options: Unpack[JobsOptions]) -> JobStream[str]:
        """Cancel any number of call jobs, and stream the IDs of the canceled ones (C-M-5, C-CAN-1). Nothing is
        canceled but by iterating it. Otherwise as `stream_job_reports`."""
        return self._stream(ids, phones, JobVerb(partial(endpoints.cancel, self._token), endpoints.read_ids), options)

    def _stream(self, ids: JobIds, phones: Phones, verb: JobVerb[Answer], options: JobsOptions) -> JobStream[Answer]:
        return JobStream(JobRequests(ids, phones, verb, JobsSettings(**options), self._connection))

    # --- the campaign ---

    async def info(self) -> CampaignInfo:
        """Return the campaign in words and numbers (C-M-8)."""
        return await self._call(endpoints.info(self._token), endpoints.read_campaign_info)

    async def status(self) -> CampaignStatus:
        """Return the campaign's status (C-M-9)."""
        return await self._call(endpoints.status(self._token), endpoints.read_campaign_status)

    def watch(self, *, interval_seconds: float = WATCH_SECONDS) -> AsyncGenerator[CampaignInfo, None]:
        """Yield the campaign as it is now, and again whenever it has changed, until it is finished or deleted
        (C-CAM-3). It is asked every `interval_seconds`; a server that is out is waited for as in an upload.

        Raises `ConfigurationError` at once, and while it is iterated what single calls raise.
        """
        return watch_campaign(self._connection, self._token, interval_seconds)

    async def pause(self, *, idempotence_key: Key = None) -> None:
        """Pause the campaign (C-M-10)."""
        await self._control("pause", idempotence_key)

    async def resume(self, *, idempotence_key: Key = None) -> None:
        """Resume the campaign (C-M-11)."""
        await self._control("resume", idempotence_key)

    async def stop(self, *, idempotence_key: Key = None) -> None:
        """Stop the campaign (C-M-12)."""
        await self._control("stop", idempotence_key)

    async def _control(self, verb: str, idempotence_key: Key) -> None:
        request = endpoints.control(self._token, verb, to_key(idempotence_key))
        await self._call(request, endpoints.read_nothing)

    async def _call(self, request: Request, read: Callable[[Response], Answer]) -> Answer:
        return await self._connection.single.call(CallPlan(request=request), read)


async def _encode(contacts: Iterable[ContactLike]) -> bytes:
    """Return contacts as a JSON array; any number is fine, but the event loop is not ours alone."""
    bodies = []
    for row, contact in enumerate(contacts, start=1):
        bodies.append(_encode_one(row, contact))
        if row % _ENCODED_AT_A_TIME == 0:
            await asyncio.sleep(0)
    return b"[%b]" % b",".join(bodies)


def _encode_one(row: int, item: ContactLike) -> bytes:
    try:
        return to_contact(item).to_bytes()
    except ContactError as error:
        wrong = ContactError(error.field, error.reason, row)
    raise wrong
