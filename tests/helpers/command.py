"""The command line, as a process and in this one."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import attrs
import pytest

from calls_async.cli.main import run as run_command

COMMAND = [sys.executable, "-m", "calls_async"]


@attrs.frozen
class Ran:
    code: int
    out: str
    err: str


async def run(*arguments: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if not k.startswith("CALLS_")} | (env or {}),
    )
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


async def run_here(*arguments: str | Path, env: dict[str, str] | None = None) -> Ran:
    """As `run`, in a thread of this process, which takes a tenth of the time; not for commands that hear signals."""
    return await asyncio.to_thread(_run_here, [str(one) for one in arguments], env or {})


def _run_here(arguments: list[str], env: dict[str, str]) -> Ran:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in ("CALLS_HOST", "CALLS_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            code: object = run_command(arguments)
        except SystemExit as exited:
            code = exited.code
    said = [one.buffer.getvalue().decode() for one in (out, err)]
    assert isinstance(code, int)
    return Ran(code, *said)


def results_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
