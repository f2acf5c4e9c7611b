"""Rows as they stand in their list: to show a person those that were not sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from calls_async.upload.rows.row import UnsentRow
from calls_async.upload.rows.table import Table
from calls_async.upload.status import OutcomeStatus


def keep_row(row: int, fields: Mapping[str, Any]) -> UnsentRow:
    """Make a row of which nothing comes, with what stands in it."""
    return UnsentRow(row, None, OutcomeStatus.REJECTED, "", fields)


@attrs.frozen(slots=True)
class OriginalTable(Table):
    """Gives each row back with its cells, by the names of their columns."""

    def encode(self, row: int, cells: Sequence[Any]) -> UnsentRow:
        names = [*self.columns, *(f"cell {number}" for number in range(len(self.columns) + 1, len(cells) + 1))]
        return keep_row(row, dict(zip(names, cells, strict=False)))

    @property
    def independent(self) -> bool:
        return False  # nothing is encoded by columns
