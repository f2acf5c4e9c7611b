"""The proof: CSV files with misplaced quotes, mixed line ends and encodings lose no line, in both lanes and resumed.

`CALLS_MESSY_SEEDS=17:18 pytest -m "" tests/proofs/test_messy_lists.py` makes file 17 alone.
"""

from __future__ import annotations

import io
import os
import random
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest

from calls_async import JournalRefusedError
from calls_async.sandbox import DuplicateRule
from calls_async.testing import InProcessSandbox
from calls_async.upload.rows.row import EncodedRow, Row, each_row
from calls_async.upload.sources import text as blocks
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading
from tests.helpers.clock import HeldClock
from tests.helpers.servers import QUICK

SOME, MANY = 100, 20_000
SOME_UPLOADS, MANY_UPLOADS = 20, 2_000
PARTS = 5
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


async def upload_and_resume(seed: int, folder: Path) -> None:
    """Upload a file, end the process's part of it somewhere, and again, until it is done."""
    rng, file = random.Random(seed), make_file(seed)
    path, sandbox = folder / "list.csv", InProcessSandbox(duplicates=DuplicateRule.OFF)
    path.write_bytes(file.data)
    wanted = check_lines(file, read(file, columnar=True))
    outcomes: dict[int, str] = {}
    for life in range(4):
        async with sandbox.client(clock=HeldClock().clock(), upload_retry=QUICK) as client:
            upload = client.campaign(TOKEN).upload(
                path, journal=folder / "j", chunk_rows=3, concurrency=2, durability="process", encoding=file.encoding
            )
            try:
                async with upload:
                    async for receipt in upload:
                        outcomes |= {one.row: str(one.status) for one in receipt.outcomes()}
                        if life < 3 and rng.random() < 0.3:
                            raise InterruptedError
            except InterruptedError:
                continue
            except JournalRefusedError as error:
                assert "finished" in str(error)  # by the life before, at its very end
            break
    assert sorted(job.phone for job in sandbox.jobs) == sorted(wanted)
    assert list(outcomes.values()).count("accepted") == len(wanted)
    assert sorted(outcomes) == list(range(1, len(outcomes) + 1))


async def play_uploads(numbers: range) -> None:
    for seed in numbers:
        with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
            try:
                await upload_and_resume(seed, Path(folder))
            except BaseException as error:
                error.add_note(f"seed {seed}: {make_file(seed).data!r}")
                raise


@pytest.mark.parametrize("part", range(PARTS))
async def test_some_uploads(part: int) -> None:  # C-IDEM-1
    await play_uploads(seeds(SOME_UPLOADS, part))


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
async def test_many_uploads(part: int) -> None:  # C-IDEM-1
    await play_uploads(seeds(MANY_UPLOADS, part))
