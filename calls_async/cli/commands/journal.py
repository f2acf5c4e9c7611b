"""The commands `journal` and `reconcile`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path

import attrs

from calls_async.cli.bad_rows import BadFile, BadRows
from calls_async.cli.connection import make_client, read_token
from calls_async.cli.exit_codes import Exit
from calls_async.cli.output import warn
from calls_async.errors import ConfigurationError, JournalError
from calls_async.transport.http import resolve_host
from calls_async.upload.chunks.chunk import Chunk
from calls_async.upload.journal.overview import (
    all_receipts,
    open_for_reading,
    overview,
    purge,
    set_host,
    unknown_contacts,
)
from calls_async.upload.journal.rejected_rows import gather_rejected
from calls_async.upload.journal.schema import BATCHER
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.outcome import Receipt, Verdict
from calls_async.upload.outcomes.results_file import BYTE_ORDER_MARK, RESULTS_FORMATS, ResultsFile
from calls_async.upload.pipeline.retry import compare_numbers
from calls_async.upload.reconcile import Reconciliation
from calls_async.upload.sources.options import Reading, read_rules
from calls_async.upload.sources.originals import read_originals
from calls_async.upload.status import OutcomeStatus


async def journal(arguments: Namespace) -> Exit:
    return await asyncio.to_thread(ACTIONS[arguments.action], arguments)


async def reconcile(arguments: Namespace) -> Exit:
    token = read_token(arguments)
    async with make_client(arguments) as client:
        found = await client.campaign(token).reconcile(
            arguments.journal, resend=arguments.resend, exclude=arguments.exclude
        )
    print(json.dumps(attrs.asdict(found)) if arguments.json else _words(found))
    return Exit.PARTLY if found.summary is not None and found.summary.unknown else Exit.DONE


def _words(found: Reconciliation) -> str:
    then = "sent again" if found.resent else "not sent again" if found.without_job else "nothing to send"
    left = found.summary.unknown if found.summary is not None else 0
    return (
        f"{found.unknown:,} rows were unknown: {found.adopted:,} have a job, {found.without_job:,} have none "
        f"({then}), {found.unclear:,} cannot be told apart; {left:,} rows are unknown now"
    )


# --- the actions of `journal` ---


def _show(arguments: Namespace) -> Exit:
    store = open_for_reading(Path(arguments.file))
    try:
        seen = overview(store)
    finally:
        store.close()
    if arguments.json:
        print(json.dumps(attrs.asdict(seen)))
        return Exit.DONE
    if seen.kind == BATCHER:
        state = "nothing waits" if seen.finished else "not finished: the next batcher with this journal goes on"
    else:
        state = "finished" if seen.finished else "not finished: the same upload command goes on with it"
    print(f"upload    {seen.upload_id}{' (purged)' if seen.purged else ''}")
    print(f"to        {seen.host}")
    print(f"source    {seen.source}")
    print(f"begun     {_moment(seen.created_at)}")
    print(f"last note {_moment(seen.last_at)}")
    print(f"state     {state}")
    print("chunks    " + (", ".join(f"{count:,} {state}" for state, count in seen.chunks.items()) or "none"))
    print("rows      " + ", ".join(f"{count:,} {status}" for status, count in seen.rows.items()))
    if seen.queued_rows:
        print(f"queued    {_rows(seen.queued_rows)} that wait for their chunk")
    if seen.pending_rows:
        print(f"pending   {_rows(seen.pending_rows)} without an answer")
    if seen.resume_before is not None:
        print(f"resume    before {_moment(seen.resume_before)}, when the first idempotence key gets too old")
    if seen.rows[OutcomeStatus.UNKNOWN]:
        print("unknown   calls-async reconcile FILE asks the API for them")
    return Exit.DONE


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _results(arguments: Namespace) -> Exit:
    header, write = RESULTS_FORMATS[f".{arguments.format}"]
    status = OutcomeStatus(arguments.status) if arguments.status else None

    def receipts(store: Store) -> Iterator[Receipt]:
        for receipt in all_receipts(store):
            yield receipt if status is None else receipt.only(status)

    def lines(store: Store) -> Iterator[bytes]:
        yield (BYTE_ORDER_MARK if arguments.excel and arguments.format == "csv" else b"") + header
        yield from map(write, receipts(store))

    if arguments.output is None:
        return _print_all(arguments, lines)
    file = ResultsFile(arguments.output, arguments.file, excel=arguments.excel)
    with closing(open_for_reading(Path(arguments.file))) as store:
        file.write_all(receipts(store))
    return Exit.DONE


def _export_unknown(arguments: Namespace) -> Exit:
    return _print_all(arguments, unknown_contacts)


def _export_rejected(arguments: Namespace) -> Exit:
    """Write the rejected rows as they stand in the list, which is read once more."""
    rows = BadRows([OutcomeStatus.REJECTED])
    with closing(open_for_reading(Path(arguments.file))) as store:
        upload, past, pending = store.upload.record(), store.chunks.past(), store.chunks.pending()
        last_row = max((one.last_row for one in past), default=0)
        known = gather_rejected(all_receipts(store), pending, rows=last_row, generation=0)
        for receipt in chain(all_receipts(store), map(_receipt_of_unsent, pending)):
            rows.note(receipt)
    if upload.source_options is None or not upload.from_file:
        raise JournalError(arguments.file, "does not know of a file in which its rows stand as they were given")
    source = Path(arguments.source or upload.source)
    reading = attrs.evolve(Reading.from_json(upload.source_options), encoding=upload.encoding)
    # By numbers: a workbook that is saved again, or a list whose rejected rows were corrected, has other bytes.
    compare_numbers(source, attrs.evolve(reading, rules=read_rules(upload.source_options)), arguments.file, known)
    file = BadFile(arguments.output, excel=arguments.excel, others=[str(source), arguments.file])
    with closing(rows):
        count = rows.write(file, partial(read_originals, source, reading, rows))
    if arguments.output is not None:
        warn(f"{arguments.output}: {count:,} rows")
    return Exit.DONE


def _receipt_of_unsent(chunk: Chunk) -> Receipt:
    """Return what is known of a chunk without an answer."""
    return attrs.evolve(Receipt.of(chunk, Verdict.none()), rows=[], phones=[])


def _print_all(arguments: Namespace, lines: Callable[[Store], Iterator[bytes]]) -> Exit:
    store = open_for_reading(Path(arguments.file))
    try:
        for line in lines(store):
            sys.stdout.buffer.write(line)
    finally:
        store.close()
    sys.stdout.flush()
    return Exit.DONE


def _purge(arguments: Namespace) -> Exit:
    purge(Path(arguments.file), time.time(), with_unknown=arguments.with_unknown)
    warn(f"{arguments.file} holds no phone and no payload any more")
    return Exit.DONE


def _set_host(arguments: Namespace) -> Exit:
    if arguments.host is None:
        raise ConfigurationError("journal set-host FILE HOST: name the host that the same system has now")
    host = resolve_host(arguments.host, allow_plain_http=arguments.plain_http)
    set_host(Path(arguments.file), host)
    warn(f"{arguments.file} is of {host} now")
    return Exit.DONE


def _moment(at: float | None) -> str:
    return "never" if at is None else datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="seconds")


ACTIONS: dict[str, Callable[[Namespace], Exit]] = {
    "show": _show,
    "results": _results,
    "export-unknown": _export_unknown,
    "export-rejected": _export_rejected,
    "purge": _purge,
    "set-host": _set_host,
}
