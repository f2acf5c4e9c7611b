"""`upload` and `check`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from calls_async.cli.exits import Exit, exit_of_summary
from calls_async.cli.faults import faults_of
from calls_async.cli.output import warn
from calls_async.cli.progress import Snapshot, Traffic, choose_display, shown, spell_seconds
from calls_async.cli.results import ResultsFile
from calls_async.cli.server import client_of, token_of
from calls_async.cli.troubles import Troubles
from calls_async.client import CallsClient, Campaign
from calls_async.errors import CallsError, ConfigurationError
from calls_async.sandbox import Sandbox
from calls_async.upload.check import Check
from calls_async.upload.files import Reading
from calls_async.upload.journal import Durability, JournalSettings
from calls_async.upload.outcomes import Receipt, Summary
from calls_async.upload.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources import open_source
from calls_async.upload.status import OutcomeStatus
from calls_async.upload.uploader import Upload

JOURNAL_SUFFIX = ".journal"
"""What a source's name ends with to name its journal."""
DRAIN_SECONDS = 30.0
"""How long SIGTERM lets what is in flight finish."""


async def upload(arguments: Namespace) -> Exit:
    journal = _journal_of(arguments)
    results = _results_of(arguments, journal)
    troubles = Troubles()
    async with _campaign_of(arguments) as campaign:
        one = campaign.upload(
            _source_of(arguments),
            journal=journal,
            exclude=arguments.exclude,
            dedupe=arguments.dedupe,
            **_reading(arguments),
            **_settings(arguments),
        )
        with _signals(one) as signals:
            try:
                await _run(one, arguments, results, troubles)
            except CallsError:
                if one.summary.rows:
                    _print_summary(arguments, one.summary, troubles)
                    warn(f"failed; {_how_to_resume(journal)}")
                raise
            except asyncio.CancelledError:
                if not signals.cancelled:
                    raise
            signals.over = True
            await _note(one.in_doubt, troubles, results)
            if results is not None:
                await results.finish()
            _print_summary(arguments, one.summary, troubles)
    if signals.count and not one.complete:
        warn(f"interrupted; {_how_to_resume(journal)}")
        return Exit.INTERRUPTED
    if not one.summary.rows:
        warn("the source has no rows")
    return exit_of_summary(one.summary)


async def _run(one: Upload, arguments: Namespace, results: ResultsFile | None, troubles: Troubles) -> None:
    async with _reported(arguments, results, lambda: _look(one)), one, aclosing(one.batches()) as batches:
        async for receipts in batches:
            await _note(receipts, troubles, results)


def _how_to_resume(journal: JournalSettings | None) -> str:
    if journal is not None:
        return "run the same command again to go on where it stopped"
    return (
        "without a journal it cannot be resumed. What was in flight is unknown, what was not read has not been sent"
    )


async def _note(receipts: Sequence[Receipt], troubles: Troubles, results: ResultsFile | None) -> None:
    for receipt in receipts:
        troubles.note(receipt)
    if results is not None and receipts:
        await results.add(receipts)


async def check(arguments: Namespace) -> Exit:
    results = _results_of(arguments, None)
    source = open_source(_source_of(arguments), Reading(**_reading(arguments)))
    # Repetitions are always shown: what the server does with them is its own affair.
    screening = Screening(exclude=[Path(file) for file in arguments.exclude], dedupe=True, region=arguments.region)
    one = Check(source, UploadSettings(**_settings(arguments)), screening)
    troubles = Troubles()
    started = time.monotonic()

    def look() -> Snapshot:
        rows, seconds = one.summary.rows, time.monotonic() - started
        return Snapshot(rows=rows, seconds=seconds, fraction=one.fraction_read())

    async with _reported(arguments, results, look), aclosing(one.receipts()) as receipts:
        async for receipt in receipts:
            await _note([receipt], troubles, results)
            if not arguments.json and not arguments.quiet:
                _print_bad_rows(receipt)
    if results is not None:
        await results.finish()
    one.summary.seconds = time.monotonic() - started
    _print_summary(arguments, one.summary, troubles)
    return exit_of_summary(one.summary)


# --- from the arguments ---


@asynccontextmanager
async def _campaign_of(arguments: Namespace) -> AsyncIterator[Campaign]:
    if arguments.fault and not arguments.sandbox:
        raise ConfigurationError("--fault goes with --sandbox")
    if not arguments.sandbox:
        token = token_of(arguments)
        async with client_of(arguments) as client:
            yield client.campaign(token)
        return
    async with Sandbox(faults=faults_of(arguments)) as sandbox, CallsClient(sandbox.url) as client:
        yield client.campaign(sandbox.token)


