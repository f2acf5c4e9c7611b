"""A source that is read again: the same, grown, or another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from calls_async import Campaign, Contact, JournalRefusedError
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.asserts import assert_each_once, outcomes_of
from tests.helpers.contacts import contacts
from tests.helpers.journals import stopped_after, written


@pytest.mark.parametrize("kind", ["csv", "list"])
@pytest.mark.parametrize("change", ["edited", "shorter", "removed"])
async def test_a_source_that_has_changed_is_refused(
    sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path, kind: str, change: str
) -> None:
    file = tmp_path / "list.csv"

    def source(rows: list[Contact]) -> Any:
        file.write_text("phone,n\n" + "".join(f"{c.phone},{c.payload['n']}\n" for c in rows))
        return file if kind == "csv" else list(rows)

    rows = list(contacts(20_000))
    await stopped_after(campaign, source(rows), path, 4, chunk_rows=100, concurrency=2)
    before = written(path)
    changed = {
        "edited": [*rows[:150], Contact(phone="19999999999", payload={"n": 150}), *rows[151:]],
        "shorter": rows[:50],
        "removed": rows[:150] + rows[151:],
    }[change]
    with pytest.raises(JournalRefusedError, match="is of another list than this") as caught:
        await campaign.upload(source(changed), journal=path).run()
    assert "rows " in str(caught.value)
    assert written(path) == before
    assert {call.key for call in sandbox.calls} <= before
    grown = [*rows, *contacts(5, 17000000000)]  # what comes after the consumed part may change
    assert_each_once(sandbox, await outcomes_of(campaign.upload(source(grown), journal=path)))
    assert len(sandbox.jobs) == 20_005


async def test_a_slow_pipe_is_compared_too(sandbox: Sandbox, campaign: Campaign, path: Path) -> None:
    def lines(first: int) -> bytes:
        return b"".join(contact.to_bytes() + b"\n" for contact in contacts(20, first))

    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb", buffering=0) as more:
        more.write(lines(16500000000))
        upload = campaign.upload(pipe, format="jsonl", journal=path, linger_seconds=0.01)
        with pytest.raises(ZeroDivisionError):
            async with upload:
                await anext(upload)
                raise ZeroDivisionError
    other = path.with_name("other.jsonl")
    other.write_bytes(lines(17500000000) + lines(18500000000))
    with pytest.raises(JournalRefusedError, match="is of another list than this"):
        await campaign.upload(other, journal=path).run()
    assert len(sandbox.jobs) == 20
    other.write_bytes(lines(16500000000) + lines(18500000000))
    assert_each_once(sandbox, await outcomes_of(campaign.upload(other, journal=path)))


async def test_a_file_does_not_go_on_where_an_iterable_stopped(campaign: Campaign, path: Path) -> None:
    await stopped_after(campaign, contacts(100), path, 2, chunk_rows=10, concurrency=1)
    other = path.with_name("other.csv")
    other.write_text("phone\n" + "".join(f"{17500000000 + n}\n" for n in range(150)))
    with pytest.raises(JournalRefusedError, match="is of another list than this"):
        await campaign.upload(other, journal=path).run()


async def test_a_source_that_is_not_there_leaves_no_journal(campaign: Campaign, path: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot be read"):
        await campaign.upload(tmp_path / "none.csv", journal=path).run()
    assert not path.exists()


def a_list(path: Path, rows: int, first: int = 16500000000) -> Path:
    path.write_text("phone\n" + "".join(f"{first + row}\n" for row in range(1, rows + 1)))
    return path


async def test_a_finished_list_that_has_grown_goes_on(
    sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path
) -> None:
    file, told = tmp_path / "list.csv", list[str]()
    for rows in (20, 45, 46):
        outcomes = await outcomes_of(
            campaign.upload(a_list(file, rows), journal=path, chunk_rows=10, on_hint=told.append)
        )
        assert_each_once(sandbox, outcomes)
        assert len(outcomes) == len(sandbox.jobs) == rows
    before = len(sandbox.calls)
    with pytest.raises(JournalRefusedError, match="this upload is finished"):
        await campaign.upload(file, journal=path).run()
    with pytest.raises(JournalRefusedError, match="is of another list than this") as caught:
        await campaign.upload(a_list(file, 46, 17500000000), journal=path).run()
    assert f"--journal OTHER --not-in {path}" in str(caught.value)
    assert len(sandbox.calls) == before


async def test_a_finished_list_that_is_not_read_twice_is_refused_at_once(campaign: Campaign, path: Path) -> None:
    await campaign.upload(list(contacts(5)), journal=path).run()
    with pytest.raises(JournalRefusedError, match="this upload is finished"):
        await campaign.upload(list(contacts(9)), journal=path).run()


async def test_the_encoding_that_was_found_stays_when_a_list_grows(
    sandbox: Sandbox, campaign: Campaign, path: Path, tmp_path: Path
) -> None:
    """By itself, the longer list might be taken for another encoding."""
    file, told = tmp_path / "list.csv", list[str]()
    names = ["Анна Иванова", "Пётр Петров", "Мария Кузнецова", "Сергей Смирнов"]
    text = "phone,имя\n" + "".join(f"{16500000000 + row},{names[row % 4]}\n" for row in range(40))
    file.write_bytes(text.encode("cp1251"))
    await campaign.upload(file, journal=path, on_hint=told.append).run()
    assert [hint for hint in told if "cp1251" in hint]
    odd = b"".join(b"%d,\x80\x81\x8d\x8f\x90\n" % number for number in range(16600000000, 16600000200))
    file.write_bytes(text.encode("cp1251") + odd)
    await campaign.upload(file, journal=path).run()
    assert len(sandbox.jobs) == 240
    assert sandbox.contacts[-1]["payload"] == {"имя": b"\x80\x81\x8d\x8f\x90".decode("cp1251")}
    file.write_bytes(file.read_bytes() + "16700000000,Ян\n".encode("cp866"))
    told.clear()
    await campaign.upload(file, journal=path, encoding="cp866", on_hint=told.append).run()
    assert [hint for hint in told if "rows up to 240 were read as cp1251, those behind as cp866" in hint]
    assert "Ян" in str(sandbox.contacts[-1]["payload"])


async def test_a_person_is_told_from_which_row_on_other_rules_hold(
    campaign: Campaign, path: Path, tmp_path: Path
) -> None:
    file, told = a_list(tmp_path / "list.csv", 20), list[str]()
    await campaign.upload(file, journal=path, on_hint=told.append).run()
    await campaign.upload(a_list(file, 25), journal=path, on_hint=told.append).run()
    assert told == []
    rules = {"region": "US", "only_regions": ["US", "CA"]}
    await campaign.upload(a_list(file, 30), journal=path, on_hint=told.append, **rules).run()  # type: ignore[arg-type]
    (hint,) = told
    assert hint.startswith(f"{file}: rows from 26 on are read by other rules: only_regions ['CA', 'US'] instead of")
    assert hint.endswith("region US instead of as by default")
    told.clear()
    await campaign.upload(a_list(file, 35), journal=path, on_hint=told.append, **rules).run()  # type: ignore[arg-type]
    assert told == []
