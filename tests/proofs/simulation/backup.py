"""Old copies of a journal."""

from __future__ import annotations

from pathlib import Path

import attrs


@attrs.frozen
class Backup:
    """A copy of a journal and of the files beside it."""

    files: dict[str, bytes]
    taken_at: float

    @classmethod
    def take(cls, journal: Path, now: float) -> Backup:
        names = [f"{journal.name}{suffix}" for suffix in ("", "-wal", "-bodies")]
        files = [file for name in names if (file := journal.with_name(name)).exists()]
        return cls({file.name: file.read_bytes() for file in files}, now)

    def put_back(self, journal: Path) -> None:
        for suffix in ("", "-wal", "-shm", "-bodies"):
            journal.with_name(journal.name + suffix).unlink(missing_ok=True)
        for name, content in self.files.items():
            journal.with_name(name).write_bytes(content)
