"""A list that an older version began to read is not counted anew: it had other rules for which lines are rows."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from calls_async import JournalRefusedError
from calls_async.sandbox import DuplicateRule
from calls_async.testing import InProcessSandbox
from calls_async.upload.chunks.chunk import Mark, PastChunk
from calls_async.upload.rows.row import each_row
from calls_async.upload.sources.checkpoint import Consumed
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

FROZEN = Path(__file__).parents[2] / "fixtures" / "schema_7"
TOKEN = "8231.7056.sandbox"


def read(data: bytes, *, old_rows: int, **reading: Any) -> list[int]:
    """The numbers of the rows behind the two that an older version has read."""
    import hashlib

    mark = Mark(len(data), hashlib.sha256(data).digest(), ended=True)
    chunk = PastChunk(number=1, first_row=1, last_row=2, rows=[1, 2], digest=b"", mark=mark)
    consumed = Consumed(journal="j", rows=2, old_rows=old_rows, chunks=[chunk])
    batches = read_batches("list.csv", io.BytesIO(data), Reading(format="csv", **reading), consumed)
    return [row.row for batch in batches for row in each_row(batch.runs)]


@pytest.mark.parametrize("columnar", [True, False])
@pytest.mark.parametrize("odd", [b",\n", b" , \n", b'16500000009,"x\n'])
def test_what_was_counted_otherwise_is_refused(odd: bytes, columnar: bool) -> None:
    data = b"phone,name\n16500000001,a\n" + odd + b"16500000002,b\n16500000003,c\n"
    with pytest.raises(JournalRefusedError, match="were counted otherwise by the older version"):
        read(data, old_rows=2, columnar=columnar)
    assert read(data, old_rows=0, columnar=columnar)
    behind = b"phone,name\n16500000001,a\n16500000002,b\n" + odd + b"16500000003,c\n"
    assert read(behind, old_rows=2, columnar=columnar)[0] == 3


async def test_a_person_is_told_which_rows_were_read_by_older_rules(tmp_path: Path) -> None:
    shutil.copytree(FROZEN, tmp_path / "frozen")
    sandbox, told = InProcessSandbox(duplicates=DuplicateRule.OFF), list[str]()
    async with sandbox.client(clock=HeldClock().clock(), upload_retry=QUICK) as client:
        upload = client.campaign(TOKEN).upload(
            tmp_path / "frozen" / "list.csv", journal=tmp_path / "frozen" / "half-done", on_hint=told.append
        )
        await upload.run()
    (hint,) = told
    assert hint.endswith("were read by the rules of an older version")
