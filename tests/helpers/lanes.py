"""What rows a list has, by either lane."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import strategies as st

from calls_async.errors import SourceError
from calls_async.upload.rows.row import Row, Run, each_row
from calls_async.upload.sources.checkpoint import Consumed
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading

PHONES = st.sampled_from(
    ["16500000000", "+16500000000", "+7 (999) 123-45-67", "+7 999 1234567", "8 (999) 123-45-67", "n/a", "", "0123",
     "1.65E+10", "16500000000.0", "+44 (0) 20 7946 0000", "+1 (0)50 0000000", "  16500000000", "+0 16500000000",
     "1650000000012345678", "+123456", "＋16500000000", "16500000001\n", "++16500000000", "+1-650-000-00-00"]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet='ab",;\n\r\t\\ é\u2028\x00\x0b\x1f\x7f', max_size=12),
    st.sampled_from(["", "5", "null", "true", '"quoted"', "x" * 3000]),
)
SETTINGS: dict[str, st.SearchStrategy[str]] = {
    "gmtZone": st.sampled_from(["Z", "-05:00", "Asia/Tokyo", "", "Mars"]),
    "dialerPriority": st.sampled_from(["1", "5", "", "9", "high", " 2"]),
    "maxAttempts": st.sampled_from(["3", "", "-1", "x"]),
    "startDateTime": st.sampled_from(["", "2020-03-23T00:00:00Z", "2020-03-25T00:00:00Z", "tomorrow"]),
    "finishDateTime": st.sampled_from(["", "2020-03-24T00:00:00Z"]),
    "allowedDays": st.sampled_from(["", "mon,tue", '["sat"]', "someday"]),
    "allowedTime": st.sampled_from(["", '{"default": [{"localTimeFrom": "09:30", "localTimeTo": "13:20"}]}', "x"]),
    "payload": st.sampled_from(["", '{"a": 1}', "[1]"]),
}


def rows_of(data: bytes, *, skip: int = 0, **reading: Any) -> tuple[list[Row], str]:
    """The rows, and how reading ended."""
    runs: list[Run] = []
    try:
        for batch in read_batches("list", io.BytesIO(data), Reading(**reading), Consumed(rows=skip)):
            runs += batch.runs
    except SourceError as error:
        return list(each_row(runs)), str(error)
    return list(each_row(runs)), ""


def assert_same(data: bytes, **reading: Any) -> None:
    fast, slow = rows_of(data, columnar=True, **reading), rows_of(data, columnar=False, **reading)
    assert fast == slow
    assert [row.row for row in fast[0]] == list(range(1, len(fast[0]) + 1))
