"""Numbers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_async import ContactError
from calls_async.protocol.calling_codes import RANGES
from calls_async.protocol.phones import normalise_phone


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A number of some country: its beginning, and as many digits as there may be."""
    prefix = draw(st.integers(1000, 9999).map(str).filter(lambda prefix: RANGES[prefix].lengths))
    length = draw(st.sampled_from([length for length in range(16) if RANGES[prefix].lengths >> length & 1]))
    return prefix + draw(st.text("0123456789", min_size=length - 4, max_size=length - 4))


@given(numbers())
def test_a_clean_number_stays(number: str) -> None:  # C-F-1
    assert normalise_phone(number) == number
    assert normalise_phone(int(number)) == number
    assert normalise_phone("+" + number) == number
    assert normalise_phone("00" + number) == number


@given(numbers(), st.lists(st.sampled_from(" -./\u00a0\u2011\u2013"), min_size=14, max_size=14))
def test_separators_change_nothing(number: str, separators: list[str]) -> None:  # C-F-1
    written = number[0] + "".join(separator + digit for digit, separator in zip(number[1:], separators, strict=False))
    try:
        assert normalise_phone("+" + written) == number
    except ContactError as error:
        # like +1234.56, which may be half a number, and like 4930123 / 4930124
        assert "decimal" in error.reason or "numbers" in error.reason


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
        ("16509999999.000", "16509999999"),
        ("\u202a+7 916 000-00-01\u202c", "79160000001"),
        ("+7 916 000\u200b-00-04\u00ad", "79160000004"),
        ("tel:+7-916-000-00-10", "79160000010"),
        ('="79160000009"', "79160000009"),
        ("'+79160000008'", "79160000008"),
        ("\u00ab+79160000008\u00bb", "79160000008"),
        ("+7 495 000/00/11", "74950000011"),
        ("+49 123 / 42 42 42", "49123424242"),
        ("16123456789", "16123456789"),
        ("79123456789", "79123456789"),
        ("999043469773", "999043469773"),
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
        ("16509999999.5", "decimal"),
        ("1 650 999 9999.0", "decimal"),
        ("+7 916 000-18", "9 digits; numbers of RU that begin so have 11"),
        ("+7 916 000-00-188", "12 digits; numbers of RU that begin so have 11"),
        ("+99916000019", "11 digits"),
        ("11111111111", "no number of any country"),
        ("+7 (495) 000-00-12 (123)", "extension"),
        ("8 (423) 200-00-11, доб. 100", "extension"),
        ("+7 495 000-00-11 x12", "extension"),
        ("+7 495 000-00-13 12", "13 digits"),
        ("+79160000020; +79160000021", "holds 2 numbers (7916…20, 7916…21)"),
        ("+7 916 000-00-22 +7 916 000-00-23", "holds 2 numbers"),
        ("+7 916 000-00-26 ::: +7 916 000-00-27", "holds 2 numbers"),
        ("+0079160000033", "national"),
        ("+7 8 (916) 000-00-35", "12 digits"),
        ("+49 030 1234567", "no number of any country"),
        ("16509999999\u00b9", "no part"),
        ("16509999999\u2460", "no part"),
        ("+1 650 999 9999 (2)x", "no part"),
        ("1650999 1650999", "holds 2 numbers"),
        ("+44 (0)20 7946 0958", "(0)"),
        pytest.param(10**5000, "digits", id="huge"),
        ("1,65e+10", "spreadsheet"),
        ("", "empty"),
        ("   ", "empty"),
        ("n/a", "'n'"),
        ("0650 000000", "national"),
        ("12", "2 digits"),
        ("1650000000016500", "16 digits"),
        ("16509999999,16509999998", "holds 2 numbers"),
        ("16509999999 ext 5", "extension"),
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
