"""The README and the guide are true: their Python runs, their commands exist, their numbers are the code's."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import openpyxl
import pytest

from calls_async import RetryPolicy, Timeouts
from calls_async.cli.arguments import make_parser
from calls_async.cli.commands.sample import sample_csv
from calls_async.client import MAX_ANSWER_BYTES
from calls_async.sandbox.faults import FaultKind
from calls_async.sandbox.model.account import DEFAULT_TOKEN
from calls_async.sandbox.server.server import Sandbox
from calls_async.upload.settings import BatcherSettings, UploadSettings
from tests.helpers.clauses import KNOWN
from tests.helpers.guide import EXAMPLES, FRONT, JAVASCRIPT, PAGES, README, SHELL


@pytest.mark.parametrize("example", EXAMPLES, ids=map(str, range(len(EXAMPLES))))
def test_examples_run(example: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3
    assert len(SHELL) >= 3


def test_the_readme_is_a_front_door() -> None:
    assert len(FRONT.splitlines()) <= 250
    linked = re.findall(r"\]\(calls_async/guide/(\w+)\.md\)", FRONT)
    assert sorted(linked) == sorted(PAGES)


def test_the_guide_explains_every_clause() -> None:
    page = PAGES["clauses"]
    named = set(re.findall(r"C-[A-Z]+-[0-9]+", page))
    for chapter, first, last in re.findall(r"C-([A-Z]+)-([0-9]+) to C-[A-Z]+-([0-9]+)", page):
        named |= {f"C-{chapter}-{number}" for number in range(int(first), int(last) + 1)}
    assert named == KNOWN


def test_the_files_that_the_house_names_are_there() -> None:
    root = Path(__file__).parents[2]
    package = root / "calls_async"
    for name in re.findall(r"`((?:[\w]+/)+)`", PAGES["contributing"].replace("NAME.py", "sample.py")):
        assert (package / name).is_dir() or (root / name).is_dir(), name
    for name in re.findall(r"`([\w/]+\.(?:py|sql|md))`", PAGES["contributing"].replace("NAME.py", "sample.py")):
        places = [root / name, *package.rglob(Path(name).name)]
        assert any(str(place).endswith(name) and place.exists() for place in places), name


async def test_commands_run(tmp_path: Path) -> None:
    """The block of commands, against a sandbox in place of the real system."""
    (block,) = [block for block in SHELL if "export CALLS_HOST" in block]
    (tmp_path / "contacts.csv").write_text("".join(sample_csv(100, 0)))
    (tmp_path / "more.jsonl").write_text('{"phone": "16500000009"}\n')
    binaries = str(Path(sys.executable).parent)
    async with Sandbox() as sandbox:
        script = block.replace("http://127.0.0.1:8765", sandbox.url)
        assert sandbox.url in script
        assert DEFAULT_TOKEN in script
        env = os.environ | {"PATH": binaries + os.pathsep + os.environ["PATH"]}
        code, errors = await _shell(script, tmp_path, env)
        said = "numbers by country: ZZ 100\nnumbers by country: US 1\n"
        said += "".join(f"calls-async: {what} of 100 that were asked for\n" for what in ("100 records", CANCELED))
        assert code == 0, errors
        assert re.sub(r"calls-async: the idempotence key is [0-9a-f-]{36}\n", "", errors, count=1) == said
        assert len(sandbox.jobs) == 102
        assert len((tmp_path / "jobs.jsonl").read_text().splitlines()) == 100


async def test_the_way_of_an_analyst_can_be_gone(tmp_path: Path) -> None:
    """Each block of the page in its order, with a workbook as it comes, and a sandbox in place of the real system."""
    blocks = [block for block in SHELL if "clients.xlsx" in block or "results.xlsx" in block]
    book = openpyxl.Workbook()
    book.active.append(["see the other sheet"])
    clients = book.create_sheet("clients")
    for row in (["Clients"], [], ["Name", "Mobile"], ["Анна", "8 916 000-00-15"], ["Пётр", "8 916 000-00"]):
        clients.append(row)
    book.save(tmp_path / "clients.xlsx")
    (tmp_path / "token.txt").write_text(DEFAULT_TOKEN)
    env = os.environ | {"PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}
    said = []
    async with Sandbox(tokens=[DEFAULT_TOKEN]) as sandbox:
        for number, block in enumerate(blocks):
            if number == 5:  # the row is corrected
                clients["B5"] = "8 916 000-00-16"
                book.save(tmp_path / "clients.xlsx")
            code, errors = await _shell(block.replace("--host jaicp", f"--host {sandbox.url}"), tmp_path, env)
            said.append((code, errors))
        assert [code for code, _ in said] == [2, 3, 3, 3, 0, 0, 0], said
        assert sorted(job.phone for job in sandbox.jobs) == ["79160000015", "79160000016"]
    names = {path.name for path in tmp_path.iterdir()}
    assert {"bad.xlsx", "rejected.xlsx", "results.xlsx", "calls.xlsx", "clients.xlsx.journal"} <= names


async def _shell(script: str, cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "bash", "-euc", script, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, err = await process.communicate()
    return process.returncode or 0, err.decode()


def test_every_command_is_described() -> None:
    (commands,) = (action for action in make_parser()._actions if action.dest == "command")
    assert commands.choices is not None
    for command in commands.choices:
        assert re.search(rf"`{command}( \[?[A-Za-z]+\]?)?`", README), command


def test_every_option_in_the_text_exists() -> None:
    (commands,) = (action for action in make_parser()._actions if action.dest == "command")
    known = {"--group", "--help"}
    for parser in commands.choices.values():  # type: ignore[union-attr]
        known |= {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) <= known


def test_every_fault_is_named() -> None:
    for kind in FaultKind:
        assert str(kind) in README


CANCELED = "canceled 100 call jobs"


def _row(name: str, table: str = "") -> list[str]:
    """The cells of a setting's row; in the table whose header has that word."""
    text = README[README.index(table) :]
    rows = [line for line in text.splitlines() if re.match(rf"\| `{name}`[^|]* \|", line)]
    assert len(rows) == 1 or (table and rows), name
    return [cell.strip() for cell in rows[0].split("|")[2:-1]]


def test_the_settings_are_the_codes() -> None:
    for field in attrs.fields(BatcherSettings):
        assert _row(field.name, "| `campaign.batcher(...)`")[0] == str(field.default).lower(), field.name
    for field in attrs.fields(UploadSettings):
        assert _row(field.name, "| `campaign.upload(...)`")[0] == str(field.default).lower(), field.name
    single, uploads = RetryPolicy(), RetryPolicy.for_uploads()
    for field in attrs.fields(RetryPolicy):
        defaults = [str(getattr(policy, field.name)).lower() for policy in (single, uploads)]
        assert _row(field.name)[:2] == defaults, field.name
    for field in attrs.fields(Timeouts):
        assert _row(field.name)[0] == str(field.default), field.name
    assert f"({MAX_ANSWER_BYTES};" in README


@pytest.mark.proof
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")
def test_the_test_in_javascript(tmp_path: Path) -> None:
    (text,) = JAVASCRIPT
    (tmp_path / "signup.test.mjs").write_text(text, encoding="utf-8")
    scripts = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["node", "--test"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "pass 1" in done.stdout
