"""The commands that concern many call jobs, and `watch`."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from calls_async import (
    CampaignInfo,
    CampaignStatus,
    ConfigurationError,
    JobReport,
    JobsRefusedError,
    MissingExtraError,
    ShortReport,
)
from calls_async.cli.arguments import make_parser
from calls_async.cli.commands import jobs as commands
from calls_async.cli.commands.watch import RATE_SECONDS, CampaignView, Pace
from calls_async.cli.commands.watch import watch as watch_command
from calls_async.cli.exit_codes import Exit, choose_error_exit
from calls_async.cli.record_files import GROUP_RECORDS, Records
from calls_async.protocol.reports import to_dict
from calls_async.sandbox.server.server import Sandbox

CONTACTS = [{"phone": str(16500000000 + n)} for n in range(1200)]


@pytest.fixture
async def results(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Of a sandbox with 1,200 jobs, which the environment names."""
    monkeypatch.setenv("CALLS_HOST", sandbox.url)
    monkeypatch.setenv("CALLS_TOKEN", sandbox.token)
    campaign = sandbox.account.campaigns[sandbox.token]
    sandbox.account.add(campaign, CONTACTS)
    path = tmp_path / "results.jsonl"
    path.write_text(
        "".join(
            json.dumps({"row": row, "phone": job.phone, "status": "accepted", "job_id": job.id, "error": None}) + "\n"
            for row, job in enumerate(sandbox.jobs, start=1)
        )
    )
    return path


