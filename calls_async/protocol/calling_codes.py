"""Which numbers there can be: how many digits they have, and in which country, by their first four digits.

The table beside this is made from the metadata of phonenumbers; a test compares the two. It knows lengths and leading
digits, not which numbers are in use. Country code 999, which nobody has, passes: made-up numbers begin with it.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from importlib.resources import files
from typing import NamedTuple

PREFIX_DIGITS = 4
NOWHERE = "ZZ"
"""The region of code 999."""


class NumberRange(NamedTuple):
    """The numbers with the same beginning."""

    region: str
    """Two letters; `001` where the code is no country's."""
    lengths: int
    """Bit n is set where they may have n digits, country code included."""


_NO_NUMBERS = NumberRange("", 0)


class _Ranges(dict[str, NumberRange]):
    """The range of each beginning, found when it is first asked for."""

    def __missing__(self, prefix: str) -> NumberRange:
        starts, stops, ranges = _read_table()
        index = bisect_right(starts, prefix) - 1
        found = len(prefix) == PREFIX_DIGITS and index >= 0 and prefix <= stops[index]
        self[prefix] = ranges[index] if found and prefix.isascii() and prefix.isdigit() else _NO_NUMBERS
        return self[prefix]


RANGES = _Ranges()


def region_of(number: str) -> str:
    """Return the region of an international number; empty where there is none."""
    return RANGES[number[:PREFIX_DIGITS]].region


@cache
def _read_table() -> tuple[list[str], list[str], list[NumberRange]]:
    text = (files(__package__) / "calling_codes.txt").read_text("ascii")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    ranges = [NumberRange(region, sum(1 << int(one) for one in lengths.split(","))) for *_, region, lengths in lines]
    return [line[0] for line in lines], [line[1] for line in lines], ranges
