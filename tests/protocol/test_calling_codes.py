"""The table of calling codes is what phonenumbers knows."""

from __future__ import annotations

from importlib.resources import files
from itertools import product

import phonenumbers
import pytest

from calls_async import Contact
from calls_async.protocol.calling_codes import RANGES, region_of
from calls_async.protocol.phones import normalise_phone
from tests.helpers.calling_codes import make_table

KINDS = [
    phonenumbers.PhoneNumberType.FIXED_LINE,
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.TOLL_FREE,
    phonenumbers.PhoneNumberType.PREMIUM_RATE,
    phonenumbers.PhoneNumberType.VOIP,
]


def test_the_table_is_made_from_the_installed_metadata() -> None:
    shipped = (files("calls_async.protocol") / "calling_codes.txt").read_text("ascii")
    if shipped.split("\n", 1)[0] != f"# phonenumbers {phonenumbers.__version__}":
        pytest.skip("another release of phonenumbers; print a new table with python -m tests.helpers.calling_codes")
    assert shipped == make_table()


def test_numbers_of_every_region_pass() -> None:
    for region, kind in product(phonenumbers.SUPPORTED_REGIONS, KINDS):
        if (example := phonenumbers.example_number_for_type(region, kind)) is not None:
            number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            assert normalise_phone(number) == number.removeprefix("+")


@pytest.mark.parametrize(
    ("number", "region"),
    [("79160000001", "RU"), ("77010000001", "KZ"), ("16502530000", "US"), ("16132530000", "CA"),
     ("375291234567", "BY"), ("999043469773", "ZZ"), ("80012345678", "001"), ("0000", ""), ("12", ""),
     ("\u0661\u0662\u0663\u0664", "")],
)  # fmt: skip
def test_the_region_of_a_number(number: str, region: str) -> None:
    assert region_of(number) == region


@pytest.mark.parametrize("number", ["16500000000", "16123456789", "79123456789"])
def test_the_numbers_of_the_apis_own_pages_pass(number: str) -> None:  # C-F-1
    assert Contact(phone=number).phone == number


def test_a_beginning_that_nobody_has() -> None:
    assert RANGES["2100"].lengths == 0
