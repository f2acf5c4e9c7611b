"""Rejected rows are sent again under new keys, wherever the process ends, and nobody else is."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from pathlib import Path

import attrs
import openpyxl
import pytest

from calls_async import (
    ConfigurationError,
    JournalError,
    JournalRefusedError,
    Outcome,
    OutcomeStatus,
)
from calls_async.upload.chunks.chunker import Chunker
from calls_async.upload.journal import upload_table
from calls_async.upload.journal.overview import purge, unknown_contacts
from calls_async.upload.journal.release import release_rows
from calls_async.upload.journal.settings import JournalOwner
from calls_async.upload.journal.store import Store
from calls_async.upload.outcomes.outcome import Verdict
from calls_async.upload.rows.row import EncodedRow, group_into_runs
from tests.helpers.journals import outcomes_in
from tests.helpers.retrying import ACCEPTED, REJECTED, TOKEN, Sheet, System, number, statuses, upload


@pytest.fixture
def system() -> System:
    return System()


@pytest.mark.parametrize("by_server", [True, False])
async def test_corrected_rows_are_sent_and_no_others(system: System, tmp_path: Path, by_server: bool) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 21)]), tmp_path / "j"
    bad = [2, 3, 11, 20]
    for row in bad:
        if by_server:
            system.disliked.add(number(row))
        else:
            sheet.cells[row - 1] = "nobody"
    first = statuses(await upload(system, sheet, journal))
    assert [row for row, status in first.items() if status is REJECTED] == bad
    for row in bad[:3]:
        sheet.cells[row - 1] = number(100 + row)
    again = statuses(await upload(system, sheet, journal, retry_rejected=True))
    assert sorted(again) == list(range(1, 21))
    assert [row for row, status in sorted(again.items()) if status is REJECTED] == [20]
    assert set(system.called().values()) == {1}
    assert {number(100 + row) for row in bad[:3]} <= set(system.called())
    assert statuses(outcomes_in(journal)) == again
    with pytest.raises(JournalRefusedError, match="this upload is finished") as caught:
        await upload(system, sheet, journal)
    assert "--retry-rejected" in str(caught.value)
    system.disliked.clear()
    sheet.cells[19] = number(20)
    last = statuses(await upload(system, sheet, journal, retry_rejected=True))
    assert set(last.values()) == {ACCEPTED}
    assert set(system.called().values()) == {1}
    with pytest.raises(JournalRefusedError, match="none of its rows was rejected"):
        await upload(system, sheet, journal, retry_rejected=True)


async def test_settings_alone_may_be_what_was_wrong(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", ["89160000018", "+79160000019", "+79160000020"]), tmp_path / "j"
    first = statuses(await upload(system, sheet, journal, numbers="unambiguous", international=False))
    assert first == {1: REJECTED, 2: ACCEPTED, 3: ACCEPTED}
    await upload(system, sheet, journal, region="RU", retry_rejected=True)
    assert system.called() == Counter({"79160000018": 1, "79160000019": 1, "79160000020": 1})


@pytest.mark.parametrize("change", ["moved", "shorter", "fragment"])
async def test_another_list_is_refused(system: System, tmp_path: Path, change: str) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 11)]), tmp_path / "j"
    sheet.cells[4] = "nobody"
    await upload(system, sheet, journal)
    fixed = [*sheet.cells[:4], number(5), *sheet.cells[5:]]
    sheet.cells = {"moved": [*fixed[:2], number(77), *fixed[2:]], "shorter": fixed[:8], "fragment": fixed[4:5]}[
        change
    ]
    with pytest.raises(JournalRefusedError, match="of another list than this"):
        await upload(system, sheet, journal, retry_rejected=True)
    assert number(77) not in system.called()
    assert set(system.called().values()) == {1}


async def test_who_has_a_job_by_another_row_gets_none_by_a_corrected_one(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 11)]), tmp_path / "j"
    sheet.cells[4] = "nobody"
    await upload(system, sheet, journal)
    sheet.cells[4] = number(9)
    (row,) = [one for one in await upload(system, sheet, journal, retry_rejected=True) if one.row == 5]
    assert (row.status, row.error) == (OutcomeStatus.DUPLICATE, "has a job by another row of this list")
    assert system.called()[number(9)] == 1


def test_unknown_rows_stay_beside_rejected_ones_that_leave(tmp_path: Path) -> None:
    """Their bytes are kept for the day when they are settled."""
    owner = JournalOwner(token=TOKEN, host="https://sandbox.invalid")
    runs = [EncodedRow(row, number(row), b'{"phone":"%b"}' % number(row).encode()) for row in (1, 2, 3)]
    (chunk,) = list(Chunker(upload_id="u", chunk_rows=3, chunk_bytes=1000).feed(group_into_runs(runs)))
    verdict = Verdict(
        statuses=[ACCEPTED, REJECTED, OutcomeStatus.UNKNOWN], job_ids=["7", None, None], errors=[None, "no", "lost"]
    )
    with closing(Store(tmp_path / "j")) as store:
        store.begin(attrs.evolve(owner, identity="u"), at=0.0)
        store.commit([lambda store: store.plan(chunk, None, 0.0)])
        store.commit([lambda store: store.note_answered(chunk, verdict, 1.0)])
        store.commit([lambda store: release_rows(store.database, store.chunks, 1, {2})])
        left = store.chunks.receipt(1)
        assert (left.rows, left.verdict.statuses) == ([1, 3], [ACCEPTED, OutcomeStatus.UNKNOWN])
        assert store.chunks.chunk(1).phones == [number(1), number(3)]
        assert b"".join(unknown_contacts(store)) == b'{"phone":"%b"}\n' % number(3).encode()


async def test_what_it_does_not_go_with(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(1)]), tmp_path / "j"
    with pytest.raises(JournalError, match="there is no such file"):
        await upload(system, sheet, journal, retry_rejected=True)
    with pytest.raises(ConfigurationError, match="does not go with again"):
        await upload(system, sheet, journal, retry_rejected=True, again=True)
    with pytest.raises(ConfigurationError, match="retry_rejected needs one"):
        await upload(system, sheet, None, retry_rejected=True)  # type: ignore[arg-type]
    await upload(system, sheet, journal)
    async with system.client() as client:
        with pytest.raises(ConfigurationError, match="reads the list again"):
            client.campaign(TOKEN).upload(None, journal=journal, retry_rejected=True)
        with pytest.raises(JournalRefusedError, match="another campaign"):
            await client.campaign("another").upload(sheet.path, journal=journal, retry_rejected=True).run()
    purge(journal, 0.0)
    with pytest.raises(JournalRefusedError, match="purged"):
        await upload(system, sheet, journal, retry_rejected=True)


async def play(seed: int, folder: Path) -> None:
    """Upload a list with bad rows, correct some, and send these again; every process ends somewhere."""
    rng, system = random.Random(seed), System()
    rows = rng.randrange(1, 25)
    sheet, journal = Sheet(folder / "list.csv", [number(row) for row in range(1, rows + 1)]), folder / "j"
    for row in rng.sample(range(rows), rng.randrange(rows + 1)):
        if rng.random() < 0.5:
            system.disliked.add(sheet.cells[row])
        else:
            sheet.cells[row] = "nobody"
    retrying, left = False, 12
    while left:
        left -= 1
        last = left < 2  # the first may send again what waits, and have it refused
        begun = journal.exists()
        if begun and (last or rng.random() < 0.4):
            retrying = True
            for row, cell in enumerate(sheet.cells):
                if last or rng.random() < 0.5:
                    system.disliked.discard(cell)
                    sheet.cells[row] = number(row + 1) if cell == "nobody" else cell
        async with system.client() as client:
            one = client.campaign(TOKEN).upload(
                sheet.write(), journal=journal, chunk_rows=3, concurrency=2, retry_rejected=retrying and begun
            )
            seen: list[Outcome] = []
            try:
                async with one:
                    async for receipt in one:
                        seen += receipt.outcomes()
                        if not last and rng.random() < 0.25:
                            raise InterruptedError
            except InterruptedError:
                continue
            except JournalRefusedError as error:
                if "finished" not in str(error):
                    raise
                continue
            assert sorted(one.row for one in seen) == list(range(1, rows + 1))
    assert system.called() == Counter(number(row) for row in range(1, rows + 1))
    assert statuses(outcomes_in(journal)) == dict.fromkeys(range(1, rows + 1), ACCEPTED)


@pytest.mark.parametrize("seed", range(5))
async def test_wherever_it_ends_everybody_is_called_once(seed: int, tmp_path: Path) -> None:  # C-IDEM-1
    await play(seed, tmp_path)


@pytest.mark.proof
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(4))
async def test_wherever_it_ends_many_times(  # C-IDEM-1
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_table, "_FINGERPRINT_ROUNDS", 1)
    for seed in range(part * 100, part * 100 + 100):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            await play(seed, folder)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


async def test_a_refused_retry_leaves_the_receipts_as_they_were(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 11)]), tmp_path / "j"
    sheet.cells[8] = "nobody"
    first = statuses(await upload(system, sheet, journal))
    for change in ([*sheet.cells[:8], number(9)], [number(77), *sheet.cells[1:]]):
        seen: list[Outcome] = []
        (tmp_path / "list.csv").write_text("phone,n\n" + "".join(f"{cell},1\n" for cell in change))
        async with system.client() as client:
            one = client.campaign(TOKEN).upload(
                tmp_path / "list.csv", journal=journal, chunk_rows=3, retry_rejected=True
            )
            with pytest.raises(JournalRefusedError, match="of another list than this"):
                async with one:
                    async for receipt in one:
                        seen += receipt.outcomes()
        assert seen == [] or statuses(seen).keys() == first.keys()  # all of them, or none
    assert number(77) not in system.called()


async def test_rows_that_were_added_go_with_the_rejected_ones_and_later(system: System, tmp_path: Path) -> None:
    sheet, journal = Sheet(tmp_path / "list.csv", [number(row) for row in range(1, 11)]), tmp_path / "j"
    sheet.cells[8] = "nobody"
    await upload(system, sheet, journal)
    sheet.cells[8:] = [number(9), number(10), number(11)]
    assert set(statuses(await upload(system, sheet, journal, retry_rejected=True)).values()) == {ACCEPTED}
    sheet.cells.append(number(12))
    with pytest.raises(JournalRefusedError, match="Rows that were added, or are still rejected"):
        await upload(system, sheet, journal)
    assert len(await upload(system, sheet, journal, retry_rejected=True)) == 12
    assert system.called() == Counter(number(row) for row in range(1, 13))


async def test_a_workbook_is_compared_by_its_rows(system: System, tmp_path: Path) -> None:
    """To be saved again changes every byte of it."""
    path, journal = tmp_path / "list.xlsx", tmp_path / "j"

    async def send(cells: list[str]) -> int:
        book = openpyxl.Workbook()
        book.active.column_dimensions["A"].width = 10 + len(list(tmp_path.iterdir())) + len(cells)
        for cell in ["phone", *cells]:
            book.active.append([cell])
        book.save(path)
        async with system.client() as client:
            return (await client.campaign(TOKEN).upload(path, journal=journal, chunk_rows=3).run()).rows

    assert await send([number(row) for row in range(1, 11)]) == 10
    assert await send([number(row) for row in range(1, 13)]) == 12
    assert system.called() == Counter(number(row) for row in range(1, 13))
    with pytest.raises(JournalRefusedError, match="this upload is finished"):
        await send([number(row) for row in range(1, 13)])
    with pytest.raises(JournalRefusedError, match=r"list than this: it gives other contacts \(rows 4 to 6\)"):
        await send([number(row if row != 5 else 55) for row in range(1, 14)])
    assert sum(system.called().values()) == 12
