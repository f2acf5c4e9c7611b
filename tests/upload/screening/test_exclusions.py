"""Lists of numbers that must not be called."""

from __future__ import annotations

from pathlib import Path

import pytest

from calls_async.upload.rows.numbers import CHECKED, NumberRules
from calls_async.upload.screening.exclusions import read_numbers

# --- lists of numbers ---


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("name\tphone\tagent\n\t16500000000\t16500000001\n", {16500000000}),
        ("name,phone\n#1 Bob,16500000000\n", {16500000000}),
    ],
)
def test_no_column_is_mistaken(tmp_path: Path, text: str, numbers: set[int]) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    found = read_numbers(path, CHECKED)
    assert len(found) == len(numbers)
    assert all(number in found for number in numbers)


@pytest.mark.parametrize("text", ["", "# nothing\n", "phone\n", "phone,phone\n1,2\n", "x" * 200_000])
def test_a_list_that_would_exclude_nobody_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    with pytest.raises(Exception, match="list") as caught:
        read_numbers(path, CHECKED)
    assert type(caught.value).__name__ == "SourceError"


def test_a_region_does_not_hide_an_international_number(tmp_path: Path) -> None:
    pytest.importorskip("phonenumbers")
    path = tmp_path / "list"
    path.write_text("16502530000\n")
    assert 16502530000 in read_numbers(path, NumberRules(region="DE"))
