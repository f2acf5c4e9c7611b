"""The command `upload`."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from contextlib import aclosing

from calls_async.cli.bad_rows import BadRows
from calls_async.cli.commands.check import tell_beforehand
from calls_async.cli.embedded_sandbox import open_campaign
from calls_async.cli.exit_codes import Exit, choose_summary_exit
from calls_async.cli.options import (
    open_bad,
    open_results,
    read_journal,
    read_number_rules,
    read_reading,
    read_settings,
    read_source,
    write_bad,
)
from calls_async.cli.output import warn
from calls_async.cli.progress import Snapshot, Traffic
from calls_async.cli.questions import confirm_again, may_ask
from calls_async.cli.signals import SignalHandler
from calls_async.cli.summary import Notes, note_receipts, print_summary, show_progress
from calls_async.cli.upload_index import check_index
from calls_async.errors import CallsError, JournalRefusedError
from calls_async.upload.journal.settings import JournalSettings
from calls_async.upload.outcomes.results_file import ResultsFile
from calls_async.upload.upload import Upload


async def upload(arguments: Namespace) -> Exit:
    journal = read_journal(arguments)
    results = open_results(arguments, journal)
    bad = open_bad(arguments, journal)
    notes = Notes(bad=BadRows() if bad is not None else None)
    async with open_campaign(arguments) as campaign:
        one = campaign.upload(
            read_source(arguments),
            journal=journal,
            exclude=arguments.exclude,
            not_in=arguments.not_in,
            dedupe=arguments.dedupe,
            unique=arguments.unique,
            **read_reading(arguments),
            **read_number_rules(arguments),
            **read_settings(arguments),
        )
        if may_ask(arguments) and (journal is None or not journal.path.exists()):
            await tell_beforehand(arguments)
        confirm_again(arguments, journal)
        forget = check_index(arguments, one.owner, journal)
        with SignalHandler(one) as signals:
            try:
                await _run(one, arguments, results, notes)
            except CallsError as error:
                if one.summary.rows:
                    print_summary(arguments, one.summary, notes)
                    warn("failed" if isinstance(error, JournalRefusedError) else f"failed; {_how_to_resume(journal)}")
                raise
            except asyncio.CancelledError:
                if not signals.cancelled:
                    raise
            finally:
                if not one.summary.requests:
                    forget()
            signals.end()
            await note_receipts([*one.unread, *one.in_doubt], notes, results)
            if results is not None:
                await results.finish()
            write_bad(arguments, notes.bad, bad)
            print_summary(arguments, one.summary, notes)
    if signals.count and not one.complete:
        warn(f"interrupted; {_how_to_resume(journal)}")
        return Exit.INTERRUPTED
    if not one.summary.rows:
        warn("the source has no rows")
    return choose_summary_exit(one.summary)


async def _run(one: Upload, arguments: Namespace, results: ResultsFile | None, notes: Notes) -> None:
    async with show_progress(arguments, results, lambda: _look(one)), one, aclosing(one.batches()) as batches:
        async for receipts in batches:
            await note_receipts(receipts, notes, results)


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
