"""What an attack on retries, and on lists that grow, has found."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from calls_async import (
    JournalRefusedError,
    OutcomeStatus,
    SourceError,
)
from calls_async.upload.journal.overview import open_for_reading, purge
from tests.helpers.retrying import ACCEPTED, REJECTED, TOKEN, Sheet, System, number, statuses, upload


@pytest.fixture
def system() -> System:
    return System()


async def test_an_old_copy_calls_nobody_twice_within_the_day(system: System, tmp_path: Path) -> None:
    """The same rows have other keys in a retry."""
    system.clock.now = time.time()  # as the sandbox's
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 11)]), tmp_path / "j"
    sheet.cells[1] = sheet.cells[2] = "nobody"
    await upload(system, sheet, journal)
    shutil.copy(journal, tmp_path / "copy")
    sheet.cells[1] = number(102)
    await upload(system, sheet, journal, retry_rejected=True)
    shutil.copy(tmp_path / "copy", journal)
    sheet.cells[2] = number(103)
    with pytest.raises(JournalRefusedError, match="is an old copy"):
        await upload(system, sheet, journal, retry_rejected=True)
    assert set(system.called().values()) == {1}


@pytest.mark.parametrize("kind", ["deleted", "inserted"])
async def test_nothing_is_written_down_before_all_is_compared(system: System, tmp_path: Path, kind: str) -> None:
    """The rejected row is the last of what is read at a time."""
    sheet, journal = Sheet(tmp_path / "list.csv", [f"1212555{row:04}" for row in range(1, 1101)]), tmp_path / "j"
    sheet.cells[499] = "nobody"
    options: dict[str, Any] = {"chunk_rows": 500, "numbers": "strict"}
    await upload(system, sheet, journal, **options)
    good = [*sheet.cells[:499], "12125559500", *sheet.cells[500:]]
    sheet.cells = [*good[:499], *(["12125559777", *good[499:]] if kind == "inserted" else good[500:])]
    with pytest.raises(JournalRefusedError, match="row 501 has another number"):
        await upload(system, sheet, journal, retry_rejected=True, **options)
    sheet.cells = good
    await upload(system, sheet, journal, retry_rejected=True, **options)
    assert system.called() == Counter(good)


async def test_a_grown_list_half_sent_is_not_finished(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 4)]), tmp_path / "j"
    await upload(system, sheet, journal)
    sheet.cells += [number(row) for row in range(4, 2000)]
    async with system.client() as client:
        one = client.campaign(TOKEN).upload(sheet.write(), journal=journal, chunk_rows=3, concurrency=1)
        async with one:
            async for receipt in one:
                if receipt.first_row > 3:
                    one.stop()
    with closing(open_for_reading(journal)) as store:
        assert not store.finished()
    with pytest.raises(JournalRefusedError, match="not finished"):
        purge(journal, 0.0)
    await upload(system, sheet, journal)
    assert set(system.called().values()) == {1}
    assert len(system.called()) == 1999


async def test_a_number_of_somebody_else_can_be_corrected_again(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 7)]), tmp_path / "j"
    sheet.cells[4] = "nobody"
    await upload(system, sheet, journal)
    sheet.cells[4] = number(6)
    assert statuses(await upload(system, sheet, journal, retry_rejected=True))[5] is OutcomeStatus.DUPLICATE
    sheet.cells[4] = number(105)
    assert statuses(await upload(system, sheet, journal, retry_rejected=True))[5] is ACCEPTED
    assert set(system.called().values()) == {1}


@pytest.mark.parametrize("options", [{"unique": "phone"}, {}])
async def test_what_repeats_a_rejected_row_is_looked_at_anew(
    system: System, tmp_path: Path, options: dict[str, Any]
) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 11)]), tmp_path / "j"
    sheet.cells[6] = sheet.cells[2]
    system.disliked.add(number(3))
    await upload(system, sheet, journal, unique="phone")
    sheet.cells[2] = number(103)
    system.disliked.clear()
    again = statuses(await upload(system, sheet, journal, retry_rejected=True, **options))
    assert (again[3], again[7]) == (ACCEPTED, ACCEPTED)
    assert system.called()[number(3)] == system.called()[number(103)] == 1
    assert set(system.called().values()) == {1}


async def test_who_must_not_be_called_is_not_called_by_a_retry(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 6)]), tmp_path / "j"
    (tmp_path / "dnc.txt").write_text(number(2) + "\n")
    sheet.cells[3] = "nobody"
    await upload(system, sheet, journal, exclude=[tmp_path / "dnc.txt"])
    sheet.cells[3] = number(4)
    again = statuses(await upload(system, sheet, journal, retry_rejected=True))
    assert (again[2], again[4]) == (REJECTED, ACCEPTED)
    assert number(2) not in system.called()


async def test_options_of_a_retry_that_failed_are_forgotten(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 6)]), tmp_path / "j"
    sheet.cells[3] = "nobody"
    await upload(system, sheet, journal)
    with pytest.raises(SourceError):
        await upload(system, sheet, journal, retry_rejected=True, header_row=2)
    with closing(open_for_reading(journal)) as store:
        assert "header_row" not in (store.upload.record().source_options or "")