def _results_of(arguments: Namespace, journal: JournalSettings | None) -> ResultsFile | None:
    if not arguments.results:
        return None
    return ResultsFile(arguments.results, arguments.source, str(journal.path) if journal is not None else None)


def _source_of(arguments: Namespace) -> str | BinaryIO:
    if arguments.source != "-":
        return str(arguments.source)
    if arguments.format is None:
        raise ConfigurationError("standard input has no name to tell the format by; give --format")
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed")
    return sys.stdin.buffer


def _journal_of(arguments: Namespace) -> JournalSettings | None:
    if arguments.no_journal:
        if arguments.journal or arguments.again:
            raise ConfigurationError("--no-journal goes with neither --journal nor --again")
        return None
    if arguments.journal is None and arguments.source == "-":
        warn("standard input has no name, so there is no journal; --journal FILE keeps one")
        return None
    return JournalSettings(
        path=Path(arguments.journal or arguments.source + JOURNAL_SUFFIX),
        durability=Durability(arguments.durability),
        again=arguments.again,
        rehearsal=arguments.sandbox,
    )


def _reading(arguments: Namespace) -> dict[str, Any]:
    names = ("format", "region", "delimiter", "encoding")
    return {name: getattr(arguments, name) for name in names} | {"columns": dict(arguments.column), "on_hint": warn}


def _settings(arguments: Namespace) -> dict[str, Any]:
    names = [field.name for field in attrs.fields(UploadSettings)]
    given = {name: getattr(arguments, name, None) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    if settings.get("max_refusals") == 0:
        settings["max_refusals"] = None  # never
    return settings


# --- while it runs ---


@asynccontextmanager
async def _reported(
    arguments: Namespace, results: ResultsFile | None, look: Callable[[], Snapshot]
) -> AsyncIterator[None]:
    """The results file is open and the progress is shown."""
    async with AsyncExitStack() as stack:
        if results is not None:
            stack.push_async_callback(results.close)
        await stack.enter_async_context(shown(choose_display(quiet=arguments.quiet), look))
        yield


def _look(one: Upload) -> Snapshot:
    pace = one.pace
    return Snapshot(
        rows=one.summary.rows,
        seconds=one.seconds,
        fraction=one.fraction_read(),
        traffic=Traffic(
            in_flight=pace.in_flight,
            window=pace.window,
            slowed=pace.slowed,
            hold_seconds=pace.hold_seconds,
            out_seconds=pace.out_now_seconds,
            retries=one.summary.retries,
            waiting=one.waiting,
            trouble=one.last_retry.reason if one.last_retry is not None else None,
        ),
    )


@attrs.define
class _Signals:
    """The signals that came while an upload was running."""

    count: int = 0
    cancelled: bool = False
    over: bool = False
    """The upload has ended; there is nothing left to stop."""


@contextmanager
def _signals(one: Upload) -> Iterator[_Signals]:
    """Ctrl-C once: stop reading, let what is in flight finish. Twice: stop at once. SIGTERM: the same, by itself."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    seen = _Signals()
    timers: list[asyncio.TimerHandle] = []

    def interrupt() -> None:
        seen.count += 1
        if seen.over or task is None:
            return
        if seen.count == 1:
            warn("stopping: what is in flight finishes, and is not tried again; Ctrl-C again stops at once")
            one.stop(try_again=False)
        else:
            seen.cancelled = True
            task.cancel()

    def terminate() -> None:
        interrupt()
        timers.append(loop.call_later(DRAIN_SECONDS, interrupt))

    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        yield seen
    finally:
        for timer in timers:
            timer.cancel()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)
            if seen.count:
                signal.signal(signum, signal.SIG_IGN)  # it is ending already


# --- in the end ---


def _print_bad_rows(receipt: Receipt) -> None:
    for outcome in receipt.outcomes():
        if outcome.status is OutcomeStatus.REJECTED or outcome.status is OutcomeStatus.DUPLICATE:
            print(f"row {outcome.row}: {outcome.error}")


def _print_summary(arguments: Namespace, summary: Summary, troubles: Troubles) -> None:
    if arguments.command == "upload":
        for line in troubles.lines():
            print(line, file=sys.stderr)
    if arguments.json:
        print(json.dumps(attrs.asdict(summary) | {"seconds": round(summary.seconds, 3)}))
        return
    fit = "fit to be sent" if arguments.command == "check" else "accepted"
    print(
        f"{summary.rows:,} rows: {summary.accepted:,} {fit}, {summary.duplicates:,} duplicates, "
        f"{summary.rejected:,} rejected, {summary.unknown:,} unknown; {summary.requests:,} requests, "
        f"{summary.retries:,} retries, {spell_seconds(summary.seconds)}"
    )
