"""A last line without a line end that is different when the list is read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from calls_async import Campaign, JournalRefusedError
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.asserts import outcomes_of
from tests.helpers.journals import stopped_after, written

HEADERS = {"csv": "phone,n\n", "jsonl": ""}
LINES = {"csv": "{phone},{n}", "jsonl": '{{"phone": {phone}, "payload": {{"n": {n}}}}}'}


def lines(kind: str, first: int, count: int) -> str:
    return "\n".join(LINES[kind].format(phone=16500000000 + n, n=n) for n in range(first, first + count))


async def half_sent(campaign: Campaign, file: Path, path: Path, text: str, encoding: str) -> None:
    file.write_bytes(text.encode(encoding))
    await stopped_after(campaign, file, path, 1, chunk_rows=1000, encoding=encoding)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("encoding", "end"), [("utf-8", "\n"), ("utf-8", "\r\n"), ("utf-16-le", "\n"), ("utf-16-be", "\r\n")]
)
async def test_a_line_end_that_came_is_no_change(
    sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path, kind: str, encoding: str, end: str
) -> None:
    file = tmp_path / f"list.{kind}"
    text = HEADERS[kind] + lines(kind, 0, 100)
    await half_sent(campaign, file, path, text, encoding)
    file.write_bytes((text + end + lines(kind, 100, 5)).encode(encoding))  # and further lines with it
    outcomes = await outcomes_of(campaign.upload(file, journal=path, encoding=encoding))
    assert sorted(int(str(outcome.phone)) - 16500000000 for outcome in outcomes) == list(range(105))
    assert len(sandbox.jobs) == 105


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("encoding", "more"), [("utf-8", "2"), ("utf-16-le", "2\n"), ("utf-8", " \n16500000999,1\n"), ("utf-8", ',"')]
)
async def test_contents_that_have_grown_are_refused(
    sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path, kind: str, encoding: str, more: str
) -> None:
    """The number of before was called; the one that stands there now would never be."""
    file = tmp_path / f"list.{kind}"
    text = HEADERS[kind] + lines(kind, 0, 100)
    await half_sent(campaign, file, path, text, encoding)
    before = written(path)
    file.write_bytes((text + more).encode(encoding))
    with pytest.raises(JournalRefusedError, match="its last line has grown"):
        await campaign.upload(file, journal=path, encoding=encoding).run()
    assert written(path) == before


async def test_a_last_line_with_its_end_may_be_followed_by_others(
    sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "list.csv"
    text = HEADERS["csv"] + lines("csv", 0, 100) + "\n"
    await half_sent(campaign, file, path, text, "utf-8")
    file.write_text(text + lines("csv", 100, 5))
    assert len(await outcomes_of(campaign.upload(file, journal=path))) == 105
    assert len(sandbox.jobs) == 105
