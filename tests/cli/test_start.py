"""What is imported when: help and mistakes need no heavy libraries, and names are there when they are asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import calls_async
from calls_async.cli.main import COMMANDS


def test_every_public_name_is_there() -> None:
    for name in calls_async.__all__:
        assert getattr(calls_async, name).__module__.startswith("calls_async")
    assert dir(calls_async) == calls_async.__all__ == sorted(calls_async.__all__)
    with pytest.raises(AttributeError, match="Contacts"):
        calls_async.Contacts  # type: ignore[attr-defined]  # noqa: B018


def test_rooms_are_there_when_asked_for() -> None:
    for name in ("client", "errors", "protocol", "transport", "upload"):
        program = f"import calls_async; assert calls_async.{name}.__name__ == 'calls_async.{name}'"
        subprocess.run([sys.executable, "-c", program], check=True)


def test_type_checkers_see_the_same_names() -> None:
    stub = Path(calls_async.__file__).with_suffix(".pyi")
    seen = {
        name.name: (node.module or "").removeprefix("calls_async.")
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert seen == calls_async._HOMES
    assert set(seen) == set(calls_async.__all__)


@pytest.mark.parametrize("arguments", [["--help"], ["upload", "--help"], ["upload"], ["--version"], ["nonsense"]])
def test_help_needs_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom calls_async.cli.main import run\n"
        f"try:\n    run({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'aiohttp', 'asyncio', 'attrs', 'cattrs', 'pyarrow', 'rich', 'sqlite3'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_every_command_has_its_function() -> None:
    from importlib import import_module

    for name, module in COMMANDS.items():
        assert callable(getattr(import_module(f"calls_async.cli.commands.{module}"), name))
