"""From a clause of the API to its proof: tests name the clauses that they check, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path

from tests.helpers.clauses import KNOWN


def test_clauses_have_tests() -> None:
    files = [path for path in Path(__file__).parents[1].rglob("test_*.py") if path != Path(__file__)]
    named = {clause for path in files for clause in re.findall(r"C-[A-Z]+-[0-9]+", path.read_text())}
    assert named == KNOWN
