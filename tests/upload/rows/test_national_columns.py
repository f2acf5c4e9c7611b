"""National numbers in columns are what phonenumbers reads, row by row."""

from __future__ import annotations

import io
import random

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls_async.errors import ContactError
from calls_async.upload.rows.national_columns import find_plan
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.rows.row import EncodedRow, Row, each_row
from calls_async.upload.sources.formats import read_batches
from calls_async.upload.sources.options import Reading

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
COMMON = ["RU", "KZ", "US", "DE", "GB", "FR", "TR", "BY", "IN", "NO", "SM"]
FORMATS = [phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.E164]


def read(cells: list[str], region: str, *, columnar: bool) -> list[Row]:
    data = ("phone;n\n" + "".join(f"{cell};{n}\n" for n, cell in enumerate(cells))).encode()
    rules = NumberRules(region=region)
    reading = Reading(format="csv", delimiter=";", columnar=columnar, rules=rules)
    return [row for batch in read_batches("x", io.BytesIO(data), reading) for row in each_row(batch.runs)]


def spell(rng: random.Random, region: str) -> str:
    """A number of the region, or nearly one, as somebody may write it."""
    number = phonenumbers.example_number_for_type(region, rng.choice([0, 1, 2, 3, 4, 6]))
    number = number or phonenumbers.example_number(region)
    digits = phonenumbers.national_significant_number(number) if number is not None else "1234567"
    kept = rng.randrange(len(digits))
    digits = digits[:kept] + "".join(rng.choice("0123456789") for _ in digits[kept:])
    digits = digits[: rng.choice([None, None, None, -1, -2])] + rng.choice(["", "", "", "0", "12"])
    code = str(phonenumbers.country_code_for_region(region))
    prefixes = ["", "", code, "8", "0", "1", "00", f"00{code}", f"+{code}", f"+{code} ", "810", "9"]
    prefix = rng.choice(prefixes)
    if rng.random() < 0.5:
        first, second = sorted(rng.sample(range(len(digits) + 1), 2)) if len(digits) > 1 else (0, 0)
        digits = rng.choice(["({0}) {1}-{2}", "{0} {1} {2}", "{0}-{1}-{2}", "{0}.{1}.{2}", "{0} ({1}) {2}"]).format(
            digits[:first], digits[first:second], digits[second:]
        )
    return prefix + digits


@pytest.mark.parametrize("seed", range(20))
def test_both_lanes_agree_of_every_region(seed: int) -> None:
    rng = random.Random(seed)
    for region in [*COMMON, *rng.sample(REGIONS, 15)]:
        cells = [spell(rng, region) for _ in range(60)]
        assert read(cells, region, columnar=True) == read(cells, region, columnar=False), region


@settings(deadline=None)
@given(st.sampled_from(COMMON), st.lists(st.text("0123456789 ()-+8", min_size=1, max_size=18), max_size=20))
def test_both_lanes_agree_of_anything(region: str, cells: list[str]) -> None:
    cells = [cell for cell in cells if cell.strip()]
    assert read(cells, region, columnar=True) == read(cells, region, columnar=False)


@pytest.mark.parametrize("region", ["RU", "US", "DE", "GB", "BY", "KZ"])
def test_numbers_as_people_write_them_stay_in_the_lane(region: str) -> None:
    plan = find_plan(region)
    assert plan is not None
    number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    assert number is not None
    digits = phonenumbers.national_significant_number(number)
    wanted = f"{number.country_code}{digits}"
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    assert metadata is not None
    cells = [digits, f"{metadata.national_prefix}{digits}", wanted]
    completed, sure = plan.complete(pa.array(cells))
    certain = [True, True, region != "DE"]  # where a number with its code may be a national one, too
    assert sure.to_pylist() == certain
    assert all(one == wanted for one, sure in zip(completed.to_pylist(), certain, strict=True) if sure)
    rows = read(cells, region, columnar=True)
    assert [row.phone for row in rows if isinstance(row, EncodedRow)] == [wanted] * sum(certain)


def test_a_number_with_its_code_is_never_taken_for_a_national_one() -> None:
    taken = refused = 0
    for region in REGIONS:
        rules = NumberRules(region=region)
        for kind in (0, 1, 3, 4):  # fixed, mobile, toll-free, premium
            number = phonenumbers.example_number_for_type(region, kind)
            if number is None:
                continue
            wanted = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
            try:
                assert rules.read(wanted) == wanted, region
                taken += 1
            except ContactError as error:
                refused += "may be a national number" in error.reason
    assert taken > 700
    assert refused < 40


def test_two_numbers_in_one_cell_are_two_in_both_lanes() -> None:
    cells = ["+4912345 6789012", "+49123456 7890123", "1234567 8901234"]
    assert read(cells, "DE", columnar=True) == read(cells, "DE", columnar=False)


@pytest.mark.parametrize(
    ("region", "cell"),
    [("IR", "9806622987"), ("IR", "9808423606"), ("IR", "9803972466"), ("PH", "630240043"), ("TR", "9004441444")],
)
def test_a_prefix_behind_the_code(region: str, cell: str) -> None:
    assert read([cell], region, columnar=True) == read([cell], region, columnar=False)
