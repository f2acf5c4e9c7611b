"""The journal's schema, which `schema.sql` describes, and its steps from older ones: forward only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

APPLICATION_ID = 0x43414C4A
"""Marks the file as a journal of ours."""
SCHEMA_VERSION = 9
OLDEST_VERSION = 4
"""The oldest schema that is migrated; older journals must be finished with the version that wrote them."""
LIST = "list"
BATCHER = "batcher"
"""The two kinds of journal: of a contact list, and of a batcher."""

_STEPS: dict[int, Sequence[str]] = {
    # The place of a chunk of before is its number, of which its key was made.
    4: ("ALTER TABLE chunk ADD COLUMN place TEXT NOT NULL DEFAULT ''", "UPDATE chunk SET place = number"),
    5: (
        "ALTER TABLE upload ADD COLUMN from_file INTEGER",
        "ALTER TABLE upload ADD COLUMN chunk_rows INTEGER",
        "ALTER TABLE upload ADD COLUMN chunk_bytes INTEGER",
        "ALTER TABLE upload ADD COLUMN closed INTEGER NOT NULL DEFAULT 1",  # until it is opened by this version
        "ALTER TABLE upload ADD COLUMN commits INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE chunk ADD COLUMN mark_ended INTEGER",
        "ALTER TABLE chunk ADD COLUMN at_commit INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE chunk ADD COLUMN denied INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE chunk ADD COLUMN server_ahead REAL",
    ),
    6: (
        "ALTER TABLE upload ADD COLUMN to_ask INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE chunk ADD COLUMN sent_ahead REAL",
    ),
    # Which lines are rows is decided otherwise since then: what was read before must not be counted anew.
    7: (
        "ALTER TABLE upload ADD COLUMN old_rows INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE upload ADD COLUMN reading TEXT",
        "UPDATE upload SET old_rows = (SELECT coalesce(max(last_row), 0) FROM chunk) WHERE kind = 'list'",
    ),
    8: (
        "ALTER TABLE upload ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE upload ADD COLUMN source_options TEXT",
        "ALTER TABLE upload ADD COLUMN encoding TEXT",
    ),
}
"""What leads from each schema to the next."""


def read_schema() -> str:
    """Return the statements that make a new journal."""
    return Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")


def steps_from(version: int) -> list[str]:
    """Return the statements that lead from an older schema to this one."""
    return [statement for one in range(version, SCHEMA_VERSION) for statement in _STEPS[one]]
