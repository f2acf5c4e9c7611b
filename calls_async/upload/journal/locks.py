"""One journal belongs to one running upload at a time, in this process and in all others."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from calls_async.errors import JournalError

_open_here: set[tuple[int, int]] = set()
"""The journals that are open in this process, by device and inode. Opening and closing such a file once more would
take away SQLite's own locks on it, which belong to the process as a whole."""


def lock_file(path: Path) -> int:
    """Create the file for its owner only, and take it for this process. The lock ends with the process."""
    in_use = JournalError(str(path), "is in use by another running upload; wait for it, or stop it")
    if path.exists() and _identity(path.stat()) in _open_here:
        raise in_use
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(str(path), f"cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(descriptor)
        if _identity(mine) != _identity(path.stat()):
            raise BlockingIOError(errno.EAGAIN, "renamed meanwhile")
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.ENOENT):
            raise in_use from None
        raise JournalError(str(path), f"cannot be locked: {error.strerror}") from None
    _open_here.add(_identity(mine))
    return descriptor


def unlock_file(descriptor: int) -> None:
    """Give a file back that `lock_file` took."""
    _open_here.discard(_identity(os.fstat(descriptor)))
    os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
