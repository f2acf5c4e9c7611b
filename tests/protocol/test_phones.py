"""Numbers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import ContactError
from calls_async.protocol.phones import normalise_phone

numbers = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)


@given(numbers)
def test_a_clean_number_stays(number: str) -> None:  # C-F-1
    assert normalise_phone(number) == number
    assert normalise_phone(int(number)) == number
    assert normalise_phone("+" + number) == number
    assert normalise_phone("00" + number) == number


@given(numbers, st.lists(st.sampled_from(" -.()\u00a0\u2011\u2013"), min_size=14, max_size=14))
def test_separators_change_nothing(number: str, separators: list[str]) -> None:  # C-F-1
    written = number[0] + "".join(separator + digit for digit, separator in zip(number[1:], separators, strict=False))
    try:
        assert normalise_phone("+" + written) == number
    except ContactError as error:
        # like +1234.56, which may be half a number, and like +44 (0)20, of which people dial the 0 or not
        assert "decimal" in error.reason or "(0)" in error.reason


@given(st.text(max_size=30))
def test_whatever_is_written_gives_digits_or_a_reason(text: str) -> None:
    try:
        number = normalise_phone(text)
    except ContactError as error:
        assert error.field == "phone"
        assert error.reason
    else:
        assert number.isascii()
        assert number.isdigit()
        assert 7 <= len(number) <= 15
        assert normalise_phone(number) == number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+1 (650) 000-0000", "16500000000"),
        ("1.650.000.0000", "16500000000"),
        ("１６５００００００００", "16500000000"),
        ("+４９ 30 1234567", "49301234567"),
        ("'16500000000", "16500000000"),
        (" 16500000000\n", "16500000000"),
        (16500000000, "16500000000"),
        (16500000000.0, "16500000000"),
        ("(+1) 650 000 0000", "16500000000"),
        ("٠٠16500000000", "16500000000"),
    ],
)
def test_numbers_as_people_write_them(written: object, number: str) -> None:
    assert normalise_phone(written) == number


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("1.65E+10", "spreadsheet"),
        ("16509999999.000", "decimal"),
        ("1 650 999 9999.0", "decimal"),
        ("16509999999\u00b9", "no part"),
        ("16509999999\u2460", "no part"),
        ("+1 650 999 9999 (2)x", "no part"),
        ("1650999 1650999", "two numbers"),
        ("+44 (0)20 7946 0958", "(0)"),
        pytest.param(10**5000, "digits", id="huge"),
        ("1,65e+10", "spreadsheet"),
        ("16509999999.0", "decimal"),
        ("", "empty"),
        ("   ", "empty"),
        ("n/a", "'n'"),
        ("0650 000000", "national"),
        ("12", "2 digits"),
        ("1650000000016500", "16 digits"),
        ("16509999999,16509999998", "','"),
        ("16509999999 ext 5", "'e'"),
        ("-16500000000", "minus"),
        ("1+6500000000", "'+'"),
        ("++16500000000", "'+'"),
        ("1650000\x000000", "U+0000"),
        (True, "bool"),
        (None, "NoneType"),
        (-16500000000, "minus"),
        (1.5, "float"),
        (b"16500000000", "bytes"),
    ],
)
def test_what_cannot_be_trusted_gets_a_reason(written: object, reason: str) -> None:
    with pytest.raises(ContactError) as caught:
        normalise_phone(written)
    assert reason in caught.value.reason
    assert "1650999" not in str(caught.value)
