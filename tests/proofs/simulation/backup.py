"""Old copies of a journal."""

from __future__ import annotations

from pathlib import Path

import attrs

_SUFFIXES = ("", "-wal", "-shm", "-bodies")


@attrs.frozen
class Backup:
    """A copy of a journal and of the files beside it."""

    files: dict[str, bytes]
    jobs: int
    """How many there were when it was taken."""

    @classmethod
    def take(cls, journal: Path, jobs: int) -> Backup:
        names = [f"{journal.name}{suffix}" for suffix in _SUFFIXES if suffix != "-shm"]
        files = [file for name in names if (file := journal.with_name(name)).exists()]
        return cls({file.name: file.read_bytes() for file in files}, jobs)

    def swap(self, journal: Path) -> Backup:
        """Put this copy in the journal's place, and return one of what stood there."""
        newest = Backup.take(journal, self.jobs)
        for suffix in _SUFFIXES:
            journal.with_name(journal.name + suffix).unlink(missing_ok=True)
        for name, content in self.files.items():
            journal.with_name(name).write_bytes(content)
        return newest
