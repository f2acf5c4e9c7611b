"""Who has a job by another upload gets no second one; and a number may be sent once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from calls_async import ConfigurationError, JournalError
from calls_async.sandbox import DuplicateRule
from calls_async.testing import InProcessSandbox
from calls_async.upload.journal.overview import purge
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

TOKEN = "8231.7056.sandbox"


@pytest.fixture
def sandbox() -> InProcessSandbox:
    return InProcessSandbox(duplicates=DuplicateRule.OFF)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A list of three, of which the second is none."""
    path = tmp_path / "first.csv"
    path.write_text("phone,name\n16500000001,a\n12,b\n16500000003,c\n")
    return path


async def upload(sandbox: InProcessSandbox, path: Path, **options: Any) -> list[str]:
    """Upload a list; return the outcomes."""
    async with sandbox.client(clock=HeldClock().clock(), upload_retry=QUICK) as client:
        one = client.campaign(TOKEN).upload(path, journal=path.with_suffix(".journal"), **options)
        async with one:
            outcomes = [outcome async for receipt in one for outcome in receipt.outcomes()]
    return [f"{each.status} {each.error or ''}".strip() for each in sorted(outcomes, key=lambda each: each.row)]


def workbook(path: Path, *phones: object) -> Path:
    book = openpyxl.Workbook()
    for row in (["phone"], *([phone] for phone in phones)):
        book.active.append(row)
    book.save(path)
    return path


async def test_numbers_are_compared_as_the_api_gets_them(
    sandbox: InProcessSandbox, first: Path, tmp_path: Path
) -> None:
    assert (await upload(sandbox, first))[::2] == ["accepted", "accepted"]
    journal = first.with_suffix(".journal")
    told: list[str] = []
    second = workbook(tmp_path / "second.xlsx", 16500000001, "+1 (650) 000-0003", 16500000002)
    outcomes = await upload(sandbox, second, not_in=[journal], on_hint=told.append)
    assert outcomes == [f"duplicate has a job by {journal}"] * 2 + ["accepted"]
    assert told == [f"{journal}: 2 numbers that have a job already"]
    assert sorted(job.phone for job in sandbox.jobs) == ["16500000001", "16500000002", "16500000003"]


async def test_what_waits_in_the_other_journal_counts_too(sandbox: InProcessSandbox, tmp_path: Path) -> None:
    path = tmp_path / "half.csv"
    path.write_text("phone\n" + "".join(f"1650000000{n}\n" for n in range(10)))
    async with sandbox.client(clock=HeldClock().clock(), upload_retry=QUICK) as client:
        one = client.campaign(TOKEN).upload(path, journal=tmp_path / "half.journal", chunk_rows=1, concurrency=1)
        async with one:
            async for _ in one:
                break
    before = len(sandbox.jobs)
    again = tmp_path / "again.csv"
    again.write_bytes(path.read_bytes())
    await upload(sandbox, again, not_in=[tmp_path / "half.journal"])
    called = [job.phone for job in sandbox.jobs]
    assert len(called) == len(set(called))
    assert len(called) > before  # those that the other had not taken in yet


async def test_a_journal_that_does_not_know_any_more_is_refused(sandbox: InProcessSandbox, first: Path) -> None:
    await upload(sandbox, first)
    journal = first.with_suffix(".journal")
    purge(journal, 1_800_000_000.0)
    second = first.with_name("second.csv")
    second.write_text("phone\n16500000001\n")
    with pytest.raises(JournalError, match="whom it has called"):
        await upload(sandbox, second, not_in=[journal])
    with pytest.raises(JournalError, match="there is no such file"):
        await upload(sandbox, second, not_in=[first.with_name("none")])
    assert len(sandbox.jobs) == 2


async def test_one_row_a_number(sandbox: InProcessSandbox, first: Path) -> None:
    first.write_text("phone,name\n16500000001,a\n+1 650 000 00 01,b\n16500000002,a\n16500000001,a\n")
    assert await upload(sandbox, first, unique="phone", dedupe=True) == [
        "accepted",
        "duplicate has the number of row 1",
        "accepted",
        "duplicate says the same as row 1",
    ]
    with pytest.raises(ConfigurationError, match="unique takes 'phone'"):
        await upload(sandbox, first, unique="name")
