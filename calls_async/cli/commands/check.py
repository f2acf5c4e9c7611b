"""The command `check`: all that an upload does, but for sending."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import attrs

from calls_async.cli.bad_rows import BadRows
from calls_async.cli.countries import CountryCounts
from calls_async.cli.exit_codes import Exit, choose_summary_exit
from calls_async.cli.options import (
    open_bad,
    open_results,
    read_number_rules,
    read_reading,
    read_settings,
    read_source,
    write_bad,
)
from calls_async.cli.output import warn
from calls_async.cli.problems import BAD, ProblemTable, show_cell
from calls_async.cli.progress import Snapshot
from calls_async.cli.summary import Notes, note_receipts, print_summary, show_progress
from calls_async.upload.check import Check
from calls_async.upload.options import find_called, read_unique
from calls_async.upload.outcomes.outcome import Receipt
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.screening.screening import Screening
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from calls_async.upload.status import OutcomeStatus


async def check(arguments: Namespace) -> Exit:
    results = open_results(arguments, None)
    one = make_check(arguments, on_hint=warn)
    bad = open_bad(arguments, None)
    notes = Notes(ProblemTable((*BAD, OutcomeStatus.DUPLICATE)), bad=BadRows() if bad is not None else None)
    started = time.monotonic()

    def look() -> Snapshot:
        rows, seconds = one.summary.rows, time.monotonic() - started
        return Snapshot(rows=rows, seconds=seconds, fraction=one.fraction_read())

    async with show_progress(arguments, results, look), aclosing(one.receipts()) as receipts:
        async for receipt in receipts:
            await note_receipts([receipt], notes, results)
            if arguments.each:
                _print_bad_rows(receipt)
    if results is not None:
        await results.finish()
    one.summary.note_time(time.monotonic() - started)
    write_bad(arguments, notes.bad, bad)
    print_summary(arguments, one.summary, notes)
    return choose_summary_exit(one.summary)


def make_check(arguments: Namespace, *, on_hint: Callable[[str], None] | None) -> Check:
    """Make the check of a list, as the arguments want it read."""
    rules = NumberRules(**read_number_rules(arguments))
    reading = attrs.evolve(Reading(**read_reading(arguments), rules=rules), on_hint=on_hint)
    # Repetitions are always shown: what the server does with them is its own affair.
    screening = Screening(
        exclude=[Path(file) for file in arguments.exclude],
        called=find_called(arguments.not_in),
        dedupe=True,
        unique=read_unique(arguments.unique),
        rules=rules,
    )
    return Check(open_source(read_source(arguments), reading), UploadSettings(**read_settings(arguments)), screening)


async def tell_beforehand(arguments: Namespace) -> None:
    """Read a list before it is sent, and say how many people of which countries it has."""
    one, countries = make_check(arguments, on_hint=None), CountryCounts()
    async with aclosing(one.receipts()) as receipts:
        async for receipt in receipts:
            countries.note(receipt)
    fit = f"{one.summary.rows:,} rows, {one.summary.rows - one.summary.rejected:,} of them to be sent"
    warn("; ".join([f"{arguments.source}: {fit}", *countries.lines()]))


def _print_bad_rows(receipt: Receipt) -> None:
    for outcome in receipt.outcomes():
        if outcome.status is OutcomeStatus.REJECTED or outcome.status is OutcomeStatus.DUPLICATE:
            cell = show_cell(outcome.phone or "", plain=sys.stdout.isatty())
            print(f"row {outcome.row}: {outcome.error}{f' ({cell})' if cell else ''}")
