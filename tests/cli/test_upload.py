"""The command line, as a person or a script uses it."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
from pathlib import Path

from calls_async.cli.commands.sample import sample_csv
from calls_async.sandbox.faults import Faults
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.outcomes.results_file import read_results
from tests.helpers.command import COMMAND, results_of, run


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
    assert ran.out.splitlines()[1:3] == [
        (
            "   1  rejected   row 2 (line 3: '*.**E+10')  phone: was spoilt by a spreadsheet (like 1.65E+10), digits "
            "are lost; export the column as text"
        ),
        "   1  duplicate  row 3                       says the same as row 1",
    ]
    assert "3 rows: 1 fit to be sent, 1 duplicates, 1 rejected" in ran.out
    ran = await run("check", path, "--json")
    summary = json.loads(ran.out)
    assert (summary["rows"], summary["rejected"], summary["requests"], ran.code) == (3, 1, 0, 3)
    path.write_text("phone,name\n16500000000,a\n16500000000,a\n")
    assert (await run("check", path)).code == 0


async def test_many_jobs_are_asked_about_in_parts(served: tuple[Sandbox, dict[str, str]], some_csv: Path) -> None:
    sandbox, env = served
    results = some_csv.with_suffix(".results.jsonl")
    assert (await run("upload", some_csv, "--results", results, env=env)).code == 0
    ran = await run("report", "--from-results", results, env=env)
    assert len(ran.out.splitlines()) == 1000
    assert sum(call.path.endswith("getReport") for call in sandbox.calls) == 2


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
        ("rejected", "line 5: phone: has 2 digits; an international number has 7 to 15"),
    ]
    assert [job.phone for job in sandbox.jobs] == ["16500000001"]
    ran = await run("check", path, "--exclude", listed)
    assert f"excluded by {listed}" in ran.out
    assert (await run("upload", path, "--journal", tmp_path / "j", "--exclude", tmp_path / "no", env=env)).code == 2


async def test_what_was_rejected_is_a_table(served: tuple[Sandbox, dict[str, str]], tmp_path: Path) -> None:
    _, env = served
    path = tmp_path / "list.csv"
    path.write_text("phone\n" + "16500000001\n" + "12\n123\n12345\n1234\n" + "016500000000\n" * 2)
    ran = await run("upload", path, "--quiet", env=env)
    header, short, national = ran.err.splitlines()
    assert header.split() == ["rows", "outcome", "for", "example", "reason"]
    assert "4  rejected  row 2 (line 3: '12'), 3 (line 4: '*23'), 4 (line 5: '***45') …" in short
    assert short.endswith("phone: has 2 digits; an international number has 7 to 15 (and the like)")
    assert "2  rejected  row 6 (line 7: '**********00'), 7 (line 8: '**********00')" in national
    assert national.endswith("starts with 0, so it is a national number; add the country code, or name the region")


async def test_a_rehearsal_after_a_real_upload_lets_nobody_be_called_again(
    served: tuple[Sandbox, dict[str, str]], some_csv: Path
) -> None:
    sandbox, env = served
    assert (await run("upload", some_csv, "--quiet", env=env)).code == 0
    for flags in ([], ["--again"], ["--journal", f"{some_csv}.journal"]):
        assert (await run("upload", some_csv, "--sandbox", "--quiet", *flags)).code == 0
    refused = await run("upload", some_csv, "--quiet", env=env)
    assert refused.code == 2
    assert "finished" in refused.err
    assert len(sandbox.jobs) == 1000
    assert (some_csv.parent / "contacts.csv.rehearsal.journal").exists()
