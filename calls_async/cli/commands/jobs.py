"""`report`, `attempts` and `cancel`: call jobs of any number."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from calls_async.campaign import Campaign
from calls_async.cli.connection import make_client, read_token
from calls_async.cli.exit_codes import Exit
from calls_async.cli.options import read_number_rules
from calls_async.cli.output import silence_output, warn
from calls_async.cli.progress import Snapshot, choose_display, shown
from calls_async.cli.record_files import Record, Records
from calls_async.errors import ConfigurationError, ContactError, JobsRefusedError
from calls_async.jobs.stream import JobStream
from calls_async.protocol.phones import AsGiven
from calls_async.protocol.reports import AttemptReport, JobReport, field_names, to_dict
from calls_async.upload.outcomes.results_file import same_file
from calls_async.upload.rows.numbers import NumberRules

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
SHOWN_NUMBERS = 20


async def report(arguments: Namespace) -> Exit:
    return await _write_all(arguments, Campaign.stream_job_reports, to_dict, _columns(JobReport))


async def attempts(arguments: Namespace) -> Exit:
    return await _write_all(arguments, Campaign.stream_attempt_reports, to_dict, _columns(AttemptReport))


async def cancel(arguments: Namespace) -> Exit:
    """Cancel all jobs, also where nobody reads the answers any more."""
    return await _write_all(
        arguments, Campaign.cancel_all, lambda job_id: {JOB_ID: job_id}, {JOB_ID: str}, bare=JOB_ID, whole=True
    )


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
    _check_names(arguments)
    records = Records(columns, path=arguments.output, form=arguments.format, bare=bare, excel=arguments.excel)
    token = read_token(arguments)
    answered, asked, more, listening = 0, 0, 0, True
    phones, refused = _read_phones(arguments)
    unknown = set(phones)
    started = time.monotonic()

    def look() -> Snapshot:
        return Snapshot(rows=answered, seconds=time.monotonic() - started, fraction=None, noun="records")

    quiet = arguments.quiet or (arguments.output is None and sys.stdout.isatty())
    async with make_client(arguments) as client, shown(choose_display(quiet=quiet), look):
        campaign = client.campaign(token)
        try:
            for stream in _streams(arguments, phones, campaign, ask):
                try:
                    async with stream:
                        async for batch in stream.batches():
                            answered += len(batch)
                            found = list(map(to_record, batch))
                            unknown.difference_update(record.get("phone") for record in found)
                            listening = listening and await _heard(records, found, whole=whole)
                except JobsRefusedError as error:  # the others have yet to be asked
                    refused += error.examples or [str(error)]
                    more += error.refused - len(error.examples)
                finally:
                    asked += stream.asked
            if listening:
                await records.finish()
        finally:
            await records.close()
            if whole or not arguments.quiet:
                warn(_said(arguments.command, answered, asked))
    if unknown and ask is Campaign.stream_job_reports:
        warn(f"no job of {_count(unknown)}: {', '.join(sorted(unknown)[:SHOWN_NUMBERS])}")
    if refused:
        raise JobsRefusedError(len(refused) + more, refused)
    if not asked:
        raise ConfigurationError(f"{arguments.from_results} names no call job: no row of it was accepted")
    return Exit.DONE


def _check_names(arguments: Namespace) -> None:
    if not (arguments.id or arguments.phone or arguments.from_results):
        raise ConfigurationError("name the call jobs: --id, --phone or --from-results FILE")
    if (
        arguments.output
        and arguments.from_results
        and same_file(Path(arguments.output), Path(arguments.from_results))
    ):
        raise ConfigurationError(f"--output {arguments.output}: is the results file itself; name another file")
    if arguments.from_results == "-":
        raise ConfigurationError("--from-results takes a file, not standard input")


def _read_phones(arguments: Namespace) -> tuple[list[str], list[str]]:
    """Return the numbers that are asked for, and why others cannot be."""
    rules = NumberRules(**read_number_rules(arguments))
    phones: list[str] = []
    refused: list[str] = []
    for place, phone in enumerate(arguments.phone, start=1):
        try:
            phones.append(AsGiven(rules.read(phone)))
        except ContactError as error:
            refused.append(f"phones, item {place}: {error.reason}")
    return phones, refused


def _count(numbers: Collection[str]) -> str:
    return "this number" if len(numbers) == 1 else f"{len(numbers):,} of these numbers"


async def _heard(records: Records, some: list[Record], *, whole: bool) -> bool:
    """Return whether anybody still reads what is written."""
    try:
        await records.add(some)
    except BrokenPipeError:
        if not whole:
            raise
        silence_output()
        return False
    return True


def _said(command: str, answered: int, asked: int) -> str:
    of = f"of {asked:,} that were asked for" if asked != 1 else "of one that was asked for"
    if command != "cancel":
        return f"{answered:,} records {of}"
    why = "; the others were over already, or the server does not know them" if answered < asked else ""
    return f"canceled {answered:,} call jobs {of}{why}"


def _streams(
    arguments: Namespace, phones: Sequence[str], campaign: Campaign, ask: Callable[..., JobStream[Answer]]
) -> Iterator[JobStream[Answer]]:
    settings = {} if arguments.concurrency is None else {"concurrency": arguments.concurrency}
    if arguments.id or phones:
        yield ask(campaign, arguments.id, phones=phones, **settings)
    if arguments.from_results:
        yield ask(campaign, arguments.from_results, **settings)
