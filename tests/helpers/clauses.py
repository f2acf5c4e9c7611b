"""The codes of the API's clauses."""

from __future__ import annotations

CLAUSES = {
    "HOST": 5, "M": 19, "F": 10, "DAY": 2, "TIME": 6, "ZONE": 1, "PRIO": 3, "POL": 1, "CRM": 1, "IDEM": 8, "DUP": 3,
    "REP": 5, "CAN": 1, "CAM": 3, "ERR": 1,
}  # fmt: skip
"""How many clauses each chapter has."""
KNOWN = {f"C-{chapter}-{number}" for chapter, count in CLAUSES.items() for number in range(1, count + 1)}
