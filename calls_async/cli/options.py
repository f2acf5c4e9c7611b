"""Arguments as the library wants them."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from calls_async.cli.bad_rows import BadFile, BadRows
from calls_async.cli.output import warn
from calls_async.errors import ConfigurationError
from calls_async.upload.journal.settings import Durability, JournalSettings
from calls_async.upload.outcomes.results_file import ResultsFile
from calls_async.upload.rows.numbers import Numbers
from calls_async.upload.settings import UploadSettings
from calls_async.upload.sources.options import Reading
from calls_async.upload.sources.originals import read_originals

JOURNAL_SUFFIX = ".journal"
"""What a source's name ends with to name its journal."""


def open_results(arguments: Namespace, journal: JournalSettings | None) -> ResultsFile | None:
    if not arguments.results:
        return None
    others = [arguments.source, str(journal.path) if journal is not None else None, arguments.bad]
    return ResultsFile(arguments.results, *others, excel=arguments.excel)


def open_bad(arguments: Namespace, journal: JournalSettings | None) -> BadFile | None:
    """Return the file of the bad rows; None where none is wanted. Raises `ConfigurationError`."""
    if not arguments.bad:
        return None
    if arguments.source == "-" or (Path(arguments.source).exists() and not Path(arguments.source).is_file()):
        raise ConfigurationError("--bad reads the list a second time, which a stream does not allow; give a file")
    others = [arguments.source, *([str(journal.path)] if journal is not None else [])]
    return BadFile(arguments.bad, excel=True, others=others)


def write_bad(arguments: Namespace, rows: BadRows | None, file: BadFile | None) -> None:
    """Write the bad rows of the list, where that is wanted."""
    if file is not None and rows is not None:
        reading = Reading(**read_reading(arguments))
        with closing(rows):
            count = rows.write(file, partial(read_originals, Path(arguments.source), reading, rows))
        warn(f"{arguments.bad}: {count:,} rows to correct")


def read_source(arguments: Namespace) -> str | BinaryIO:
    if arguments.source != "-":
        return str(arguments.source)
    if arguments.format is None:
        raise ConfigurationError("standard input has no name to tell the format by; give --format")
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed")
    return sys.stdin.buffer


def read_journal(arguments: Namespace) -> JournalSettings | None:
    if arguments.no_journal:
        if arguments.journal or arguments.again or arguments.retry_rejected:
            raise ConfigurationError("--no-journal goes with neither --journal nor --again nor --retry-rejected")
        return None
    if arguments.journal is None and arguments.source == "-":
        warn("standard input has no name, so there is no journal; --journal FILE keeps one")
        return None
    path = Path(arguments.journal) if arguments.journal else default_journal(arguments.source)
    return JournalSettings(
        path=_name_rehearsal(path) if arguments.sandbox else path,
        durability=Durability(arguments.durability),
        again=arguments.again,
        retry_rejected=arguments.retry_rejected,
        rehearsal=arguments.sandbox,
    )


def default_journal(source: str) -> Path:
    """Return the journal of a source for which none was named: beside the file itself, whatever link leads to it, or
    the same list would be uploaded once for each name. One that stands beside a link, from before, is still found.

    Raises `ConfigurationError` where both are there.
    """
    beside, path = Path(source + JOURNAL_SUFFIX), Path(source)
    if not path.is_symlink():
        return beside
    real = path.resolve()
    real = real.with_name(real.name + JOURNAL_SUFFIX)
    if not beside.exists() or (real.exists() and real.samefile(beside)):
        return real
    if real.exists():
        raise ConfigurationError(
            f"{source} is a link, and there are two journals of it: {beside} and {real}. Look into both (calls-async "
            "journal show FILE), and name the right one with --journal"
        )
    return beside


def _name_rehearsal(path: Path) -> Path:
    """Return the journal of a rehearsal, which never is that of a real upload."""
    suffix = JOURNAL_SUFFIX if path.name.endswith(JOURNAL_SUFFIX) else ""
    return path.with_name(f"{path.name.removesuffix(suffix)}.rehearsal{suffix}")


def read_reading(arguments: Namespace) -> dict[str, Any]:
    names = ("format", "delimiter", "encoding", "multiline", "sheet", "header_row", "skip_hidden")
    return {name: getattr(arguments, name) for name in names} | {"columns": dict(arguments.column), "on_hint": warn}


def read_number_rules(arguments: Namespace) -> dict[str, Any]:
    """Return how numbers are read: what a person hands in may be national, so what can be read in two ways is not
    sent."""
    names = ("region", "international", "first_number", "only_regions")
    given = {name: value for name in names if (value := getattr(arguments, name, None)) is not None}
    return given | {"numbers": arguments.numbers or Numbers.UNAMBIGUOUS}


def read_settings(arguments: Namespace) -> dict[str, Any]:
    names = [field.name for field in attrs.fields(UploadSettings)]
    given = {name: getattr(arguments, name, None) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    if settings.get("max_refusals") == 0:
        settings["max_refusals"] = None  # never
    return settings
