"""Rows that did not get through come back as they were handed in, for a person to correct them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calls_async.sandbox import Sandbox
from calls_async.upload.outcomes import workbook
from tests.helpers.command import run, run_here

REASON = "calls-async reason"
GOOD, BAD = ["16500000001", "16500000003"], "8 (495) 000-00-15"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        book = openpyxl.Workbook()
        book.active.append(list(rows[0]))
        for row in rows:
            book.active.append(list(row.values()))
        book.save(path)


def read(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".xlsx":
        header, *rows = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
        return [
            {str(name): "" if cell is None else str(cell) for name, cell in zip(header, row, strict=False)}
            for row in rows
        ]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet", "xlsx"])
@pytest.mark.parametrize("wanted", ["bad.csv", "bad.xlsx"])
async def test_bad_rows_of_every_format(
    ending: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pairs = [(GOOD[0], "Ann"), (BAD, "Боб"), (GOOD[1], "Cy")]
    rows = [{"phone": phone, "name": name} for phone, name in pairs]
    write(tmp_path / f"list.{ending}", rows)
    ran = await run_here("check", f"list.{ending}", "--bad", wanted)
    assert ran.code == 3, ran
    (row,) = read(tmp_path / wanted)
    reason = row.pop(REASON)
    assert "may be a national number" in reason
    assert row == {"phone": BAD, "name": "Боб"}
    # Corrected, it is a list; the reason means nothing in it.
    again = await run_here("check", wanted, "--region", "RU", "--results", "out.jsonl")
    assert again.code == 0, again


async def test_broken_lines_come_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = 'phone,name\n16500000001,"open\n16500000002,b,c\n16500000003,"x\n16500000004,y"\n'
    Path("list.csv").write_text(text)
    assert (await run_here("check", "list.csv", "--bad", "bad.csv")).code == 3
    rows = read(Path("bad.csv"))
    assert [row["line"] for row in rows if row["line"]] == ['16500000001,"open', '16500000003,"x', '16500000004,y"']
    assert [row["cell 3"] for row in rows if row["cell 3"]] == ["c"]


async def test_what_the_server_refused_comes_back_and_is_sent_corrected(
    served: tuple[Sandbox, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, env = served
    monkeypatch.chdir(tmp_path)
    Path("list.csv").write_bytes("phone;имя\n16500000001;Анна\n8 916 000-00-18;Пётр\n".encode("cp1251"))
    ran = await run("upload", "list.csv", "--bad", "bad.xlsx", env=env)
    assert (ran.code, "is read as cp1251" in ran.err) == (3, True), ran
    (row,) = read(Path("bad.xlsx"))
    assert row["имя"] == "Пётр"
    exported = await run_here("journal", "export-rejected", "list.csv.journal")
    assert "8 916 000-00-18,Пётр,rejected: line 3: phone" in exported.out.replace('"', "")
    again = await run("upload", "list.csv", "--retry-rejected", "--region", "RU", env=env)
    assert again.code == 0, again
    assert sorted(job.phone for job in sandbox.jobs) == ["16500000001", "79160000018"]
    assert {contact["payload"]["имя"] for contact in sandbox.contacts} == {"Анна", "Пётр"}  # type: ignore[index]
    nothing = await run_here("journal", "export-rejected", "list.csv.journal")
    assert nothing.out == f"{REASON}\n"


async def test_a_stream_cannot_be_read_a_second_time(served: tuple[Sandbox, dict[str, str]]) -> None:
    ran = await run(
        "upload", "-", "--format", "csv", "--bad", "bad.csv", env=served[1], stdin=b"phone\n16500000001\n"
    )
    assert (ran.code, "--bad reads the list a second time" in ran.err) == (2, True), ran


async def test_a_journal_that_knows_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from calls_async.testing import InProcessSandbox

    sandbox = InProcessSandbox()
    async with sandbox.client() as client:
        await client.campaign(sandbox.token).upload([{"phone": "1"}], journal=tmp_path / "j").run()
    ran = await run_here("journal", "export-rejected", str(tmp_path / "j"))
    assert (ran.code, "does not know of a file" in ran.err) == (1, True), ran


def test_a_workbook_goes_on_in_another_sheet_and_keeps_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "SHEET_ROWS", 3)
    path = tmp_path / "out.xlsx"
    book = workbook.Workbook(path.open("wb"), ["a", "b", "c"])
    for row in (["=1+1", 16500000001, None], ["007", 10**16, True], ["http://x.example", 1.5, {"a": "я"}]):
        book.write(row)
    book.close()
    read_back = openpyxl.load_workbook(path)
    cells = [[[cell.value for cell in row] for row in sheet.iter_rows()] for sheet in read_back.worksheets]
    assert cells == [
        [["a", "b", "c"], ["=1+1", 16500000001, None], ["007", "10000000000000000", True]],
        [["a", "b", "c"], ["http://x.example", 1.5, '{"a": "я"}']],
    ]
    assert read_back.worksheets[0]["A2"].data_type == "s"


async def test_a_list_half_sent_in_the_wrong_encoding(
    served: tuple[Sandbox, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was sent already is not sent again, whoever was not gets a name that can be read."""
    sandbox, env = served
    monkeypatch.chdir(tmp_path)
    Path("list.csv").write_bytes("phone,name\n16500000001,Ann\n16500000002,Пётр\n16500000003,Bob\n".encode("cp1251"))
    first = await run("upload", "list.csv", "--encoding", "utf-8", env=env)
    assert (first.code, len(sandbox.jobs)) == (3, 2), first
    assert "name the right --encoding" in first.err
    again = await run("upload", "list.csv", "--encoding", "cp1251", "--retry-rejected", env=env)
    assert again.code == 0, again
    assert sorted(job.phone for job in sandbox.jobs) == ["16500000001", "16500000002", "16500000003"]
    assert sandbox.contacts[-1]["payload"] == {"name": "Пётр"}


async def test_rejected_rows_of_a_corrected_list_that_is_another_one_now(
    served: tuple[Sandbox, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, env = served
    monkeypatch.chdir(tmp_path)
    lines = ["phone", *(f"1650000000{n}" for n in range(1, 6)), "nobody", "noone"]
    Path("list.csv").write_text("\n".join(lines))
    await run("upload", "list.csv", env=env)
    lines[-1] = "16500000009"
    Path("list.csv").write_text("\n".join(lines))
    assert (await run("upload", "list.csv", "--retry-rejected", env=env)).code == 3
    ran = await run_here("journal", "export-rejected", "list.csv.journal")
    assert (ran.code, "nobody,rejected" in ran.out.replace('"', "")) == (0, True), ran
    for changed in ([*lines[:3], "16500000077", *lines[3:]], lines[:3]):
        Path("list.csv").write_text("\n".join(changed))
        ran = await run_here("journal", "export-rejected", "list.csv.journal")
        assert (ran.code, "is of another list than this" in ran.err) == (2, True), ran
