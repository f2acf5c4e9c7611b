"""What counts as a phone number in a list: one reading, of a country and a length that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any

import attrs

from calls_async.errors import ConfigurationError, ContactError, MissingExtraError
from calls_async.protocol.calling_codes import PREFIX_DIGITS, RANGES, region_of
from calls_async.protocol.phones import (
    MAX_DIGITS,
    AsGiven,
    check_country,
    check_digits,
    phone_text,
    read_digits,
    split_numbers,
    written_internationally,
)

AMBIGUOUS = (
    "may be a national number, or one with a country code; name the region, such as --region RU, or write it with a "
    "plus, or say --international where it is meant as it stands"
)
"""Why a number that can be read in two ways is not sent."""


class Numbers(StrEnum):
    """How numbers are checked."""

    CHECKED = "checked"
    """By the country code and the length."""
    UNAMBIGUOUS = "unambiguous"
    """So, and what can be read in two ways is rejected."""
    STRICT = "strict"
    """So, and by the whole numbering plan of the country: phonenumbers, an extra."""
    ANY = "any"
    """Not at all: short numbers of an on-premise exchange."""


def _read_regions(value: Iterable[str] | str | None) -> frozenset[str]:
    return frozenset(value.split(",") if isinstance(value, str) else value or ())


def _read_numbers(value: object) -> Numbers:
    try:
        return Numbers(value)  # type: ignore[arg-type]  # anything that is none raises
    except ValueError:
        raise ConfigurationError(f"numbers is one of {', '.join(Numbers)}, not {value!r}") from None


class _Lengths(dict[str, int]):
    """How many digits numbers may have, as bits, by their beginning."""

    def __init__(self, find: Callable[[str], int]) -> None:
        self._find = find

    def __missing__(self, prefix: str) -> int:
        self[prefix] = self._find(prefix)
        return self[prefix]


@attrs.frozen(kw_only=True, eq=False)
class NumberRules:
    """How numbers are read and checked. Raises `ConfigurationError`, and `MissingExtraError` without the library."""

    region: str | None = None
    """Where national numbers are from, such as `US`."""
    numbers: Numbers = attrs.field(default=Numbers.CHECKED, converter=_read_numbers)
    international: bool = False
    """Whether a number that may be national is meant as it stands."""
    first_number: bool = False
    """Whether the first of several numbers in one place is taken."""
    only_regions: frozenset[str] = attrs.field(default=frozenset(), converter=_read_regions)
    """Numbers of other regions are rejected; none: of no region."""
    with_plus: _Lengths = attrs.field(init=False, repr=False)
    """How many digits a number with a plus may have so that it is sent as it stands, as bits, by its beginning."""
    as_written: _Lengths = attrs.field(init=False, repr=False)
    """The same of digits without a plus."""

    @with_plus.default
    def _make_with_plus(self) -> _Lengths:
        return _Lengths(self._lengths)

    @as_written.default
    def _make_as_written(self) -> _Lengths:
        return _Lengths(lambda prefix: self._lengths(prefix) & ~self._unclear(prefix) if self._plain else 0)

    def __attrs_post_init__(self) -> None:
        _check_regions({self.region} - {None}, needed=self.region is not None)
        _check_regions(self.only_regions, needed=False)
        if self.numbers is Numbers.STRICT:
            _check_regions((), needed=True)

    def options(self) -> dict[str, Any]:
        """Return what was said otherwise than by default, for a journal."""
        given: dict[str, Any] = {
            "region": self.region,
            "international": self.international,
            "first_number": self.first_number,
        }
        given |= {"only_regions": sorted(self.only_regions), "numbers": self.numbers.value}
        return {name: value for name, value in given.items() if value and value != Numbers.CHECKED.value}

    @property
    def columnar(self) -> bool:
        """Whether most numbers can be judged many at a time."""
        return self.numbers is not Numbers.STRICT

    @property
    def _plain(self) -> bool:
        """Whether digits that fit their country are sent as they stand."""
        return self.columnar and self.region is None

    @property
    def unambiguous(self) -> bool:
        """Whether a number that can be read in two ways is rejected."""
        return self.numbers in (Numbers.UNAMBIGUOUS, Numbers.STRICT) and not self.international

    @property
    def for_exclusions(self) -> NumberRules:
        """The rules for numbers that must not be called: of any region, and each cell one number."""
        return attrs.evolve(self, first_number=False, only_regions=frozenset())

    def _lengths(self, prefix: str) -> int:
        found = RANGES[prefix]
        return found.lengths if not self.only_regions or found.region in self.only_regions else 0

    def _unclear(self, prefix: str) -> int:
        if not self.unambiguous:
            return 0
        return 1 << 10 | (1 << 11 if prefix.startswith("8") else 0)

    def takes(self, text: str) -> bool:
        """Return whether a text is a number that is sent as it stands: the fast way past `read`."""
        return text.isdigit() and text.isascii() and bool(self.as_written[text[:PREFIX_DIGITS]] >> len(text) & 1)

    def read(self, value: Any) -> str:
        """Return the digits of a number as the API gets them. Raises `ContactError` for the field `phone`; its text
        never repeats the number."""
        text = phone_text(value)
        if self.takes(text):
            return text
        if self.first_number:
            text = split_numbers(text)[0]
        if self.numbers is Numbers.ANY:
            return _read_any(text)
        international = written_internationally(text)
        if self.region is not None and not international:
            number = check_country(_complete(text, self.region))
        else:
            number = read_digits(text)
            if not international and self.unambiguous and self._unclear(number) >> len(number) & 1:
                raise ContactError("phone", AMBIGUOUS)
            number = check_country(check_digits(number))
        if self.numbers is Numbers.STRICT:
            _check_valid(number)
        if self.only_regions and region_of(number) not in self.only_regions:
            raise ContactError("phone", f"is a number of {region_of(number)}, and --only-region takes none of these")
        return number


def _read_any(text: str) -> AsGiven:
    digits = read_digits(text)
    if not 1 <= len(digits) <= MAX_DIGITS:
        raise ContactError("phone", f"has {len(digits)} digits; 1 to {MAX_DIGITS} can be dialled")
    return AsGiven(digits)


def _complete(text: str, region: str) -> str:
    """Return a national number of a region with its country code."""
    import phonenumbers  # an extra; the rules have seen it

    digits = read_digits(text)
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return check_digits(digits)  # which says better what is wrong with it
    if not phonenumbers.is_possible_number(number):
        raise ContactError("phone", f"is not a possible number in the region {region}")
    if digits == phonenumbers.national_significant_number(number):
        number = _choose_reading(number, digits, region)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _choose_reading(national: Any, digits: str, region: str) -> Any:
    """Return what digits mean that may be a national number, or one with its country code, such as 49 151 2345678 in
    Germany, whose numbers have almost any length. Raises `ContactError` where that cannot be told."""
    import phonenumbers  # an extra; the rules have seen it

    if not digits.startswith(code := str(national.country_code)):
        return national
    try:
        international = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return national
    possible = phonenumbers.is_possible_number_with_reason(international)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return national
    valid, valid_so = map(phonenumbers.is_valid_number, (national, international))
    if valid is valid_so:
        wrong = f"may be a national number of {region}, or one with its country code {code}; write it with a plus"
        raise ContactError("phone", wrong)
    return international if valid_so else national


def _check_valid(number: str) -> None:
    import phonenumbers  # an extra; the rules have seen it

    try:
        valid = phonenumbers.is_valid_number(phonenumbers.parse(f"+{number}"))
    except phonenumbers.NumberParseException:
        valid = False
    if not valid:
        raise ContactError("phone", "is no number that its country gives out")


def _check_regions(regions: Iterable[str | None], *, needed: bool) -> None:
    if not needed and not regions:
        return
    try:
        import phonenumbers
    except ImportError:
        if not needed:
            return  # whether there is such a region, only the library knows
        raise MissingExtraError("reading national numbers", "region") from None
    for region in regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise ConfigurationError(
                f"region {region!r} is not one of two letters that has numbers, such as US or DE"
            )


CHECKED = NumberRules()
"""The rules where nobody says otherwise."""
