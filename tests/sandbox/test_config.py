"""What a sandbox is to be, by a TOML file and by flags."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from calls_async.cli.arguments import make_parser
from calls_async.cli.commands.sandbox import read_config
from calls_async.sandbox.config import ConfigError, SandboxConfig, read_config_file
from calls_async.sandbox.faults import FaultKind
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.sandbox.model.behaviour import Behaviour, Ending
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.command import run_here
from tests.helpers.guide import README
from tests.helpers.sandboxes import close

WHOLE = """
speed = 600
seed = 7
lines = 20
max_attempts = 2
duplicates = "error"
quoted = true
fault_seed = 3
ring_seconds = [1, 2]
talk_seconds = [5, 5]
no_answer_seconds = 7
allow_host = ["sandbox.test"]

[fault]
reset-after = 0.02

[call_result]
noAnswer = 0.5
longCallWithResult = 0.5

[[campaign]]
token = "one"
name = "Reminders"

[[campaign]]
token = "two"
lines = 3
retry_minutes = 5
"""


def arguments(*flags: str) -> Namespace:
    return make_parser().parse_args(["sandbox", *flags])


def write(folder: Path, text: str) -> str:
    path = folder / "sandbox.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def told(sandbox: Sandbox) -> list[tuple[str, str, int, int, int]]:
    return [
        (one.token, one.name, one.settings.lines, one.settings.max_attempts, one.settings.retry_minutes)
        for one in sandbox.account.campaigns.values()
    ]


def test_a_file_says_everything(tmp_path: Path) -> None:
    plan = read_config(arguments("--config", write(tmp_path, WHOLE)))
    sandbox = plan.make(host="127.0.0.1", port=0)
    assert told(sandbox) == [("one", "Reminders", 20, 2, 60), ("two", "Sandbox campaign 2", 3, 2, 5)]
    assert (sandbox.clock.speed, sandbox.account.duplicates) == (600, DuplicateRule.ERROR)
    assert (dict(sandbox.faults.shares), sandbox.faults.seed) == ({FaultKind.RESET_AFTER: 0.02}, 3)
    assert (plan.seed, plan.quoted, plan.numeric_ids, plan.allow_host) == (7, True, False, ("sandbox.test",))
    assert sandbox.account._behaviour == Behaviour(
        seed=7, shares=plan.call_result or {}, ring_seconds=(1, 2), talk_seconds=(5, 5), no_answer_seconds=7
    )
    assert plan.call_result == {Ending.NO_ANSWER: 0.5, Ending.WITH_RESULT: 0.5}


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    plan = read_config(
        arguments(
            "--config", write(tmp_path, WHOLE), "--speed", "1", "--lines", "5", "--token", "three", "--token", "two",
            "--fault", "503=0.1", "--call-result", "noAnswer=1", "--duplicates", "off", "--no-calls", "--numeric-ids",
            "--fault-seed", "0",
        )
    )  # fmt: skip
    assert (plan.speed, plan.duplicates, plan.calls, plan.numeric_ids) == (1, DuplicateRule.OFF, False, True)
    assert plan.fault_seed == 0
    assert plan.make(host="127.0.0.1", port=0).account.set_up("later").settings.lines == 5
    assert (plan.fault, plan.call_result) == ({"503": 0.1}, {"noAnswer": 1})
    assert [one[:3] for one in told(plan.make(host="127.0.0.1", port=0))] == [
        ("three", "Sandbox campaign 1", 5),
        ("two", "Sandbox campaign 2", 5),
        ("one", "Reminders", 5),
    ]


def test_nothing_said_is_one_campaign() -> None:
    plan = read_config(arguments())
    assert plan == SandboxConfig()
    assert told(plan.make(host="127.0.0.1", port=0)) == [("8231.7056.sandbox", "Sandbox campaign 1", 10, 3, 60)]


def test_a_start_that_is_refused_changes_no_file(tmp_path: Path) -> None:
    text = "state = 's.db'\n[[campaign]]\ntoken = 'one'\n[[campaign]]\ntoken = 'two'\nlines = 0\n"
    with pytest.raises(ValueError, match="lines must be"):
        read_config(arguments("--config", write(tmp_path, text))).make(host="127.0.0.1", port=0)
    assert not (tmp_path / "s.db").exists()


def test_what_is_said_at_a_later_start(tmp_path: Path) -> None:
    """What the page changed stays, where nobody says otherwise."""

    def start(*flags: str) -> Sandbox:
        return read_config(arguments("--state", str(tmp_path / "s.db"), *flags)).make(host="127.0.0.1", port=0)

    first = start("--token", "one", "--lines", "4")
    first.account.set_up("two", name="Two", lines=7, retry_minutes=1)
    first.save()
    close(first)
    second = start()
    assert told(second) == [("one", "Sandbox campaign 1", 4, 3, 60), ("two", "Two", 7, 3, 1)]
    close(second)
    third = start("--lines", "2", "--token", "three", "--token", "two")
    assert [one[:3] for one in told(third)] == [
        ("one", "Sandbox campaign 1", 2), ("two", "Two", 2), ("three", "Sandbox campaign 3", 2)
    ]  # fmt: skip
    assert third.token == "three"  # a campaign that calls nobody
    close(third)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("speed = ", "is not TOML"),
        ("speed = '600'", "'600' is not a number at speed"),
        ("lines = true", "True is not a whole number at lines"),
        ("lines = 1.5", "1.5 is not a whole number at lines"),
        ("tokens = 1", "tokens is not known"),
        ("talk_seconds = 5", "talk_seconds must be two whole numbers"),
        ("talk_seconds = [5]", "talk_seconds"),
        ("talk_seconds = ['5', 6]", "'5' is not a whole number at talk_seconds"),
        ("duplicates = 'none'", "'none' is not one of ignore, error, off at duplicates"),
        ("fault.teapot = 1", "'teapot' is not one of reset-before"),
        ("call_result.answers = 1", "'answers' is not one of longCallWithResult"),
        ("[[campaign]]\nname = 'x'", "token is missing at campaign[0]"),
        ("[[campaign]]\ntoken = 'x'\nline = 3", "line is not known at campaign[0]"),
        ("[campaign]\ntoken = 'x'", "campaign must be tables: [[campaign]]"),
        ("campaign = [1]", "campaign must be tables: [[campaign]]"),
        ("fault = 5", "fault must be a table: [fault]"),
        ("allow_host = 'foo'", "allow_host must be a list"),
        ("[[campaign]]\ntoken = 'x'\n[[campaign]]\ntoken = 'x'", "two campaigns have the token x"),
    ],
)
def test_a_file_that_says_what_cannot_be(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        read_config_file(Path(write(tmp_path, text)))
    assert str(wrong.value).startswith(f"{tmp_path}/sandbox.toml")
    assert says in str(wrong.value)


@pytest.mark.parametrize(
    ("text", "flags", "says"),
    [
        ("", ("--config", "none.toml"), "none.toml cannot be read: No such file"),
        ("speed = -1", (), "the speed of a clock"),
        ("lines = 0", (), "lines must be 1 to 1000000, not 0"),
        ("fault.503 = 2", (), "together 1 at most"),
        ("call_result.noAnswer = -1", (), "0 or more"),
        ("call_result.noAnswer = nan", (), "0 or more"),
        ("talk_seconds = [5, 4]", (), "talk_seconds must be two numbers"),
        ("ring_seconds = [-1, 4]", (), "ring_seconds must be two numbers"),
        ("no_answer_seconds = 0", (), "no_answer_seconds must be"),
        ("", ("--call-result", "noAnswer=inf"), "0 or more"),
        ("lines = 1000000000000000000000", (), "lines must be"),
        ('state = "a\\u0000b"', (), "cannot be opened"),
        ("[[campaign]]\ntoken = ''", (), "'' cannot be a token"),
        ("", ("--allow-host", ""), "cannot be the name of a host"),
        ("", ("--allow-host", "x:80"), "cannot be the name of a host"),
        ("[[campaign]]\ntoken = 'a b'", (), "'a b' cannot be a token"),
        ("state = '/'", (), "cannot be opened"),
        ("", ("--call-result", "busy=1"), "the results are longCallWithResult"),
        ("", ("--token", "a/b"), "'a/b' cannot be a token"),
    ],
)
async def test_the_command_says_what_cannot_be(text: str, flags: tuple[str, ...], says: str, tmp_path: Path) -> None:
    ran = await run_here("sandbox", "--port", "0", "--config", write(tmp_path, text), *flags)
    assert (ran.code, says in ran.err, "Traceback" in ran.err) == (2, True, False), ran.err


def test_the_readmes_file_is_one(tmp_path: Path) -> None:
    (text,) = (block.partition("```")[0] for block in README.split("```toml\n")[1:])
    plan = read_config_file(Path(write(tmp_path, text)))
    assert len(told(plan.make(host="127.0.0.1", port=0))) == 2
