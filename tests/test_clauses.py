"""From a clause of the API to its proof: tests name the clauses that they check, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path

CLAUSES = {
    "HOST": 5, "M": 19, "F": 10, "DAY": 2, "TIME": 6, "ZONE": 1, "PRIO": 3, "POL": 1, "CRM": 1, "IDEM": 8, "DUP": 3,
    "REP": 5, "CAN": 1, "CAM": 3, "ERR": 1,
}  # fmt: skip
"""How many clauses each chapter has."""
KNOWN = {f"C-{chapter}-{number}" for chapter, count in CLAUSES.items() for number in range(1, count + 1)}


def test_clauses_have_tests() -> None:
    files = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    named = {clause for path in files for clause in re.findall(r"C-[A-Z]+-[0-9]+", path.read_text())}
    assert named == KNOWN
