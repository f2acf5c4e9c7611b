"""Lists as people hand them in: what `check` says of each, and that `upload` does the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attrs
import pytest

from calls_async.sandbox import Sandbox
from tests.helpers.command import run, run_here

LISTS = Path(__file__).parents[1] / "fixtures" / "lists"


@attrs.frozen
class Case:
    """A list with options, the rows that are sent, and what is said."""

    line: str
    fit: int
    rejected: int = 0
    duplicates: int = 0
    said: str = ""

    @property
    def code(self) -> int:
        return 3 if self.rejected else 0


CASES = [
    Case("quoteall_inch.csv", 3, 1, said="has a quote that is never closed"),
    Case("quote_swallow.csv", 3, 1, said="has a quote that is never closed"),
    Case("eights.csv --region RU", 4),
    Case("ex_list.csv --exclude dnc8.txt --region RU", 1, 3, said="excluded by dnc8.txt"),
    Case("twice.csv --region RU", 1, duplicates=2),
    Case("impossible.csv", 1, 8, said="numbers of RU that begin so have 11"),
    Case("phones.csv", 15, 31, said="has an extension"),
    Case("phones.csv --region RU", 19, 27, said="holds 2 numbers"),
    Case("zone.csv", 1, said="--column 'timezone=gmtZone' makes it a setting"),
    Case("sep.csv", 1),
    Case("array_lines.jsonl", 2),
    Case("Phone_key.jsonl", 2, said="field 'Phone' is read as phone"),
    Case("hidden_rows.xlsx", 5, said="2 rows of sheet 'Sheet' are hidden"),
    Case("hidden_rows.xlsx --skip-hidden", 3),
    Case("two_sheets_data.xlsx", 1, said="'Часть 2' hold data, too (--sheet)"),
    Case("two_sheets_data.xlsx --sheet 2", 2),
    Case("merged_title.xlsx --header-row 2", 1),
    Case("nan.parquet", 2),
    Case("trailing_short.csv", 2),
    Case("blank.csv", 2, said="4 blank lines were passed over"),
    Case("gz_as.csv", 1),
    Case("utf16.jsonl", 2),
    Case("cp1251_hdr.csv", 2, said="is read as cp1251"),
    Case("google.csv --column 'Phone 2 - Value=phone' --region RU", 1, 1),
]
REFUSED = {
    "eights.csv": "--region RU",
    "ex_list.csv --exclude dnc8.txt": "dnc8.txt, line 1: may be a national number",
    "twice.csv": "--international",
    "google.csv": "--column 'Phone 1 - Value=phone' or --column 'Phone 2 - Value=phone'",
    "merged_title.xlsx": "--header-row 2",
    "html.xls": "is a web page",
    "locked.xlsx": "is a workbook with a password",
}


@pytest.fixture(autouse=True)
def _in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(LISTS, tmp_path / "lists")
    monkeypatch.chdir(tmp_path / "lists")


def words(line: str) -> list[str]:
    import shlex

    return shlex.split(line)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.line)
async def test_check_and_upload_agree(case: Case, served: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, env = served
    ran = await run_here("check", *words(case.line))
    assert ran.code == case.code, ran
    assert case.said in ran.out + ran.err
    figures = json.loads((await run_here("check", *words(case.line), "--json")).out)
    assert (figures["rows"], figures["accepted"]) == (case.fit + case.rejected + case.duplicates, case.fit)
    assert sum(figures["countries"].values()) == case.fit
    sent = await run("upload", *words(case.line), "--json", "--dedupe", env=env)
    assert sent.code == case.code, sent
    assert case.said in sent.err
    assert json.loads(sent.out)["accepted"] == case.fit
    assert len(sandbox.jobs) == case.fit
    assert all(job.phone.startswith(("7", "49")) for job in sandbox.jobs)


@pytest.mark.parametrize("line", REFUSED)
async def test_what_cannot_be_read_stops_before_anything_is_sent(
    line: str, served: tuple[Sandbox, dict[str, str]]
) -> None:
    sandbox, env = served
    for command in ("check", "upload"):
        ran = await (run if command == "upload" else run_here)(command, *words(line), env=env)
        assert ran.code == 2, ran
        assert REFUSED[line] in ran.err
    assert not sandbox.calls
