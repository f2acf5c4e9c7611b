"""What callers say of an upload or a batcher, as keyword arguments; and the frozen settings that come of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import attrs

from calls_async.errors import ConfigurationError
from calls_async.events import Event, EventDispatcher
from calls_async.protocol.token import AnyToken
from calls_async.transport.connection import Connection
from calls_async.upload.assembly import OpenJournal, UploadRequest
from calls_async.upload.batcher.batcher import Batcher, ContactRules
from calls_async.upload.batcher.deliveries import Deliveries, OnReceipt
from calls_async.upload.batcher.inbox import Inbox, InboxSettings
from calls_async.upload.journal.overview import read_called
from calls_async.upload.journal.settings import Durability, JournalOwner, JournalSettings, Purpose, read_settings
from calls_async.upload.rows.numbers import NumberRules, Numbers
from calls_async.upload.screening.exclusions import to_paths
from calls_async.upload.screening.screening import CalledBefore, Screening
from calls_async.upload.settings import BatcherSettings, UploadSettings
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from calls_async.upload.sources.source import SourceLike
from calls_async.upload.upload import Upload

Settings = TypeVar("Settings")


class SendingOptions(TypedDict, total=False):
    """What uploads and batchers take alike; see `UploadSettings` for units and defaults."""

    chunk_rows: int
    chunk_bytes: int
    concurrency: int
    rate: float | None
    max_outage_seconds: float
    """Of a batcher: as long as it takes, unless it is given."""
    max_refusals: int | None
    """Of a batcher: any number, unless it is given."""
    verify: bool
    durability: Durability | str
    """What the journal survives: `power` (a power cut, the default), or `process` (the death of the process)."""
    region: str | None
    """Where national numbers are from, such as `US`: they are completed."""
    numbers: Numbers | str
    """How numbers are checked: `checked` (country code and length, the default), `unambiguous` (what can be read in
    two ways is rejected, too), `strict` (also by the country's numbering plan), `any` (not at all)."""
    international: bool
    """Take numbers that could be national ones as they stand."""
    first_number: bool
    """Take the first of several numbers in one place, instead of rejecting the row."""
    only_regions: Iterable[str]
    """Reject numbers of other regions."""
    exclude: Sequence[str | Path]
    """Files of numbers that must not be called: their rows are rejected."""
    on_event: Callable[[Event], object] | None
    """Is told what happens (see `Event`), on the event loop; whatever it raises is logged, and the work goes on."""


class UploadOptions(SendingOptions, total=False):
    """The keyword arguments of `Campaign.upload`."""

    journal: str | Path | JournalSettings | OpenJournal | None
    """A file in which everything is written down before it is sent, so that the same upload can be begun again after
    any death and goes on; None: there is none."""
    again: bool
    """Begin a new upload where a finished journal stands: everybody is called a second time."""
    retry_rejected: bool
    """Send the rejected rows of a journal's list again, under new keys; the list may be corrected at these rows."""
    trust_journal: bool
    format: str | None
    """`csv`, `jsonl`, `parquet` or `xlsx`; None: by the file's ending."""
    columns: Mapping[str, str]
    """Columns of another name: the name in the file and the field that it means."""
    delimiter: str | None
    encoding: str | None
    sheet: str | int | None
    """Which sheet of a workbook is read, by its name or its number from 1; None: the first that is not hidden."""
    header_row: int | None
    """In which line of a CSV file, or row of a sheet, the header is; None: in the first that is not blank."""
    skip_hidden: bool
    """Leave out the hidden rows of a sheet."""
    multiline: bool
    """Quoted cells of a CSV file are meant to hold lines that look like its rows; else such lines are rejected."""
    linger_seconds: float
    dedupe: bool
    """Do not send a row that says the same as an earlier one: it is a duplicate."""
    unique: str | None
    """`phone`: send one row a number; further ones are duplicates."""
    not_in: Sequence[str | Path]
    """Journals of other uploads: who has a job by them, or may have one, is a duplicate and gets no second one."""
    on_hint: Callable[[str], None] | None
    """Is told of column names that look like mistakes, and how many numbers are excluded."""


class BatcherOptions(SendingOptions, total=False):
    """The keyword arguments of `Campaign.batcher`; see `BatcherSettings` for units and defaults."""

    linger_seconds: float
    buffer_rows: int
    drain_seconds: float
    keep_seconds: float
    journal: str | Path | None
    """With one, contacts can be `put`: kept on disk, and sent, if need be by the next process."""
    on_receipt: OnReceipt | None
    """A function or a coroutine function that gets the receipt of each chunk, and is waited for; with a journal, a
    receipt comes again in the next process where this one died before it returned, and when its unknown rows are
    settled."""


def make_upload(connection: Connection, token: AnyToken, source: SourceLike | None, options: UploadOptions) -> Upload:
    """Make an upload of what its caller says. Raises `ConfigurationError`, and `TypeError` for an unknown option."""
    _check_names("upload", options, UploadOptions)
    rules, on_hint = _pick(options, NumberRules), options.get("on_hint")
    journal = options.get("journal")
    if source is None and options.get("retry_rejected"):
        raise ConfigurationError("retry_rejected reads the list again; give it")
    if not callable(journal):
        durability = options.get("durability", Durability.POWER)
        again, retry_rejected = options.get("again", False), options.get("retry_rejected", False)
        journal = read_settings(journal, durability, again=again, retry_rejected=retry_rejected)
    request = UploadRequest(
        source=open_source(source, attrs.evolve(_pick(options, Reading), rules=rules)),
        settings=_pick(options, UploadSettings),
        owner=JournalOwner(token=token, host=connection.base_url),
        journal=journal,
        screening=Screening(
            exclude=to_paths(options.get("exclude", ())),
            called=find_called(options.get("not_in", ())),
            dedupe=options.get("dedupe", False),
            unique=read_unique(options.get("unique")),
            rules=rules,
            on_hint=on_hint,
        ),
        events=EventDispatcher(options.get("on_event"), connection.telemetry.event),
    )
    return Upload(request, connection)


def find_called(journals: Sequence[str | Path]) -> list[CalledBefore]:
    """Return how the numbers of these journals are read. Raises `ConfigurationError`."""
    return [CalledBefore(str(path), partial(read_called, path)) for path in to_paths(journals, "not_in")]


def read_unique(field: str | None) -> bool:
    """Return whether each number is sent once. Raises `ConfigurationError`."""
    if field not in (None, "phone"):
        raise ConfigurationError(f"unique takes 'phone', not {field!r}")
    return field is not None


def make_batcher(connection: Connection, token: AnyToken, options: BatcherOptions) -> Batcher:
    """Make a batcher of what its caller says. Raises `ConfigurationError`, and `TypeError` for an unknown option."""
    _check_names("batcher", options, BatcherOptions)
    patience: dict[str, Any] = {"max_outage_seconds": math.inf, "max_refusals": None}
    given = patience | {name: value for name, value in options.items() if value is not None}
    own, settings = _pick(given, BatcherSettings), _pick(given, UploadSettings, without=("linger_seconds",))
    rules = _pick(options, NumberRules)
    deliveries = Deliveries(options.get("on_receipt"))
    inbox_settings = InboxSettings(
        chunk_rows=settings.largest_chunk_rows, linger_seconds=own.linger_seconds, buffer_rows=own.buffer_rows
    )
    inbox = Inbox(inbox_settings, connection.clock)
    journal, durability = options.get("journal"), options.get("durability", Durability.POWER)
    request = UploadRequest(
        source=inbox,
        settings=settings,
        owner=JournalOwner(token=token, host=connection.base_url),
        journal=read_settings(journal, durability, purpose=Purpose.BATCHER),
        screening=Screening(exclude=to_paths(options.get("exclude", ())), rules=rules),
        events=EventDispatcher(options.get("on_event"), connection.telemetry.event),
        server_answered=journal is not None,  # what was put waits for it, however long it takes
    )
    # Whoever opens the batcher is not who adds to it.
    upload = Upload(request, connection, on_answer=deliveries.note, context=Context())
    contact_rules = ContactRules(numbers=rules, chunk_bytes=settings.chunk_bytes)
    return Batcher(upload, inbox, deliveries, own, contact_rules, connection.clock)


def _check_names(method: str, options: Mapping[str, Any], known: type) -> None:
    for name in options:
        if name not in known.__annotations__:
            raise TypeError(f"{method}() got an unexpected keyword argument {name!r}")


def _pick(options: Mapping[str, Any], kind: type[Settings], *, without: Sequence[str] = ()) -> Settings:
    """Make the settings of a kind from those options that are its fields."""
    names = [field.name for field in attrs.fields(kind) if field.init and field.name not in without]  # type: ignore[arg-type]
    return kind(**{name: options[name] for name in names if name in options})
