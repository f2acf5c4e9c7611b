"""`report`, `attempts` and `cancel`: call jobs of any number."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from calls_async.cli.exits import Exit
from calls_async.cli.output import silence_output, warn
from calls_async.cli.progress import Snapshot, choose_display, shown
from calls_async.cli.records import Record, Records
from calls_async.cli.server import client_of, token_of
from calls_async.client import Campaign
from calls_async.errors import ConfigurationError
from calls_async.protocol.reports import AttemptReport, JobReport, field_names, to_dict
from calls_async.upload.jobs import JobStream

Answer = TypeVar("Answer")

NUMBERS: Mapping[str, type] = {
    "attemptsCount": int,
    "callDuration": float,
    "createdAt": int,
    "finishedAt": int,
    "startedAt": int,
}
"""The columns of reports that are numbers; all others are text."""
JOB_ID = "callJobId"


async def report(arguments: Namespace) -> Exit:
    return await _write_all(arguments, Campaign.stream_job_reports, to_dict, _columns(JobReport))


async def attempts(arguments: Namespace) -> Exit:
    return await _write_all(arguments, Campaign.stream_attempt_reports, to_dict, _columns(AttemptReport))


async def cancel(arguments: Namespace) -> Exit:
    """All are canceled even where nobody reads the answers any more."""
    canceled = 0

    def note(job_id: str) -> Record:
        nonlocal canceled
        canceled += 1
        return {JOB_ID: job_id}

    try:
        return await _write_all(arguments, Campaign.cancel_all, note, {JOB_ID: str}, bare=JOB_ID, whole=True)
    finally:
        warn(f"canceled {canceled:,} call jobs")


def _columns(kind: type[Any]) -> dict[str, type]:
    return {name: NUMBERS.get(name, str) for name in field_names(kind)}


async def _write_all(
    arguments: Namespace,
    ask: Callable[..., JobStream[Answer]],
    to_record: Callable[[Answer], Record],
    columns: Mapping[str, type],
    *,
    bare: str = "",
    whole: bool = False,
) -> Exit:
    if not (arguments.id or arguments.phone or arguments.from_results):
        raise ConfigurationError("name the call jobs: --id, --phone or --from-results FILE")
    records = Records(columns, path=arguments.output, form=arguments.format, bare=bare)
    token = token_of(arguments)
    answered, asked, listening = 0, 0, True
    started = time.monotonic()

    def look() -> Snapshot:
        return Snapshot(rows=answered, seconds=time.monotonic() - started, fraction=None)

    quiet = arguments.quiet or (arguments.output is None and sys.stdout.isatty())
    async with client_of(arguments) as client, shown(choose_display(quiet=quiet), look):
        campaign = client.campaign(token)
        try:
            for stream in _streams(arguments, campaign, ask):
                async with aclosing(stream.batches()) as batches:
                    async for batch in batches:
                        answered += len(batch)
                        some = list(map(to_record, batch))
                        try:
                            if listening:
                                await records.add(some)
                        except BrokenPipeError:
                            if not whole:
                                raise
                            listening = False
                            silence_output()
                asked += stream.asked
            await records.finish()
        finally:
            await records.close()
    if not asked:
        raise ConfigurationError(f"{arguments.from_results} names no call job: no row of it was accepted")
    return Exit.DONE


def _streams(
    arguments: Namespace, campaign: Campaign, ask: Callable[..., JobStream[Answer]]
) -> Iterator[JobStream[Answer]]:
    settings = {} if arguments.concurrency is None else {"concurrency": arguments.concurrency}
    if arguments.id or arguments.phone:
        yield ask(campaign, arguments.id, phones=arguments.phone, **settings)
    if arguments.from_results:
        yield ask(campaign, arguments.from_results, **settings)
