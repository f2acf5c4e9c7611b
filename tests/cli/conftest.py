"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from calls_async.cli.commands.sample import sample_csv
from calls_async.sandbox.server.server import Sandbox
from tests.helpers.servers import TOKEN


@pytest.fixture
async def served() -> AsyncIterator[tuple[Sandbox, dict[str, str]]]:
    async with Sandbox(tokens=[TOKEN]) as sandbox:
        yield sandbox, {"CALLS_HOST": sandbox.url, "CALLS_TOKEN": TOKEN}


@pytest.fixture
def some_csv(tmp_path: Path) -> Path:
    path = tmp_path / "contacts.csv"
    path.write_text("".join(sample_csv(1000, 0)))
    return path
