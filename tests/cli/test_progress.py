"""What a person sees while an upload runs, and of its problems."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from pathlib import Path

import attrs

from calls_async.cli.problems import ProblemTable
from calls_async.cli.progress import Snapshot, Traffic
from calls_async.upload.outcomes.outcome import Receipt, Verdict
from calls_async.upload.rows.row import UnsentRow
from calls_async.upload.status import OutcomeStatus
from tests.helpers.command import COMMAND, run


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


def test_no_time_is_left_only_where_that_is_so() -> None:
    half = Snapshot(rows=100, seconds=10, fraction=0.5)
    assert half.words() == "100 rows, 10 rows/s, 50% read, 10 s left"
    assert "99% read" in attrs.evolve(half, fraction=0.999).words()
    # Of a workbook all has been read before the first row is sent.
    assert attrs.evolve(half, fraction=1.0).words() == "100 rows, 10 rows/s, all read"


def test_a_table_stays_small() -> None:
    troubles = ProblemTable()
    alphabet = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
    unsent = [UnsentRow(n, None, OutcomeStatus.REJECTED, char) for n, char in enumerate(alphabet, start=1)]
    verdict = Verdict.all(OutcomeStatus.ACCEPTED, 0, None)
    troubles.note(Receipt(chunk=1, first_row=1, last_row=3000, rows=[], phones=[], verdict=verdict, unsent=unsent))
    lines = list(troubles.lines(plain=True))
    assert lines[1].split() == ["2,000", "rejected", "row", "1001,", "1002,", "1003", "…", "many", "other", "reasons"]
    assert len(lines) == 12


def test_a_number_is_shown_and_masked_where_others_may_read_it() -> None:
    troubles = ProblemTable()
    reason = "line 4: phone: may be a national number"
    unsent = [UnsentRow(3, "8 (495) 000-00-15", OutcomeStatus.REJECTED, reason)]
    unsent += [UnsentRow(4, "x" * 99, OutcomeStatus.REJECTED, "phone: contains 'x'")]
    verdict = Verdict.all(OutcomeStatus.ACCEPTED, 0, None)
    troubles.note(Receipt(chunk=1, first_row=3, last_row=4, rows=[], phones=[], verdict=verdict, unsent=unsent))
    assert "row 3 (line 4: '8 (495) 000-00-15')" in "\n".join(troubles.lines(plain=True))
    assert "row 3 (line 4: '* (***) ***-**-15')" in "\n".join(troubles.lines(plain=False))
    assert f"row 4 ('{'x' * 40}…')" in "\n".join(troubles.lines(plain=False))


async def test_a_person_is_told_the_countries_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("phone\n+79160000018\n+375290000018\nnobody\n")
    master, slave = pty.openpty()
    line = [*COMMAND, "upload", str(tmp_path / "list.csv"), "--sandbox"]
    process = subprocess.Popen(line, stdin=slave, stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    await asyncio.to_thread(process.communicate)
    shown = os.read(master, 100_000).decode()
    os.close(master)
    assert shown.index("3 rows, 2 of them to be sent; numbers by country: RU 1, BY 1") < shown.index("for example")


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
