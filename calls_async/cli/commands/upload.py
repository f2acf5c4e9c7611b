"""`upload` and `check`."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from contextlib import aclosing

from calls_async.cli.embedded_sandbox import _campaign_of
from calls_async.cli.exit_codes import Exit, exit_of_summary
from calls_async.cli.options import _journal_of, _reading, _results_of, _settings, _source_of
from calls_async.cli.output import warn
from calls_async.cli.problems import ProblemTable
from calls_async.cli.progress import Snapshot, Traffic
from calls_async.cli.signals import _signals
from calls_async.cli.summary import _note, _print_summary, _reported
from calls_async.errors import CallsError
from calls_async.upload.journal.settings import JournalSettings
from calls_async.upload.outcomes.results_file import ResultsFile
from calls_async.upload.upload import Upload


async def upload(arguments: Namespace) -> Exit:
    journal = _journal_of(arguments)
    results = _results_of(arguments, journal)
    troubles = ProblemTable()
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


async def _run(one: Upload, arguments: Namespace, results: ResultsFile | None, troubles: ProblemTable) -> None:
    async with _reported(arguments, results, lambda: _look(one)), one, aclosing(one.batches()) as batches:
        async for receipts in batches:
            await _note(receipts, troubles, results)


def _how_to_resume(journal: JournalSettings | None) -> str:
    if journal is not None:
        return "run the same command again to go on where it stopped"
    return (
        "without a journal it cannot be resumed. What was in flight is unknown, what was not read has not been sent"
    )


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
