"""Each option of each command is exercised, and does what its help says."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import openpyxl
import pytest

from calls_async import CallsClient
from calls_async.cli.arguments import make_parser
from calls_async.cli.commands.sandbox import read_config
from calls_async.sandbox import DuplicateRule, Ending, FaultKind, Sandbox
from tests.helpers.command import Ran, run, run_here
from tests.helpers.servers import TOKEN

SERVER = ("--host {host}", "--token {token}", "--token-file token.txt", "--plain-http")
SERVED = (
    "info",
    "status",
    "pause",
    "resume",
    "stop",
    "watch --interval 0.1",
    "report --id 1",
    "attempts --id 1",
    "cancel --id 1",
    "add 16500000009",
    "test 16500000009",
    "reconcile half.journal",
    "upload ok.csv",
)


READ = {"report": "records of", "attempts": "records of", "cancel": "canceled", "add": "", "test": ""}
"""The commands that take numbers, and what they say."""


@attrs.frozen
class Case:
    """A command line in the folder of files below, its exit code, and what it must say or leave behind."""

    line: str
    code: int = 0
    out: str = ""
    err: str = ""
    jobs: int | None = None
    """How many jobs the server has afterwards, beyond those of the folder."""
    file: tuple[str, str] | None = None
    """A file, and what stands in it."""


CASES = [
    Case("check list.csv", 3, "4 rows: 2 fit to be sent, 1 duplicates, 1 rejected", jobs=0),
    Case("check list.csv --results out.jsonl", 3, file=("out.jsonl", '"status":"accepted","job_id":null')),
    Case("check list.csv --results out.csv", 3, file=("out.csv", "1,16500000001,accepted,,")),
    Case("check list.csv --json", 3, '"rejected": 1'),
    Case("check list.csv --quiet", 3, "1 rejected"),
    Case("check semicolons.csv --delimiter ;", 0, "2 fit"),
    Case("check cp1251.csv --encoding cp1251", 0, "1 fit"),
    Case("check book.xlsx", 0, "1 fit", "'more' hold data, too (--sheet)"),
    Case("check book.xlsx --sheet more --header-row 2 --skip-hidden", 0, "2 fit"),
    Case("upload book.xlsx --sheet 2 --header-row 2 --skip-hidden", 0, "2 accepted", jobs=2),
    Case("check twice.csv --unique phone", 0, "has the number of row 1"),
    Case("check twice.csv --not-in done.csv.journal", 0, "has a job by done.csv.journal"),
    Case("upload twice.csv --unique phone", 0, "2 accepted, 1 duplicates", jobs=2),
    Case("upload twice.csv --not-in done.csv.journal", 0, "2 accepted, 1 duplicates", jobs=2),
    Case("upload twice.csv --not-in ok.csv", 1, "", "ok.csv", jobs=0),
    Case("check list.csv --each", 3, "row 4: line 5: "),
    Case("check cells.csv", 3, "lines 2 to 3, which look like rows"),
    Case("check cells.csv --multiline", 0, "1 rows: 1 fit"),
    Case("upload cells.csv --multiline", 0, "1 accepted", jobs=1),
    Case("check tel.csv --column Tel=phone", 0, "1 fit"),
    Case("check national.csv --region US", 0, "1 fit"),
    Case("check list.txt --format jsonl", 0, "1 fit"),
    Case("check eights.csv", 2, "", "4 of its first 4 numbers"),
    Case("check eights.csv --region RU", 0, "numbers by country: RU 4"),
    Case("check eights.csv --international", 3, "numbers by country: VN 1, TW 1"),
    Case("check odd.csv --numbers strict", 3, "1 fit to be sent"),
    Case("check odd.csv --numbers any", 3, "4 rows: 3 fit to be sent"),
    Case("check odd.csv --first-number", 3, "3 fit to be sent"),
    Case("check odd.csv --only-region RU,KZ", 3, "numbers by country: RU 1\n"),
    Case("upload eights.csv", 2, "", "4 of its first 4 numbers", jobs=0),
    Case("upload eights.csv --region RU", 0, "4 accepted", "numbers by country: RU 4", jobs=4),
    Case("upload eights.csv --international", 3, "2 accepted", jobs=2),
    Case("upload odd.csv --numbers strict", 3, "1 accepted", jobs=1),
    Case("upload odd.csv --numbers any", 3, "3 accepted", jobs=3),
    Case("upload odd.csv --first-number", 3, "3 accepted", jobs=3),
    Case("upload odd.csv --only-region RU,KZ", 3, "1 accepted", jobs=1),
    Case("check list.csv --exclude excluded.txt", 3, "excluded by excluded.txt"),
    Case("check ok.csv --chunk-bytes 49", 3, "more than a chunk may have (49)"),
    Case("check list.csv --chunk-rows 1", 3, "2 fit"),
    Case("upload ok.csv", 0, "3 accepted, 0 duplicates", jobs=3, file=("ok.csv.journal", "")),
    Case("upload ok.csv --sandbox", 0, "3 accepted", jobs=0),
    Case("upload ok.csv --sandbox --fault 503=0.5 --fault-seed 3", 0, "3 accepted"),
    Case("upload list.txt --format jsonl", 0, "1 accepted", jobs=1),
    Case("upload national.csv --region US", 0, "1 accepted", jobs=1),
    Case("upload tel.csv --column Tel=phone", 0, "1 accepted", jobs=1),
    Case("upload semicolons.csv --delimiter ;", 0, "2 accepted", jobs=2),
    Case("upload cp1251.csv --encoding cp1251", 0, "1 accepted", jobs=1),
    Case("upload ok.csv --exclude excluded.txt", 3, "2 accepted, 0 duplicates, 1 rejected", jobs=2),
    Case("upload ok.csv --chunk-rows 1", 0, "3 requests", jobs=3),
    Case("upload ok.csv --chunk-bytes 80", 0, "3 requests", jobs=3),
    Case("upload ok.csv --concurrency 1", 0, "3 accepted", jobs=3),
    Case("upload ok.csv --rate 10", 0, "3 requests", jobs=3),
    Case("upload list.csv --dedupe", 3, "2 accepted, 1 duplicates, 1 rejected", jobs=2),
    Case("upload ok.csv --verify", 0, "2 requests", jobs=3),
    Case("upload ok.csv --trust-journal", 0, "3 accepted", jobs=3),
    Case("upload ok.csv --max-outage 60", 0, "3 accepted", jobs=3),
    Case("upload ok.csv --max-refusals 0", 0, "3 accepted", jobs=3),
    Case("upload ok.csv --journal other.journal", 0, "3 accepted", file=("other.journal", "")),
    Case("upload ok.csv --no-journal", 0, "3 accepted", jobs=3),
    Case("upload done.csv", 2, "", "finished", jobs=0),
    Case("upload done.csv --again --yes", 0, "rows", "1 people have a job by the upload of before", jobs=0),
    Case("upload done.csv --again", 0, "rows", "may be called again", jobs=0, file=("done.csv.journal.1", "")),
    Case("upload half.csv --retry-rejected", 0, "2 accepted", jobs=1),
    Case("upload half.csv --retry-rejected --sandbox", 2, "", "does not go with sandbox", jobs=0),
    Case("upload half.csv --retry-rejected --no-journal", 2, "", "--no-journal goes with neither", jobs=0),
    Case(
        "check list.csv --bad bad.csv",
        3,
        "",
        "bad.csv: 1 rows to correct",
        file=("bad.csv", "12,Eve,"),
    ),
    Case("check list.csv --bad bad.xlsx", 3, "", "bad.xlsx: 1 rows", file=("bad.xlsx", "")),
    Case("check list.csv --bad bad.txt", 2, "", "must end with .csv or .xlsx"),
    Case("check list.csv --bad list.csv", 2, "", "is list.csv itself"),
    Case("check list.csv --results out.xlsx", 3, file=("out.xlsx", "")),
    Case("check list.csv --results out.csv --excel", 3, file=("out.csv", "\ufeffrow,phone")),
    Case(
        "upload list.csv --bad bad.csv --dedupe",
        3,
        "2 accepted",
        file=("bad.csv", "\ufeffphone,name,calls-async reason"),
    ),
    Case("upload ok.csv --results out.csv --excel", 0, file=("out.csv", "\ufeffrow,phone")),
    Case("upload ok.csv --durability process", 0, "3 accepted", jobs=3),
    Case("upload ok.csv --results out.csv", 0, file=("out.csv", "3,16500000003,accepted,")),
    Case("upload ok.csv --json", 0, '"accepted": 3'),
    Case("upload ok.csv --quiet", 0, "3 accepted"),
    Case("sample 2 --format jsonl", 0, '{"phone":'),
    Case("sample 2 --seed 9", 0, "phone,"),
    Case("add 16500000009 --gmt-zone -05:00", 0, "566", jobs=1),
    Case("add 16500000009 --payload name=Alex", 0, "566", jobs=1),
    Case("add 16500000009 --idempotence-key k-1", 0, "566", "the idempotence key is k-1", jobs=1),
    Case("test 16500000009 --idempotence-key k-2", 0, "566", "the idempotence key is k-2", jobs=1),
    Case("test 16500000009 --gmt-zone Z", 0, "566", jobs=1),
    Case("test 16500000009 --payload name=Alex", 0, "566", jobs=1),
    Case("report --id 5665330001", 0, '"callJobId":'),
    Case("report --phone 16500000099", 0, '"phone":'),
    Case("report --from-results done.jsonl", 0, '"jobStatus":'),
    Case("report --id 5665330001 --format csv", 0, "callJobId,"),
    Case("report --id 5665330001 --output jobs.csv", 0, file=("jobs.csv", "callJobId,")),
    Case("report --id 5665330001 --concurrency 1", 0, '"callJobId":'),
    Case("report --id 5665330001 --quiet", 0, '"callJobId":'),
    Case("report --id 5665330001 --output jobs.xlsx", 0, file=("jobs.xlsx", "")),
    Case("report --id 5665330001 --output jobs.csv --excel", 0, file=("jobs.csv", "\ufeffcallJobId,")),
    Case("attempts --id 5665330001 --format csv --excel", 0, "\ufeffcallJobId,"),
    Case("cancel --id 5665330001 --format csv --excel", 0, "\ufeffcallJobId,"),
    Case("attempts --id 5665330001", 0, "", "0 records"),
    Case("attempts --phone 16500000099", 0, "", "0 records"),
    Case("attempts --from-results done.jsonl", 0, "", "0 records"),
    Case("attempts --id 5665330001 --format csv", 0, "callJobId,"),
    Case("attempts --id 5665330001 --output tries.jsonl", 0, file=("tries.jsonl", "")),
    Case("attempts --id 5665330001 --concurrency 2", 0, "", "0 records"),
    Case("attempts --id 5665330001 --quiet", 0),
    Case("cancel --id 5665330001", 0, "5665330001"),
    Case("cancel --phone 16500000099", 0, "5665330001"),
    Case("cancel --from-results done.jsonl", 0, "5665330001"),
    Case("cancel --id 5665330001 --format csv", 0, "callJobId,extra\n5665330001"),
    Case("cancel --id 5665330001 --output gone.csv", 0, file=("gone.csv", "5665330001")),
    Case("cancel --id 5665330001 --concurrency 1", 0, "5665330001"),
    Case("cancel --id 5665330001 --quiet", 0, "5665330001"),
    Case("reconcile done.csv.journal --resend", 0, "0 rows were unknown"),
    Case("reconcile done.csv.journal --exclude excluded.txt", 0, "0 rows were unknown"),
    Case("reconcile done.csv.journal --json", 0, '"unknown": 0'),
    Case("journal show done.csv.journal --json", 0, '"finished": true'),
    Case("journal results done.csv.journal --format csv", 0, "row,phone,status"),
    Case("journal results done.csv.journal --status accepted", 0, '"status":"accepted"'),
    Case("journal export-unknown done.csv.journal", 0),
    Case("journal results half.csv.journal --output out.xlsx", 0, file=("out.xlsx", "")),
    Case("journal results half.csv.journal --output out.csv --excel", 0, file=("out.csv", "\ufeffrow,phone")),
    Case(
        "journal export-rejected bad.csv.journal",
        0,
        "phone,name,calls-async reason\nnobody,Bob,",
    ),
    Case("journal export-rejected bad.csv.journal --source ok.csv", 2, "", "is of another list than this"),
    Case("journal export-rejected bad.csv.journal --output bad.xlsx", 0, "", "bad.xlsx: 1 rows"),
    Case("journal export-rejected bad.csv.journal --excel", 0, "\ufeffphone,name"),
    Case("journal set-host done.csv.journal jaicp", 0, "", "is of https://app.jaicp.com now"),
    Case("journal set-host done.csv.journal http://x.example --plain-http", 0, "", "is of http://x.example now"),
    Case("journal set-host done.csv.journal http://x.example", 2, "", "--plain-http"),
    Case("journal set-host done.csv.journal", 2, "", "name the host"),
    Case("journal set-host none.journal jaicp", 1, "", "there is no such file"),
    Case("journal purge done.csv.journal --with-unknown", 0, "", "holds no phone"),
]
READ = {"report": "records of", "attempts": "records of", "cancel": "canceled", "add": "", "test": ""}
"""The commands that take numbers, and what they say."""
for name, said in READ.items():
    bare = "" if name in ("add", "test") else "--phone "
    CASES += [
        Case(f"{name} {bare}'(650) 253-0000' --region US", 0, "", said),
        Case(f"{name} {bare}84950000015", 3 if bare else 2, "", "may be a national number"),
        Case(f"{name} {bare}84950000015 --international", 0, "", said),
        Case(f"{name} {bare}112 --numbers any", 0, "", said),
        Case(f"{name} {bare}112 --numbers strict", 3 if bare else 2, "", "3 digits"),
    ]
CASES.append(Case("report --phone 16500000098 --phone 16500000099", 0, "", "no job of this number: 16500000098"))

SANDBOX: dict[str, Callable[[Any], bool]] = {
    "--token mine": lambda config: [one.token for one in config.campaign] == ["mine"],
    "--config sandbox.toml": lambda config: config.quoted,
    "--state state.db": lambda config: config.state == "state.db",
    "--no-calls": lambda config: not config.calls,
    "--lines 3": lambda config: config.lines == 3,
    "--max-attempts 2": lambda config: config.max_attempts == 2,
    "--retry-minutes 5": lambda config: config.retry_minutes == 5,
    "--speed 60": lambda config: config.speed == 60,
    "--seed 4": lambda config: config.seed == 4,
    "--call-result noAnswer=1": lambda config: config.call_result == {Ending.NO_ANSWER: 1.0},
    "--duplicates error": lambda config: config.duplicates is DuplicateRule.ERROR,
    "--quoted": lambda config: config.quoted,
    "--numeric-ids": lambda config: config.numeric_ids,
    "--fault 503=0.1": lambda config: config.fault == {FaultKind.UNAVAILABLE: 0.1},
    "--fault-seed 2": lambda config: config.fault_seed == 2,
    "--allow-host sandbox.test": lambda config: config.allow_host == ("sandbox.test",),
}
IN_TEST_SANDBOX = {"--bind", "--port", "--ready-file"}
"""Of the command `sandbox`, where it listens: `test_sandbox.py` starts it."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    texts = {
        "list.csv": "phone,name\n16500000001,Ann\n16500000002,Bob\n16500000001,Ann\n12,Eve\n",
        "ok.csv": "phone,name\n16500000001,Ann\n16500000002,Bob\n16500000003,Cy\n",
        "semicolons.csv": "phone;name\n16500000001;a,b\n16500000002;c\n",
        "twice.csv": "phone,name\n16500000001,Ann\n+1 650 000 00 01,A. Ann\n16500000099,Cy\n",
        "tel.csv": "Tel\n16500000001\n",
        "cells.csv": 'phone,name\n16500000001,"a\n16500000002,b"\n',
        "national.csv": "phone\n(650) 253-0000\n",
        "eights.csv": "phone\n8 (495) 000-00-15\n8 (812) 000-00-16\n8 (863) 000-00-17\n9160000018\n",
        "odd.csv": "phone\n+7 916 000-00-01\n+1 650 000-00-00\n101\n+49 30 123456; +49 30 123457\n",
        "list.txt": '{"phone": "16500000001"}\n',
        "excluded.txt": "16500000001\n",
        "token.txt": TOKEN + "\n",
        "done.csv": "phone\n16500000099\n",
        "bad.csv": "phone,name\n16500000097,Ann\nnobody,Bob\n",
        "half.csv": "phone,name\n16500000097,Ann\n16500000096,Bob\n",
        "sandbox.toml": "quoted = true\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "cp1251.csv").write_bytes("phone,имя\n16500000001,Анна\n".encode("cp1251"))
    book = openpyxl.Workbook()
    book.active.append(["phone"])
    book.active.append([16500000001])
    more = book.create_sheet("more")
    for row in (["Autumn"], ["phone"], [16500000002], [16500000003], [16500000004]):
        more.append(row)
    more.row_dimensions[4].hidden = True
    book.save(tmp_path / "book.xlsx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
async def done(folder: Path, served: tuple[Sandbox, dict[str, str]]) -> Sandbox:
    """The folder with a finished upload of `done.csv` in it, and one that is to be reconciled."""
    sandbox, _ = served
    async with CallsClient(sandbox.url) as client:
        upload = client.campaign(TOKEN).upload("done.csv", journal="done.csv.journal", durability="process")
        await upload.run()
        upload = client.campaign(TOKEN).upload("bad.csv", journal="bad.csv.journal", durability="process")
        await upload.run()
    (folder / "half.csv.journal").write_bytes((folder / "bad.csv.journal").read_bytes())
    row = {"row": 1, "phone": "16500000099", "status": "accepted", "job_id": sandbox.jobs[0].id, "error": None}
    (folder / "done.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "half.journal").write_bytes((folder / "done.csv.journal").read_bytes())
    return sandbox


async def carry_out(line: str, env: dict[str, str]) -> Ran:
    arguments = shlex.split(line)
    return await (run if arguments[0] == "upload" else run_here)(*arguments, env=env)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.line)
async def test_an_option(case: Case, done: Sandbox, served: tuple[Sandbox, dict[str, str]], folder: Path) -> None:
    before = len(done.jobs)
    ran = await carry_out(case.line, served[1])
    assert ran.code == case.code, ran
    assert case.out in ran.out, ran
    assert case.err in ran.err, ran
    assert "Traceback" not in ran.err
    if case.jobs is not None:
        assert len(done.jobs) - before == case.jobs
    if case.file is not None:
        assert case.file[1] in (folder / case.file[0]).read_text(errors="replace")


@pytest.mark.parametrize("line", SERVED)
async def test_which_campaign(line: str, done: Sandbox, served: tuple[Sandbox, dict[str, str]]) -> None:
    said_otherwise = {SERVER[0]: "CALLS_HOST", SERVER[1]: "CALLS_TOKEN", SERVER[2]: "CALLS_TOKEN"}
    if line.startswith("watch"):
        await run_here("stop", env=served[1])  # it is watched until it is finished
    for number, how in enumerate(SERVER):
        env = dict(served[1])
        env.pop(said_otherwise.get(how, ""), None)
        journal = f" --journal {number}.journal" if line.startswith("upload") else ""
        ran = await carry_out(f"{line}{journal} {how.format(host=done.url, token=TOKEN)}", env)
        assert ran.code == 0, ran


@pytest.mark.parametrize("option", SANDBOX)
def test_a_sandbox_option(option: str, folder: Path) -> None:
    assert SANDBOX[option](read_config(make_parser().parse_args(["sandbox", *shlex.split(option)])))


def test_no_option_is_left_out() -> None:
    exercised = {(case.line.split()[0], word) for case in CASES for word in case.line.split() if word[:2] == "--"}
    exercised |= {(line.split()[0], how.split()[0]) for line in SERVED for how in SERVER}
    exercised |= {("watch", "--interval"), *(("sandbox", option.split()[0]) for option in SANDBOX)}
    exercised |= {("sandbox", option) for option in IN_TEST_SANDBOX}
    (commands,) = (one for one in make_parser()._actions if isinstance(one, argparse._SubParsersAction))
    known = {
        (command, option)
        for command, parser in commands.choices.items()
        for action in parser._actions
        for option in action.option_strings
        if option not in ("-h", "--help")
    }
    assert known == exercised
    started = (Path(__file__).parent / "test_sandbox.py").read_text()
    assert all(option in started for option in IN_TEST_SANDBOX)


async def test_results_of_a_check_are_those_of_an_upload_without_ids(
    done: Sandbox, served: tuple[Sandbox, dict[str, str]], folder: Path
) -> None:
    assert (await run_here("check", "list.csv", "--results", "checked.jsonl")).code == 3
    assert (await run("upload", "list.csv", "--dedupe", "--results", "sent.jsonl", env=served[1])).code == 3
    checked, sent = (
        sorted((json.loads(line) for line in (folder / name).read_text().splitlines()), key=lambda one: one["row"])
        for name in ("checked.jsonl", "sent.jsonl")
    )
    assert checked == [{**one, "job_id": None} for one in sent]