async def run(*arguments: str | Path) -> Exit:
    parsed = make_parser().parse_args([str(one) for one in arguments])
    return Exit(await getattr(commands, parsed.command)(parsed))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_reports_of_all_in_each_format(
    results: Path, sandbox: Sandbox, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    sandbox.jobs[7].status = "a status, nobody has listed"
    as_lines, as_csv, as_parquet = (tmp_path / f"jobs.{suffix}" for suffix in ("jsonl", "csv", "parquet"))
    for path in (as_lines, as_csv, as_parquet):
        assert await run("report", "--from-results", results, "--output", path, "--quiet") is Exit.DONE
    assert await run("report", "--from-results", results, "--quiet") is Exit.DONE
    shown = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    wanted = {job.id: job.report() for job in sandbox.jobs}
    for found in (lines(as_lines), shown):
        assert {job["callJobId"]: job["jobStatus"] for job in found} == {
            job_id: job["jobStatus"] for job_id, job in wanted.items()
        }
        assert len(found) == 1200
    with as_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(as_parquet).to_pylist()
    assert len(rows) == len(table) == 1200
    for row, record in zip(sorted(rows, key=_id), sorted(table, key=_id), strict=True):
        job = wanted[row["callJobId"]]
        assert (row["jobStatus"], row["phone"]) == (record["jobStatus"], record["phone"])
        assert (row["jobStatus"], row["phone"]) == (job["jobStatus"], job["phone"])
        assert (record["createdAt"], record["callDuration"], record["finishedAt"]) == (job["createdAt"], 0.0, None)
        assert row["createdAt"] == str(job["createdAt"])


def _id(record: dict[str, Any]) -> str:
    return str(record["callJobId"])


async def test_cancel_prints_ids_or_writes_a_table(
    results: Path, sandbox: Sandbox, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    ids = [job.id for job in sandbox.jobs]
    assert await run("cancel", "--id", ids[0], "--phone", "+16500000001", "--quiet") is Exit.DONE
    captured = capsysbinary.readouterr()
    assert sorted(captured.out.decode().split()) == ids[:2]
    assert captured.err == b"calls-async: canceled 2 call jobs of 2 that were asked for\n"
    out = tmp_path / "canceled.csv"
    assert await run("cancel", "--from-results", results, "--output", out, "--concurrency", "2") is Exit.DONE
    assert sorted(line.split(",")[0] for line in out.read_text().splitlines()[1:]) == ids[2:]
    assert {job.status for job in sandbox.jobs} == {"canceled"}


async def test_attempts_of_nobody_is_an_empty_table(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "attempts.parquet"
    assert await run("attempts", "--from-results", results, "--output", out, "--quiet") is Exit.DONE
    assert pq.read_table(out).num_rows == 0
    assert "callDuration" in pq.read_table(out).column_names


async def test_mistakes(results: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.parquet"):
        await run("report", "--from-results", results, "--output", "jobs.txt")
    with pytest.raises(ConfigurationError, match="its name says csv, but --format jsonl"):
        await run("report", "--from-results", results, "--output", "jobs.csv", "--format", "jsonl")
    with pytest.raises(ConfigurationError, match="--from-results FILE"):
        await run("report")
    with pytest.raises(ConfigurationError, match="standard input"):
        await run("report", "--from-results", "-")
    linked, before = tmp_path / "linked.jsonl", results.read_bytes()
    linked.symlink_to(results)
    for same in (results, linked):
        with pytest.raises(ConfigurationError, match="is the results file itself"):
            await run("cancel", "--from-results", results, "--output", same)
    assert results.read_bytes() == before
    rejected = tmp_path / "rejected.jsonl"
    rejected.write_text('{"row": 1, "phone": "12", "status": "rejected", "job_id": null, "error": "?"}\n')
    with pytest.raises(ConfigurationError, match="no row of it was accepted"):
        await run("report", "--from-results", rejected, "--quiet")
    with pytest.raises(Exception, match="cannot be written: "):
        await run("report", "--from-results", results, "--output", tmp_path / "nowhere" / "jobs.csv")
    with pytest.raises(JobsRefusedError) as caught:
        await run("report", "--phone", "12", "--quiet")
    assert choose_error_exit(caught.value) is Exit.PARTLY


async def test_without_arrow_there_is_no_parquet(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="arrow"):
        await run("report", "--from-results", results, "--output", "jobs.parquet")


async def test_values_of_other_kinds_are_kept(tmp_path: Path) -> None:  # C-REP-4
    odd = JobReport(call_job_id="5", created_at="soon", call_result={"a": [1]}, extra={"new": 10**30})  # type: ignore[arg-type]
    record = to_dict(odd)
    columns: dict[str, type] = {"callJobId": str, "createdAt": int, "callResult": str, "callDuration": float}
    for suffix in ("csv", "parquet"):
        path = tmp_path / f"odd.{suffix}"
        records = Records(columns, path=str(path), form=None)
        await records.add([record, {"callDuration": 7}, {"createdAt": 2**63}, {"callDuration": True}])
        await records.finish()
        found: list[dict[str, Any]] = (
            pq.read_table(path).to_pylist()
            if suffix == "parquet"
            else list(csv.DictReader(io.StringIO(path.read_text())))
        )
        assert json.loads(found[0]["callResult"]) == {"a": [1]}
        assert json.loads(found[0]["extra"]) == {"createdAt": "soon", "new": 10**30}
        assert float(found[1]["callDuration"]) == 7
        assert json.loads(found[2]["extra"]) == {"createdAt": 2**63}
        assert json.loads(found[3]["extra"]) == {"callDuration": True}


async def test_a_parquet_file_is_written_as_the_records_come(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    records = Records({"callJobId": str}, path=str(path), form=None)
    some = [{"callJobId": str(number)} for number in range(GROUP_RECORDS // 10)]
    for _ in range(25):
        await records.add(some)
    assert path.stat().st_size > 1000
    await records.close()
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [50_000, 50_000, 25_000]


async def test_a_reader_that_has_enough_does_not_keep_anybody_from_being_canceled(
    results: Path, sandbox: Sandbox
) -> None:
    command = f"{sys.executable} -m calls_async cancel --from-results {results} | head -n 1"
    process = await asyncio.create_subprocess_exec("bash", "-c", command, stdout=-1, stderr=-1)
    out, err = await process.communicate()
    assert len(out.split()) == 1
    assert b"canceled 1,200 call jobs" in err
    assert {job.status for job in sandbox.jobs} == {"canceled"}


# --- watching ---


def info(processed: int, **fields: Any) -> CampaignInfo:
    report = ShortReport(
        total_numbers=1000, processed_numbers=processed, in_process_calls=10, retry_calls=40, used_talking_time=1234
    )
    return CampaignInfo(name="Autumn", status=CampaignStatus.IN_PROCESS, short_report=report, **fields)


def test_what_there_is_to_see() -> None:  # C-CAM-1, C-CAM-2
    pace = Pace()
    first = CampaignView.of(info(100), pace, now=0.0)
    assert (first.fraction, first.waiting, first.rate) == (0.1, 850, None)
    assert first.jobs() == "waiting 850, in a call 10, on retry 40"
    assert first.speed() == "talking time 1,234"
    second = CampaignView.of(info(400), pace, now=60.0)
    assert second.numbers() == "400 of 1,000 numbers processed (40%)"
    assert second.rate == 5.0
    assert second.speed() == "talking time 1,234, 18,000 numbers an hour, about 2 min 0 s left"
    assert CampaignView.of(info(400), pace, now=60.0 + RATE_SECONDS).rate is None


def test_a_server_that_says_little() -> None:  # C-REP-4
    bare = CampaignView.of(CampaignInfo(), Pace())
    assert (bare.fraction, bare.waiting, bare.jobs(), bare.speed()) == (None, None, "", "")
    assert "does not say" in bare.numbers()
    none = CampaignView.of(CampaignInfo(short_report=ShortReport(total_numbers=0, processed_numbers=0)), Pace())
    assert none.numbers() == "0 of 0 numbers processed"


async def test_watching_in_lines(
    results: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = sandbox.account.campaigns[sandbox.token]
    watching = asyncio.create_task(watch_command(make_parser().parse_args(["watch", "--interval", "0.01"])))
    while not sandbox.calls:
        await asyncio.sleep(0.005)
    campaign.status = "finished"
    assert await watching is Exit.DONE
    seen = capsys.readouterr().out.splitlines()
    assert len(seen) == 2
    assert "inProcess; 0 of 1,200 numbers processed (0%); waiting 1,200" in seen[0]
    assert "finished; 0 of 1,200" in seen[1]


async def test_watching_on_a_terminal(results: Path, sandbox: Sandbox) -> None:
    master, slave = pty.openpty()
    env = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    command = [sys.executable, "-m", "calls_async", "watch", "--interval", "0.05"]
    process = await asyncio.create_subprocess_exec(*command, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    while not sandbox.calls:
        await asyncio.sleep(0.01)
    campaign = sandbox.account.campaigns[sandbox.token]
    campaign.move(sandbox.jobs[0], "noAnswer")
    campaign.status = "finished"
    drawn = await asyncio.to_thread(_read_all, master)
    assert await process.wait() == 0
    assert "Sandbox campaign 1" in drawn
    assert "1 of 1,200 numbers processed" in drawn
    assert "━" in drawn
    assert "\x1b[" in drawn  # drawn over and over


def _read_all(descriptor: int) -> str:
    said = b""
    try:
        while some := os.read(descriptor, 65536):
            said += some
    except OSError:  # the other side has gone
        pass
    os.close(descriptor)
    return said.decode()


async def test_one_bad_name_does_not_keep_the_others_from_being_canceled(
    results: Path, sandbox: Sandbox, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    with pytest.raises(JobsRefusedError):
        await run("cancel", "--phone", "12", "--from-results", results, "--quiet")
    assert {job.status for job in sandbox.jobs} == {"canceled"}
    assert await run("cancel", "--id", sandbox.jobs[0].id, "--id", "nobodys") is Exit.DONE
    err = capsysbinary.readouterr().err
    assert b"canceled 1,200 call jobs of 1,200 that were asked for\n" in err
    assert b"canceled 0 call jobs of 2 that were asked for; the others were over already" in err


async def test_whoever_is_cancelled_sees_a_write_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.parquet"
    records = Records({"callJobId": str}, path=str(path), form=None)
    writing = asyncio.create_task(records.add([{"callJobId": str(n)} for n in range(GROUP_RECORDS + 5)]))
    await asyncio.sleep(0.01)
    writing.cancel()
    await asyncio.wait([writing])
    await records.close()
    assert pq.read_table(path).num_rows == GROUP_RECORDS + 5


async def test_what_is_no_character_and_no_number(tmp_path: Path) -> None:
    odd = {"phone": "\ud800", "callDuration": 10**400}
    for suffix in ("csv", "jsonl", "parquet"):
        records = Records({"phone": str, "callDuration": float}, path=str(tmp_path / f"odd.{suffix}"), form=None)
        await records.add([odd])
        await records.finish()
    (found,) = pq.read_table(tmp_path / "odd.parquet").to_pylist()
    assert (found["phone"], found["callDuration"]) == ("?", None)
    assert json.loads(found["extra"]) == {"callDuration": 10**400}


def test_watching_a_server_that_says_odd_things() -> None:  # C-REP-4
    odd = CampaignInfo(short_report=["?"])  # type: ignore[arg-type]
    assert CampaignView.of(odd, Pace()).numbers() == "the server does not say how far it is"
    texts = ShortReport(total_numbers="many", processed_numbers="few", used_talking_time="long")  # type: ignore[arg-type]
    assert CampaignView.of(CampaignInfo(short_report=texts), Pace()).speed() == ""
