"""The proof: CSV files with misplaced quotes, mixed line ends and encodings lose no line, in both lanes and resumed.

`CALLS_MESSY_SEEDS=17:18 pytest -m "" tests/proofs/test_messy_lists.py` makes file 17 alone.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
import random
import re
import signal
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest

from calls_async import CallsClient, JournalRefusedError
from calls_async.sandbox import DuplicateRule
from calls_async.testing import SandboxThread
from calls_async.upload.journal import upload_table
from calls_async.upload.rows.row import EncodedRow, Row, each_row
from calls_async.upload.sources import text as blocks
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from tests.helpers.servers import QUICK

SOME, MANY = 100, 20_000
SOME_UPLOADS, MANY_UPLOADS = 20, 2_000
PARTS = 5
KILLS = 3
PRELOADED = ["calls_async.testing", "calls_async.upload.sources.csv_columns", "charset_normalizer", "pytest"]
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(PRELOADED)
"""A process that is forked is there in a moment: the uploads run in these."""
TOKEN = "8231.7056.sandbox"
NOTES = ["", "Anna", "Пётр", 'TV 55""', "a; b", '"one, two"', '"first\nsecond"', '"""quoted"""', "12 Main Street"]


@attrs.frozen
class MessyFile:
    """A list, and in which line each number stands that no quote has fallen into."""

    data: bytes
    encoding: str | None
    lines: dict[str, int]


def make_file(seed: int) -> MessyFile:
    rng = random.Random(seed)
    end = rng.choice(["\n", "\r\n", "\r", None])
    delimiter = rng.choice(",;\t")
    quote_all = rng.random() < 0.3
    text, lines, number = f"phone{delimiter}note", {}, 1
    stray = rng.choice([0.0, 0.03, 0.2])
    for index in range(rng.randrange(40)):
        phone = f"1650{seed % 1000:03}{index:04}"
        note = rng.choice(NOTES).replace("\n", end or "\n")
        if quote_all and '"' not in note:
            note = f'"{note}"'
        cell = f'"{phone}"' if quote_all else phone
        record = f"{cell}{delimiter}{note}"
        if rng.random() < stray:
            place = rng.randrange(len(record) + 1)
            record = record[:place] + '"' + record[place:]
        if rng.random() < 0.1:
            record = rng.choice(["", delimiter, " "])
        text += end or rng.choice(["\n", "\r\n"])
        number += 1
        if re.match(rf'"?{phone}"?{delimiter}', record):
            lines[phone] = number
        number += len(re.findall(r"\r\n|\r|\n", record))
        text += record
    if rng.random() < 0.7:
        text += end or "\n"
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1251"])
    return MessyFile(text.encode(encoding), "cp1251" if encoding == "cp1251" else None, lines)


def read(file: MessyFile, *, columnar: bool) -> list[Row]:
    reading = Reading(format="csv", encoding=file.encoding, columnar=columnar)
    batches = read_batches("list.csv", io.BytesIO(file.data), reading)
    return [row for batch in batches for row in each_row(batch.runs)]


def check_lines(file: MessyFile, rows: list[Row]) -> list[str]:
    """Check that each number was sent once, or its line is named; return those that were sent."""
    sent = [row.phone for row in rows if isinstance(row, EncodedRow)]
    named = {int(row.error.split(":")[0].removeprefix("line ")) for row in rows if not isinstance(row, EncodedRow)}
    assert max(Counter(sent).values(), default=1) == 1
    for phone, line in file.lines.items():
        assert phone in sent or line in named, (phone, line)
    return sent


def seeds(count: int, part: int) -> range:
    first, _, last = os.environ.get("CALLS_MESSY_SEEDS", f"0:{count}").partition(":")
    step = -(-(int(last) - int(first)) // PARTS)
    start = int(first) + part * step
    return range(start, min(int(last), start + step))


def play(numbers: range) -> None:
    for seed in numbers:
        file = make_file(seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocks, "BLOCK_BYTES", [7, 100, 2**19][seed % 3])
            rows = read(file, columnar=True)
            assert rows == read(file, columnar=False), f"seed {seed}"
        try:
            check_lines(file, rows)
        except AssertionError as error:
            error.add_note(f"seed {seed}: {file.data!r}")
            raise


@pytest.mark.parametrize("part", range(PARTS))
def test_some_files(part: int) -> None:
    play(seeds(SOME, part))


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_many_files(part: int) -> None:
    play(seeds(MANY, part))


def life(seed: int, number: int, folder: Path, encoding: str | None, url: str) -> None:
    """One process's part of an upload; it kills itself somewhere, but for the last one."""
    rng = random.Random(f"{seed} {number}")
    upload_table._FINGERPRINT_ROUNDS = 1

    async def upload() -> None:
        outcomes = (folder / "outcomes").open("a")
        async with CallsClient(url, upload_retry=QUICK) as client:
            one = client.campaign(TOKEN).upload(
                folder / "list.csv",
                journal=folder / "j",
                chunk_rows=3,
                concurrency=2,
                durability="process",
                encoding=encoding,
            )
            if number < KILLS and rng.random() < 0.3:
                asyncio.get_running_loop().call_later(rng.random() * 0.02, os.kill, os.getpid(), signal.SIGKILL)
            async with one:
                async for receipt in one:
                    print(
                        *(f"{row.row} {row.status}" for row in receipt.outcomes()),
                        sep="\n",
                        file=outcomes,
                        flush=True,
                    )
                    if number < KILLS and rng.random() < 0.3:
                        os.kill(os.getpid(), signal.SIGKILL)

    try:
        asyncio.run(upload())
    except JournalRefusedError as error:
        if "finished" not in str(error):  # by the life before, at its very end
            raise


def upload_and_resume(seed: int, folder: Path, sandbox: SandboxThread) -> None:
    """Upload a file; kill the process somewhere, and again, until it is done."""
    file, before = make_file(seed), len(sandbox.jobs)
    (folder / "list.csv").write_bytes(file.data)
    wanted = check_lines(file, read(file, columnar=True))
    for number in range(KILLS + 1):
        process = FORK.Process(target=life, args=(seed, number, folder, file.encoding, sandbox.url))
        process.start()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            break
    assert process.exitcode == 0
    assert sorted(job.phone for job in sandbox.jobs[before:]) == sorted(wanted)
    outcomes = dict(line.split() for line in (folder / "outcomes").read_text().splitlines())
    assert list(outcomes.values()).count("accepted") == len(wanted)
    assert sorted(map(int, outcomes)) == list(range(1, len(outcomes) + 1))


def play_uploads(numbers: range) -> None:
    with SandboxThread(tokens=[TOKEN], duplicates=DuplicateRule.OFF) as sandbox:
        for seed in numbers:
            with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
                try:
                    upload_and_resume(seed, Path(folder), sandbox)
                except BaseException as error:
                    error.add_note(f"seed {seed}: {make_file(seed).data!r}")
                    raise


@pytest.mark.parametrize("part", range(PARTS))
def test_some_uploads(part: int) -> None:  # C-IDEM-1
    play_uploads(seeds(SOME_UPLOADS, part))


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_many_uploads(part: int) -> None:  # C-IDEM-1
    play_uploads(seeds(MANY_UPLOADS, part))
