"""The command line, as a person or a script uses it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pickle
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import attrs
import pytest

from calls_async import CallsError, ContactError, NoAnswerError, RefusedError, SourceError
from calls_async.cli.arguments import make_parser
from calls_async.cli.commands.sample import sample_csv
from calls_async.cli.main import COMMANDS
from calls_async.cli.main import run as run_command
from calls_async.cli.problems import ProblemTable
from calls_async.cli.progress import Snapshot, Traffic
from calls_async.protocol.phones import is_clean
from calls_async.sandbox.faults import Faults
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.outcomes.outcome import Receipt, Verdict
from calls_async.upload.outcomes.results_file import read_results
from calls_async.upload.rows.row import UnsentRow
from calls_async.upload.status import OutcomeStatus
from tests.conftest import TOKEN

COMMAND = [sys.executable, "-m", "calls_async"]


@attrs.frozen
class Ran:
    code: int
    out: str
    err: str


async def run(*arguments: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if not k.startswith("CALLS_")} | (env or {}),
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def run_here(*arguments: str | Path, env: dict[str, str] | None = None) -> Ran:
    """As `run`, in a thread of this process, which takes a tenth of the time; not for commands that hear signals."""
    return await asyncio.to_thread(_run_here, [str(one) for one in arguments], env or {})


def _run_here(arguments: list[str], env: dict[str, str]) -> Ran:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in ("CALLS_HOST", "CALLS_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            code: object = run_command(arguments)
        except SystemExit as exited:
            code = exited.code
    said = [one.buffer.getvalue().decode() for one in (out, err)]
    assert isinstance(code, int)
    return Ran(code, *said)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Sandbox, dict[str, str]]]:
    async with Sandbox(tokens=[TOKEN]) as sandbox:
        yield sandbox, {"CALLS_HOST": sandbox.url, "CALLS_TOKEN": TOKEN}


@pytest.fixture
def some_csv(tmp_path: Path) -> Path:
    path = tmp_path / "contacts.csv"
    path.write_text("".join(sample_csv(1000, 0)))
    return path


def results_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_upload_to_the_embedded_sandbox(some_csv: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    ran = await run("upload", some_csv, "--sandbox", "--json", "--results", results, "--chunk-rows", "100")
    assert ran.code == 0
    summary = json.loads(ran.out)
    assert summary.pop("seconds") > 0
    assert len(summary.pop("upload_id")) == 36
    assert summary == {
        "rows": 1000, "accepted": 1000, "duplicates": 0, "rejected": 0, "unknown": 0, "requests": 10, "retries": 0,
    }  # fmt: skip
    lines = results_of(results)
    assert sorted(line["row"] for line in lines) == list(range(1, 1001))  # type: ignore[type-var]
    assert all(line.keys() == {"row", "phone", "status", "job_id", "error"} for line in lines)
    assert {line["status"] for line in lines} == {"accepted"}


async def test_results_as_csv(served: tuple[Sandbox, dict[str, str]], tmp_path: Path) -> None:
    sandbox, env = served
    results = tmp_path / "results.csv"
    data = b"phone,name\n16500000000,Al\n12,x\n"
    ran = await run("upload", "-", "--format", "csv", "--results", results, "--json", stdin=data, env=env)
    assert ran.code == 3
    with results.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["row"], line["phone"], line["status"], line["job_id"]) for line in lines] == [
        ("1", "16500000000", "accepted", sandbox.jobs[0].id),
        ("2", "12", "rejected", ""),
    ]
    assert "2 digits" in lines[1]["error"]
    assert [line.job_id for some in read_results(results) for line in some] == [sandbox.jobs[0].id, None]


async def test_check_sends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("phone,name\n16500000000,a\n1.65E+10,b\n16500000000,a\n")
    ran = await run("check", path)
    assert ran.code == 3
    assert "row 2: phone: was spoilt by a spreadsheet" in ran.out
    assert "row 3: says the same as row 1" in ran.out
    assert "3 rows: 1 fit to be sent, 1 duplicates, 1 rejected" in ran.out
    ran = await run("check", path, "--json")
    summary = json.loads(ran.out)
    assert (summary["rows"], summary["rejected"], summary["requests"], ran.code) == (3, 1, 0, 3)
    path.write_text("phone,name\n16500000000,a\n16500000000,a\n")
    assert (await run("check", path)).code == 0


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_sample(form: str) -> None:
    ran = await run("sample", "2000", "--format", form, "--seed", "7")
    assert ran == await run("sample", "2_000", "--format", form, "--seed", "7")
    assert ran != await run("sample", "2000", "--format", form)
    if form == "csv":
        phones = [record["phone"] for record in csv.DictReader(io.StringIO(ran.out))]
    else:
        phones = [json.loads(line)["phone"] for line in ran.out.splitlines()]
    assert len(phones) == len(set(phones)) == 2000
    assert all(is_clean(phone) for phone in phones)
    checked = await run("check", "-", "--format", form, "--json", stdin=ran.out.encode())
    assert (checked.code, json.loads(checked.out)["accepted"]) == (0, 2000)


def test_samples_never_repeat_a_number() -> None:
    rows = 300_000
    for seed in range(3):
        phones = {line.split(",", 1)[0] for block in sample_csv(rows, seed) for line in block.splitlines()}
        assert len(phones) == rows + 1


async def test_sample_into_a_closed_pipe() -> None:
    process = subprocess.Popen([*COMMAND, "sample", "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == b""
    process.stderr.close()


async def test_the_small_commands(served: tuple[Sandbox, dict[str, str]], tmp_path: Path) -> None:
    sandbox, env = served
    added = await run_here("add", "+1 650 000-0000", "--gmt-zone=-05:00", "--payload", "name=Al", env=env)
    tested = await run_here("test", "16500000000", env=env)
    assert [added.out.strip(), tested.out.strip()] == [job.id for job in sandbox.jobs]
    assert sandbox.contacts[0] == {"phone": "16500000000", "payload": {"name": "Al"}, "gmtZone": "-05:00"}
    for command, status in [("pause", "paused"), ("resume", "inProcess"), ("stop", "finished")]:
        assert (await run_here(command, env=env)).code == 0
        assert (await run_here("status", env=env)).out == status + "\n"
    assert json.loads((await run_here("info", env=env)).out)["shortReport"]["totalNumbers"] == 2
    report = await run_here("report", "--phone", "16500000000", env=env)
    assert [json.loads(line)["callJobId"] for line in report.out.splitlines()] == [job.id for job in sandbox.jobs]
    assert (await run_here("attempts", "--id", sandbox.jobs[0].id, env=env)).out == ""
    results = tmp_path / "r.jsonl"
    results.write_text(
        "".join(
            json.dumps({"phone": "16500000009", "status": "rejected", "job_id": i}) + "\n"
            for i in [sandbox.jobs[0].id, None]
        )
    )
    canceled = await run_here("cancel", "--from-results", results, "--id", sandbox.jobs[1].id, env=env)
    assert set(canceled.out.split()) == {job.id for job in sandbox.jobs}
    assert "canceled 2 call jobs" in canceled.err
    assert {job.status for job in sandbox.jobs} == {"canceled"}


async def test_many_jobs_are_asked_about_in_parts(served: tuple[Sandbox, dict[str, str]], some_csv: Path) -> None:
    sandbox, env = served
    results = some_csv.with_suffix(".results.jsonl")
    assert (await run("upload", some_csv, "--results", results, env=env)).code == 0
    ran = await run("report", "--from-results", results, env=env)
    assert len(ran.out.splitlines()) == 1000
    assert sum(call.path.endswith("getReport") for call in sandbox.calls) == 2


async def test_tokens(served: tuple[Sandbox, dict[str, str]], tmp_path: Path) -> None:  # C-M-18
    sandbox, _ = served
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    host = ("--host", sandbox.url)
    assert (await run_here("status", *host, "--token-file", secret)) == Ran(0, "planned\n", "")
    warned = await run_here("status", *host, "--token", TOKEN)
    assert (warned.code, "other users" in warned.err) == (0, True)
    for wrong in (["--token", "a", "--token-file", str(secret)], ["--token-file", str(tmp_path / "none")], []):
        assert (await run_here("status", *host, *wrong)).code == 2
    secret.write_text("two words")
    assert (await run_here("status", *host, "--token-file", secret)).code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["upload", "none.csv", "--sandbox"], 2, "none.csv: cannot be read: No such file or directory"),
        (["check", "none.csv"], 2, "cannot be read"),
        (["upload", "-", "--sandbox"], 2, "--format"),
        (["upload", "x.csv"], 2, "CALLS_TOKEN"),
        (["status", "--token", "x"], 2, "CALLS_HOST"),
        (["status", "--token", "x", "--host", "http://calls.example"], 2, "--plain-http"),
        (["add", "12", "--token", "x", "--host", "jaicp"], 2, "2 digits"),
        (["report", "--token", "x", "--host", "jaicp"], 2, "--from-results"),
        (["report", "--token", "x", "--host", "jaicp", "--from-results", "none.jsonl"], 2, "none.jsonl"),
        (["upload", "x.csv", "--sandbox", "--fault", "nonsense=1"], 2, "reset-after"),
        (["upload", "x.csv", "--fault", "503=1", "--token", "x", "--host", "jaicp"], 2, "--sandbox"),
        (["upload", "x.csv", "--sandbox", "--results", "r.xml"], 2, ".jsonl or .csv"),
        (["upload", "x.csv", "--sandbox", "--results", "x.csv"], 2, "itself"),
        (["upload", "x.csv", "--sandbox", "--chunk-rows", "0"], 2, "chunk_rows"),
        (["upload", "x.csv", "--sandbox", "--rate", "inf"], 2, "rate"),
        (["check", "x.csv", "--delimiter", ";;"], 2, "delimiter"),
        (["check", "x.csv", "--encoding", "nonsense"], 2, "encoding"),
        (["upload", "x.csv", "--sandbox", "--no-journal", "--again"], 2, "--no-journal"),
        (["journal", "show", "none.journal"], 1, "no such file"),
        (["nonsense"], 2, "invalid choice"),
        ([], 2, "COMMAND"),
        (["sample", "-5"], 2, "sample"),
    ],
)
async def test_what_goes_wrong_is_said(arguments: list[str], code: int, said: str) -> None:
    hears_signals = arguments[:2] == ["upload", "none.csv"]
    ran = await (run if hears_signals else run_here)(*arguments)
    assert ran.code == code, ran
    assert said in ran.err
    assert "Traceback" not in ran.err


async def test_a_wrong_token_and_a_host_that_does_not_listen(
    some_csv: Path, served: tuple[Sandbox, dict[str, str]]
) -> None:
    _, env = served
    wrong = await run("upload", some_csv, env=env | {"CALLS_TOKEN": "secret-token"})
    assert wrong.code == 1
    assert "404" in wrong.err
    assert "secret-token" not in wrong.err + wrong.out
    assert (await run("status", env=env | {"CALLS_HOST": "http://127.0.0.1:9"})).code == 1


async def test_interrupted_once_finishes_what_is_in_flight(tmp_path: Path) -> None:
    path, results = tmp_path / "list.csv", tmp_path / "r.jsonl"
    path.write_text("".join(sample_csv(100_000, 0)))
    async with Sandbox(faults=Faults(shares={"delay-after": 1.0}, delay_seconds=0.05)) as sandbox:  # type: ignore[dict-item]
        env = os.environ | {"CALLS_HOST": sandbox.url, "CALLS_TOKEN": sandbox.token}
        process = subprocess.Popen(
            [*COMMAND, "upload", str(path), "--results", str(results), "--json", "--chunk-rows", "50"],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        while len(sandbox.jobs) < 1000:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(process.communicate)
        summary = json.loads(out)
        assert process.returncode == 130
        assert summary["accepted"] == summary["rows"] == len(results_of(results)) == len(sandbox.jobs) < 100_000
        assert b"interrupted" in err


async def test_progress_on_a_terminal_and_without(some_csv: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen([*COMMAND, "upload", str(some_csv), "--sandbox"], stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    out, _ = await asyncio.to_thread(process.communicate)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert "1,000 rows" in shown
    assert "rows/s" in shown
    assert out.startswith(b"1,000 rows: 1,000 accepted")
    assert (await run("upload", some_csv, "--sandbox", "--quiet", "--again")).err == ""


async def test_the_sandbox_command(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sandbox", "--port", "0", "--token", "t", "--ready-file", str(ready), "--speed", "3600",
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(2)]
    env = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
    assert json.loads(ready.read_text()) == {"url": env["CALLS_HOST"], "token": "t", "pid": process.pid}
    assert (await run("status", env=env)).out == "planned\n"
    job_id = (await run("add", "16500009900", env=env)).out.strip()
    while "longCallWithResult" not in (await run("report", "--id", job_id, "--quiet", env=env)).out:
        await asyncio.sleep(0.05)
    attempts = await run("attempts", "--id", job_id, "--quiet", env=env)
    assert json.loads(attempts.out)["jobStatus"] == "longCallWithResult"
    process.terminate()
    assert await process.wait() == 0
    assert not ready.exists()


@pytest.mark.parametrize(
    "wrong", [("--lines", "0"), ("--speed", "-1"), ("--fault", "teapot=1"), ("--port", "99999"), ("--port", "-1")]
)
async def test_a_sandbox_that_cannot_be(wrong: tuple[str, str]) -> None:
    ran = await run_here("sandbox", "--port", "0", *wrong)
    assert (ran.code, "Traceback" in ran.err) == (2, False)


async def test_a_ready_file_of_another_is_not_left_behind(tmp_path: Path) -> None:
    ran = await run("sandbox", "--port", "0", "--ready-file", tmp_path / "none" / "ready.json")
    assert (ran.code, "cannot be written" in ran.err) == (2, True)
    ready = tmp_path / "ready.json"
    for text, stays in [
        ("of another", False),
        ('{"pid": 2147483646}', False),
        (json.dumps({"pid": os.getpid()}), True),
    ]:
        ready.write_text(text)
        ran = await run("sandbox", "--bind", "no-such-host.invalid", "--ready-file", ready)
        assert (ran.code, "Traceback" in ran.err, ready.exists()) == (1, False, stays)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_sandbox_whose_output_fails_blames_no_port(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [*COMMAND, "sandbox", "--port", "0", "--ready-file", str(ready)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "cannot listen" in done.stderr, ready.exists()) == (1, False, False)


def test_every_command_of_the_parser_is_there() -> None:
    (commands,) = (action for action in make_parser()._actions if action.dest == "command")
    assert commands.choices is not None
    assert set(commands.choices) == set(COMMANDS)


ERRORS = [
    CallsError("x"),
    ContactError("phone", "is empty", 3),
    SourceError("list.csv", "is empty", "row 3"),
    RefusedError("no", method="POST", path="/{token}", status=400, body="b"),
    NoAnswerError("?", method="POST", path="/{token}", attempts=2, seconds=1.5, idempotence_key="k"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_errors_can_be_pickled(error: CallsError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)


async def test_exclude_and_dedupe(served: tuple[Sandbox, dict[str, str]], tmp_path: Path) -> None:
    sandbox, env = served
    path, listed, results = tmp_path / "list.csv", tmp_path / "dnc.txt", tmp_path / "results.jsonl"
    path.write_text("phone\n16500000001\n16500000002\n16500000001\n12\n")
    listed.write_text("+1 650 000 0002\n")
    options: list[str | Path] = [
        "--exclude",
        listed,
        "--exclude",
        listed,
        "--dedupe",
        "--verify",
        "--results",
        results,
    ]
    ran = await run("upload", path, *options, env=env)
    assert ran.code == 3
    assert [(line["status"], line["error"]) for line in results_of(results)] == [
        ("accepted", None),
        ("rejected", f"excluded by {listed}"),
        ("duplicate", "says the same as row 1"),
        ("rejected", "phone: has 2 digits; an international number has 7 to 15"),
    ]
    assert [job.phone for job in sandbox.jobs] == ["16500000001"]
    ran = await run("check", path, "--exclude", listed)
    assert f"row 2: excluded by {listed}" in ran.out
    assert (await run("upload", path, "--journal", tmp_path / "j", "--exclude", tmp_path / "no", env=env)).code == 2


async def test_what_was_rejected_is_a_table(served: tuple[Sandbox, dict[str, str]], tmp_path: Path) -> None:
    _, env = served
    path = tmp_path / "list.csv"
    path.write_text("phone\n" + "16500000001\n" + "12\n123\n12345\n1234\n" + "016500000000\n" * 2)
    ran = await run("upload", path, "--quiet", env=env)
    assert ran.err.splitlines() == [
        "rows  outcome   for example    reason",
        "   4  rejected  row 2, 3, 4 …  phone: has 2 digits; an international number has 7 to 15 (and the like)",
        (
            "   2  rejected  row 6, 7       phone: starts with 0, so it is a national number; "
            "add the country code, or name the region"
        ),
    ]


def test_a_table_stays_small() -> None:
    troubles = ProblemTable()
    alphabet = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
    unsent = [UnsentRow(n, None, OutcomeStatus.REJECTED, char) for n, char in enumerate(alphabet, start=1)]
    verdict = Verdict.all(OutcomeStatus.ACCEPTED, 0, None)
    troubles.note(Receipt(chunk=1, first_row=1, last_row=3000, rows=[], phones=[], verdict=verdict, unsent=unsent))
    lines = list(troubles.lines())
    assert lines[1].split() == ["2,000", "rejected", "row", "1001,", "1002,", "1003", "…", "many", "other", "reasons"]
    assert len(lines) == 12


def test_the_progress_line_says_how_the_server_takes_it() -> None:
    well = Traffic(
        in_flight=3, window=4, slowed=False, hold_seconds=0, out_seconds=0, retries=0, waiting=0, trouble=None
    )
    busy = "503 Service Unavailable"
    for traffic, words in [
        (well, "3 of 4 requests in flight"),
        (
            attrs.evolve(well, slowed=True, retries=1200, trouble=busy),
            f"3 of 4 requests in flight, slowed down by the server, 1,200 retries (last: {busy})",
        ),
        (
            attrs.evolve(well, hold_seconds=12.4, retries=1, trouble="429 Too Many Requests"),
            "the server asked for a pause, 12 s more, 1 retry (last: 429 Too Many Requests)",
        ),
        (
            attrs.evolve(well, out_seconds=95, retries=20, trouble="no connection"),
            "the server is out for 1 min 35 s (no connection), still trying, 20 retries",
        ),
    ]:
        assert traffic.words() == words
        assert words in Snapshot(rows=1, seconds=1, fraction=None, traffic=traffic).words()
