"""The command `sample`."""

from __future__ import annotations

import csv
import io
import json
import subprocess

import pytest

from calls_async.cli.commands.sample import sample_csv
from calls_async.protocol.phones import is_clean
from tests.helpers.command import COMMAND, run


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
