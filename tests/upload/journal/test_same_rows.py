"""A list is gone on with by the options that chose its rows; and one in which nobody was called may begin anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calls_async import JournalRefusedError
from calls_async.sandbox import DuplicateRule
from calls_async.testing import InProcessSandbox
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

TOKEN = "8231.7056.sandbox"
LIST = "phone,name\n" + "".join(f"1650000{n:04},a\n" for n in range(40))


@pytest.fixture
def sandbox() -> InProcessSandbox:
    return InProcessSandbox(duplicates=DuplicateRule.OFF)


async def upload(sandbox: InProcessSandbox, path: Path, *, stop: bool = False, **options: Any) -> int:
    """Upload a list, or begin to; return how many rows were accepted."""
    async with sandbox.client(clock=HeldClock().clock(), upload_retry=QUICK) as client:
        one = client.campaign(TOKEN).upload(
            path,
            journal=path.with_suffix(".journal"),
            chunk_rows=5,
            concurrency=1,
            **options,
        )
        if not stop:
            return (await one.run()).accepted
        async with one:
            async for _ in one:
                break
        return one.summary.accepted


@pytest.mark.parametrize("options", [{"multiline": True}, {"header_row": 2, "columns": {"16500000000": "phone"}}])
async def test_other_options_are_refused(sandbox: InProcessSandbox, tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LIST)
    await upload(sandbox, path, stop=True)
    called = len(sandbox.jobs)
    with pytest.raises(JournalRefusedError, match="begun with no option that chooses rows, and is gone on with --"):
        await upload(sandbox, path, **options)
    assert len(sandbox.jobs) == called
    assert await upload(sandbox, path) == 40
    assert sorted(job.phone for job in sandbox.jobs) == [f"1650000{n:04}" for n in range(40)]


async def test_a_list_of_which_nobody_was_called_may_simply_run_again(
    sandbox: InProcessSandbox, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("phone\n0650\n0651\n")
    assert await upload(sandbox, path) == 0
    path.write_text("phone\n16500000001\n16500000002\n")
    assert await upload(sandbox, path) == 2
    with pytest.raises(JournalRefusedError, match="this upload is finished"):
        await upload(sandbox, path)


async def test_an_empty_list_seals_nothing(sandbox: InProcessSandbox, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("phone\n")
    assert await upload(sandbox, path) == 0
    path.write_text("phone\n16500000001\n")
    assert await upload(sandbox, path) == 1


async def test_a_journal_of_nobody_called_that_is_opened_again_with_the_same_list(
    sandbox: InProcessSandbox, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("phone\n0650\n")
    assert await upload(sandbox, path) == 0
    assert await upload(sandbox, path) == 0
    assert not sandbox.jobs
