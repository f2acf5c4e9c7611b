"""What an upload or a check says while it runs, and in the end."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import attrs

from calls_async.cli.bad_rows import BadRows
from calls_async.cli.countries import CountryCounts
from calls_async.cli.problems import ProblemTable
from calls_async.cli.progress import Snapshot, choose_display, shown, spell_seconds
from calls_async.upload.outcomes.outcome import Receipt, Summary
from calls_async.upload.outcomes.results_file import ResultsFile


@attrs.frozen
class Notes:
    """What is told of the rows in the end."""

    problems: ProblemTable = attrs.field(factory=ProblemTable)
    countries: CountryCounts = attrs.field(factory=CountryCounts)
    bad: BadRows | None = None
    """Where the bad rows are to be written to a file."""


async def note_receipts(receipts: Sequence[Receipt], notes: Notes, results: ResultsFile | None) -> None:
    for receipt in receipts:
        notes.problems.note(receipt)
        notes.countries.note(receipt)
        if notes.bad is not None:
            notes.bad.note(receipt)
    if results is not None and receipts:
        await results.add(receipts)


# --- while it runs ---


@asynccontextmanager
async def show_progress(
    arguments: Namespace, results: ResultsFile | None, look: Callable[[], Snapshot]
) -> AsyncIterator[None]:
    """Hold the results file open and show the progress."""
    async with AsyncExitStack() as stack:
        if results is not None:
            stack.push_async_callback(results.close)
        await stack.enter_async_context(shown(choose_display(quiet=arguments.quiet), look))
        yield


def print_summary(arguments: Namespace, summary: Summary, notes: Notes) -> None:
    checked = arguments.command == "check"  # whose answer the table is
    if not checked or not (arguments.json or arguments.quiet):
        countries = () if arguments.quiet else notes.countries.lines()
        output = sys.stdout if checked else sys.stderr
        for line in (*notes.problems.lines(plain=output.isatty()), *countries):
            print(line, file=output)
    if arguments.json:
        figures: dict[str, object] = {"seconds": round(summary.seconds, 3)}
        if checked:
            figures["countries"] = notes.countries.by_region()
        print(json.dumps(attrs.asdict(summary) | figures))
        return
    fit = "fit to be sent" if checked else "accepted"
    print(
        f"{summary.rows:,} rows: {summary.accepted:,} {fit}, {summary.duplicates:,} duplicates, "
        f"{summary.rejected:,} rejected, {summary.unknown:,} unknown; {summary.requests:,} requests, "
        f"{summary.retries:,} retries, {spell_seconds(summary.seconds)}"
    )
