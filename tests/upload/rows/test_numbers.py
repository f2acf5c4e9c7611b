"""National numbers."""

from __future__ import annotations

import json

import pytest

from calls_async import ConfigurationError
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.sources.detect import open_source
from calls_async.upload.sources.options import Reading
from tests.helpers.sources import reasons, rows_of


@pytest.mark.parametrize(
    ("region", "written", "number"),
    [
        ("US", "(650) 253-0000", "16502530000"),
        ("US", "16502530000", "16502530000"),
        ("US", "+49 30 123456", "4930123456"),
        ("RU", "8 (916) 123-45-67", "79161234567"),
        ("DE", "030 123456", "4930123456"),
    ],
)
def test_national_numbers(region: str, written: str, number: str) -> None:
    (row,) = rows_of(f"phone\n{written}\n".encode(), rules=NumberRules(region=region))
    assert row.phone == number
    (row,) = rows_of(json.dumps({"phone": written}).encode(), rules=NumberRules(region=region), format="jsonl")
    assert row.phone == number


@pytest.mark.parametrize(
    "written",
    ["3012345678.0x", "30123456.5", "0612345678.25", "-3012345678", "3012345678\u00b2", "1-800-FLOWERS", "x650253"],
)
def test_national_numbers_are_not_guessed(written: str) -> None:
    assert 1 in reasons(rows_of(f"phone\n{written}\n".encode(), rules=NumberRules(region="DE")))


def test_national_numbers_that_are_none() -> None:
    rows = rows_of(b"phone\n12\nx\n\n650 253 0000 ext. 5\n", rules=NumberRules(region="US"))
    assert len(reasons(rows)) == 3
    assert reasons(rows_of(b"phone\n030 123456\n"))[1].endswith("or name the region")
    with pytest.raises(ConfigurationError, match="region"):
        open_source([], Reading(rules=NumberRules(region="XX")))
