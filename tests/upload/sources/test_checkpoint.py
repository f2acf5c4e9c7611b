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
    with pytest.raises(JournalRefusedError, match="changed"):
        await campaign.upload(other, journal=path).run()
    assert len(sandbox.jobs) == 20
    other.write_bytes(lines(16500000000) + lines(18500000000))
    assert_each_once(sandbox, await outcomes_of(campaign.upload(other, journal=path)))


async def test_a_file_does_not_go_on_where_an_iterable_stopped(campaign: Campaign, path: Path) -> None:
    await stopped_after(campaign, contacts(100), path, 2, chunk_rows=10, concurrency=1)
    other = path.with_name("other.csv")
    other.write_text("phone\n" + "".join(f"{17500000000 + n}\n" for n in range(150)))
    with pytest.raises(JournalRefusedError, match="changed"):
        await campaign.upload(other, journal=path).run()


async def test_a_source_that_is_not_there_leaves_no_journal(campaign: Campaign, path: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot be read"):
        await campaign.upload(tmp_path / "none.csv", journal=path).run()
    assert not path.exists()
