"""Commands, options and wrong ones."""

from __future__ import annotations

import pytest

from calls_async.cli.arguments import make_parser
from calls_async.cli.main import COMMANDS
from tests.helpers.command import run, run_here


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
        (["upload", "x.csv", "--sandbox", "--results", "r.xml"], 2, ".jsonl, .csv, .xlsx"),
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


def test_every_command_of_the_parser_is_there() -> None:
    (commands,) = (action for action in make_parser()._actions if action.dest == "command")
    assert commands.choices is not None
    assert set(commands.choices) == set(COMMANDS)
