"""Questions to the person at the terminal; where nobody sits there, none is asked."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import closing
from pathlib import Path

from calls_async.cli.output import warn
from calls_async.errors import CallsError, ConfigurationError
from calls_async.upload.journal.overview import open_for_reading, read_called
from calls_async.upload.journal.settings import JournalSettings
from calls_async.upload.rows.number_set import NumberSet

_YES = ("y", "yes")


def may_ask(arguments: Namespace) -> bool:
    """Return whether somebody sits there who can answer."""
    if arguments.json or arguments.quiet or arguments.source == "-" or sys.stdin is None:
        return False
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(words: str) -> None:
    """Ask whether to upload all the same. Raises `ConfigurationError` where the answer is not yes."""
    print(f"calls-async: {words}. Upload it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in _YES:
        raise ConfigurationError("not uploaded; nobody was called")


def confirm_again(arguments: Namespace, journal: JournalSettings | None) -> None:
    """Say how many people a second upload calls again, and ask. Raises `ConfigurationError` where the answer is not
    yes."""
    if not arguments.again or journal is None or journal.rehearsal or not journal.path.is_file():
        return
    count = _count_called(journal.path)
    if not count:
        return
    words = f"{count:,} people have a job by the upload of before, and may be called again"
    if may_ask(arguments) and not arguments.yes:
        ask(words)
    else:
        warn(words)


def _count_called(journal: Path) -> int:
    try:
        with closing(open_for_reading(journal)) as store:
            if not store.finished():
                return 0  # it goes on
        return len(NumberSet(map(int, read_called(journal))))
    except CallsError:
        return 0  # purged, or nothing that this upload could go on with: it says so itself
