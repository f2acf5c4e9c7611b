"""Exit codes, and which error means which."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from calls_async.errors import (
    CallsError,
    ConfigurationError,
    ContactError,
    JobsRefusedError,
    JournalRefusedError,
    SourceError,
)

if TYPE_CHECKING:
    from calls_async.upload.outcomes.outcome import Summary


class Exit(IntEnum):
    """What the command's exit code says."""

    DONE = 0
    """Every row accepted or duplicate."""
    FAILED = 1
    """Unreachable, wrong token, disk full …"""
    USAGE = 2
    """Wrong usage or an unreadable source."""
    PARTLY = 3
    """Finished, but some rows are rejected or unknown."""
    INTERRUPTED = 130


def choose_error_exit(error: CallsError) -> Exit:
    if isinstance(error, JobsRefusedError):
        return Exit.PARTLY
    usage = isinstance(error, ConfigurationError | ContactError | SourceError | JournalRefusedError)
    return Exit.USAGE if usage else Exit.FAILED


def choose_summary_exit(summary: Summary) -> Exit:
    return Exit.PARTLY if summary.rejected or summary.unknown else Exit.DONE
