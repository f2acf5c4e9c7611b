"""Campaign."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID

import attrs

from calls_async.errors import ConfigurationError, ContactError
from calls_async.events import Event, Teller
from calls_async.jobs.names import JobIds, Phones
from calls_async.jobs.requests import Asking
from calls_async.jobs.settings import JobsSettings
from calls_async.jobs.stream import JobStream
from calls_async.protocol import endpoints
from calls_async.protocol.contact import Contact, to_contact
from calls_async.protocol.endpoints import Request, Response, to_key
from calls_async.protocol.reports import AttemptReport, CampaignInfo, CampaignStatus, JobReport
from calls_async.transport.connection import Connection
from calls_async.upload.batcher.batcher import Batcher
from calls_async.upload.batcher.deliveries import OnReceipt
from calls_async.upload.batcher.inbox import Inbox
from calls_async.upload.journal.settings import Durability, JournalSettings, Purpose, _journal_settings
from calls_async.upload.reconcile import Reconciliation, reconcile
from calls_async.upload.rows.regions import check_region
from calls_async.upload.screening.exclusions import _paths
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import BatcherSettings, UploadSettings
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from calls_async.upload.sources.source import ContactLike, SourceLike
from calls_async.upload.upload import Upload

Answer = TypeVar("Answer")


WATCH_SECONDS = 5.0
"""How often a campaign is asked for while it is watched."""


class BulkVerbs:
    """Of the campaign of `token`, at the end of `connection`."""

    def __init__(self, connection: Connection, token: str) -> None:
        self._connection = connection
        self._token = token

    def upload(
        self,
        source: SourceLike | None,
        *,
        journal: str | Path | JournalSettings | None = None,
        durability: Durability | str = Durability.POWER,
        again: bool = False,
        format: str | None = None,  # noqa: A002  # the word that the command line has, too
        columns: Mapping[str, str] | None = None,
        region: str | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        chunk_rows: int = UploadSettings().chunk_rows,
        chunk_bytes: int = UploadSettings().chunk_bytes,
        concurrency: int = UploadSettings().concurrency,
        rate: float | None = None,
        linger_seconds: float = UploadSettings().linger_seconds,
        max_outage_seconds: float = UploadSettings().max_outage_seconds,
        max_refusals: int | None = UploadSettings().max_refusals,
        verify: bool = UploadSettings().verify,
        dedupe: bool = False,
        exclude: Sequence[str | Path] = (),
        on_event: Callable[[Event], object] | None = None,
        on_hint: Callable[[str], None] | None = None,
    ) -> Upload:
        """Streams contacts of any number through `addPhones`, chunk by chunk; see `Upload`.

        `source` is a path (CSV, JSON Lines, Parquet, Excel), an open binary file (with `format`), or an iterable or
        async iterable of `Contact` or of mappings with the API's field names. `columns` maps a column's name in a
        file to the field that it means; `region` (`US`, `DE` …) completes national numbers; `on_hint` is told of
        column names that look like mistakes. `exclude` are files of numbers that must not be called: their rows are
        rejected. With `dedupe`, a row that says the same as an earlier one is not sent: it is a duplicate. `on_event`
        is told what happens (see `Event`), on the event loop; whatever it raises is logged, and the upload goes on.
        The other settings are those of `UploadSettings`.

        `journal` is a file in which everything is written down before it is sent, so that the same upload can be
        begun again after any death and goes on; `durability` is `power` or `process`, what it survives; `again`
        begins a new upload where a finished journal stands. With a journal, `source` may be None: then only what the
        journal holds is sent.

        Raises `ConfigurationError` at once; while it runs, `JournalError`, `SourceError`, `AccessError`,
        `NoAnswerError`, `TooManyRefusalsError`, and whatever an iterable of the caller's raises. A contact that
        cannot be sent is an outcome, not an error.
        """
        reading = Reading(
            format=format,
            columns=columns or {},
            region=region,
            delimiter=delimiter,
            encoding=encoding,
            on_hint=on_hint,
        )
        settings = UploadSettings(
            chunk_rows=chunk_rows,
            chunk_bytes=chunk_bytes,
            concurrency=concurrency,
            rate=rate,
            linger_seconds=linger_seconds,
            max_outage_seconds=max_outage_seconds,
            max_refusals=max_refusals,
            verify=verify,
        )
        return Upload(
            open_source(source, reading),
            settings,
            self._connection.for_upload(),
            token=self._token,
            host=self._connection.base_url,
            journal=_journal_settings(journal, durability, again=again),
            screening=Screening(exclude=_paths(exclude), dedupe=dedupe, region=region, on_hint=on_hint),
            on_event=on_event,
        )

    def stream_job_reports(
        self,
        ids: JobIds = (),
        *,
        phones: Phones = (),
        chunk_rows: int = JobsSettings().chunk_rows,
        concurrency: int = JobsSettings().concurrency,
        on_event: Callable[[Event], object] | None = None,
    ) -> JobStream[JobReport]:
        """What became of any number of call jobs (C-M-6), in the order of the answers, in bounded memory.

        `ids` is an iterable or async iterable of IDs, or of outcomes, or the path of a results file; of rows that are
        unknown, the jobs are asked for by phone. `phones` are numbers, each of which may have several jobs.

        Raises `ConfigurationError` at once, and while it is iterated what single calls raise, `SourceError`,
        `JobsRefusedError` in the end, and whatever an iterable of the caller's raises.
        """
        return self._about_jobs(
            ids,
            phones,
            JobsSettings(chunk_rows=chunk_rows, concurrency=concurrency),
            on_event,
            endpoints.job_report,
            endpoints.read_job_reports,
        )

    def stream_attempt_reports(
        self,
        ids: JobIds = (),
        *,
        phones: Phones = (),
        chunk_rows: int = JobsSettings().chunk_rows,
        concurrency: int = JobsSettings().concurrency,
        on_event: Callable[[Event], object] | None = None,
    ) -> JobStream[AttemptReport]:
        """Every call attempt of any number of call jobs (C-M-7); otherwise as `stream_job_reports`."""
        return self._about_jobs(
            ids,
            phones,
            JobsSettings(chunk_rows=chunk_rows, concurrency=concurrency),
            on_event,
            endpoints.attempt_report,
            endpoints.read_attempt_reports,
        )

    def cancel_all(
        self,
        ids: JobIds = (),
        *,
        phones: Phones = (),
        chunk_rows: int = JobsSettings().chunk_rows,
        concurrency: int = JobsSettings().concurrency,
        on_event: Callable[[Event], object] | None = None,
    ) -> JobStream[str]:
        """Cancels any number of call jobs, and gives the IDs of the canceled ones (C-M-5, C-CAN-1). Nothing is
        canceled but by iterating it. Otherwise as `stream_job_reports`."""
        return self._about_jobs(
            ids,
            phones,
            JobsSettings(chunk_rows=chunk_rows, concurrency=concurrency),
            on_event,
            endpoints.cancel,
            endpoints.read_ids,
        )

    def _about_jobs(
        self,
        ids: JobIds,
        phones: Phones,
        settings: JobsSettings,
        on_event: Callable[[Event], object] | None,
        request: Callable[[str, Sequence[str], Sequence[str], str], Request],
        read: Callable[[Response], list[Answer]],
    ) -> JobStream[Answer]:
        work = Asking(
            ids,
            phones,
            settings,
            self._connection.for_upload(),
            request=partial(request, self._token),
            read=read,
            tell=Teller(on_event, self._connection.telemetry.event),
        )
        return JobStream(work)

    def watch(self, *, interval_seconds: float = WATCH_SECONDS) -> AsyncGenerator[CampaignInfo, None]:
        """The campaign as it is now, and again whenever it has changed, until it is finished or deleted (C-CAM-3).
        It is asked every `interval_seconds`; a server that is out for a while is waited for as in an upload.

        Raises `ConfigurationError` at once, and while it is iterated what single calls raise.
        """
        given: object = interval_seconds
        if not isinstance(given, int | float) or not given > 0:
            raise ConfigurationError(f"interval_seconds must be greater than 0, not {interval_seconds!r}")
        return self._watch(interval_seconds)

    async def _watch(self, interval_seconds: float) -> AsyncGenerator[CampaignInfo, None]:
        caller, last = self._connection.patient(), None
        while True:
            info = await caller.call(endpoints.info(self._token), endpoints.read_campaign_info)
            if info.status is None:  # C-REP-4: a missing field is no error
                status = await caller.call(endpoints.status(self._token), endpoints.read_campaign_status)
                info = attrs.evolve(info, status=status)
            if info != last:
                yield info
                last = info
            if info.status in (CampaignStatus.FINISHED, CampaignStatus.DELETED):
                return
            await self._connection.clock.sleep(interval_seconds)

    def batcher(
        self,
        *,
        linger_seconds: float = BatcherSettings().linger_seconds,
        chunk_rows: int = UploadSettings().chunk_rows,
        chunk_bytes: int = UploadSettings().chunk_bytes,
        concurrency: int = UploadSettings().concurrency,
        rate: float | None = None,
        buffer_rows: int = BatcherSettings().buffer_rows,
        drain_seconds: float = BatcherSettings().drain_seconds,
        journal: str | Path | None = None,
        durability: Durability | str = Durability.POWER,
        keep_seconds: float = BatcherSettings().keep_seconds,
        max_outage_seconds: float | None = None,
        max_refusals: int | None = None,
        verify: bool = UploadSettings().verify,
        region: str | None = None,
        exclude: Sequence[str | Path] = (),
        on_receipt: OnReceipt | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> Batcher:
        """Gathers contacts that tasks add one at a time into chunks, and gives each its outcome; see `Batcher`.

        A chunk is sent when it is full, or when its oldest contact has waited `linger_seconds`. With a `journal`,
        contacts can be `put`: kept on disk, and sent, if need be by the next process. `on_receipt`, a function or a
        coroutine function, gets the receipt of each chunk, and is waited for; with a journal, a receipt comes
        again in the next process where this one died before it returned, and when its unknown rows are settled.
        The other settings are those of `BatcherSettings` and `upload`, but that a batcher waits for a server that is
        out as long as it takes (`max_outage_seconds`), with a journal also for one that has never answered, and does
        not mind refusals (`max_refusals`), unless it is told otherwise.

        Raises `ConfigurationError` at once, and `JournalError` and `SourceError` when it is entered.
        """
        own = BatcherSettings(
            linger_seconds=linger_seconds,
            buffer_rows=buffer_rows,
            drain_seconds=drain_seconds,
            keep_seconds=keep_seconds,
        )
        settings = UploadSettings(
            chunk_rows=chunk_rows,
            chunk_bytes=chunk_bytes,
            concurrency=concurrency,
            rate=rate,
            max_outage_seconds=math.inf if max_outage_seconds is None else max_outage_seconds,
            max_refusals=max_refusals,
            verify=verify,
        )
        check_region(region)
        caller, clock = self._connection.for_upload(), self._connection.clock
        caller.server_answered = journal is not None  # what was put waits for it, however long it takes
        inbox = Inbox(chunk_rows=chunk_rows, linger_seconds=linger_seconds, buffer_rows=buffer_rows, clock=clock)
        upload = Upload(
            inbox,
            settings,
            caller,
            token=self._token,
            host=self._connection.base_url,
            journal=_journal_settings(journal, durability, purpose=Purpose.BATCHER),
            screening=Screening(exclude=_paths(exclude), region=region),
            on_event=on_event,
            context=Context(),  # whoever opens the batcher is not who adds to it
        )
        inbox.chunk_rows = upload.chunk_rows
        return Batcher(upload, inbox, own, clock=clock, region=region, on_receipt=on_receipt)

    async def reconcile(
        self, journal: str | Path, *, resend: bool = False, exclude: Sequence[str | Path] = ()
    ) -> Reconciliation:
        """Settles the unknown rows of a journal: asks the API for their jobs, and adopts those it finds.

        First, what has no answer yet is sent again under its own key, while that is good. With `resend`, rows that
        have no job are sent under new keys; not before `LATE_SECONDS` have passed since they became unknown, for a
        late request might still arrive. Rows that cannot be told apart stay unknown. `exclude` as in `upload`.

        Raises `JournalError` and all that an upload raises.
        """
        return await reconcile(
            JournalSettings(path=Path(journal), purpose=Purpose.SETTLING),
            caller=self._connection.for_upload(),
            token=self._token,
            host=self._connection.base_url,
            resend=resend,
            exclude=_paths(exclude),
        )


_TOKEN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")
_ENCODED_AT_A_TIME = 256
Key = str | UUID | None


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
