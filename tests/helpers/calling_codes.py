"""Make the table of calling codes from the metadata of phonenumbers.

`python -m tests.helpers.calling_codes` prints it, for `calls_async/protocol/calling_codes.txt`.
"""

from __future__ import annotations

import re._constants as tokens  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

PREFIX_DIGITS = 4
MOST_DIGITS = 15
NOBODYS, MADE_UP_DIGITS = "999", 12
"""No country has this code; made-up numbers begin with it, and have so many digits."""

Edge = tuple[int, frozenset[str] | None, int]


class Automaton:
    """A pattern of digits as a nondeterministic automaton: assertions ahead are left out, so it may accept more."""

    def __init__(self, pattern: str) -> None:
        self._steps: dict[int, list[tuple[frozenset[str] | None, int]]] = {}
        self._count = 1
        self.end = self._add(0, list(parser.parse(pattern)))

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _step(self, start: int, digits: frozenset[str] | None, stop: int) -> None:
        self._steps.setdefault(start, []).append((digits, stop))

    def _add(self, start: int, items: list[Any]) -> int:
        for token, value in items:
            start = self._add_one(start, token, value)
        return start

    def _add_one(self, start: int, token: Any, value: Any) -> int:
        if token is tokens.SUBPATTERN:
            return self._add(start, list(value[3]))
        if token is tokens.BRANCH:
            stop = self._new()
            for branch in value[1]:
                self._step(self._add(start, list(branch)), None, stop)
            return stop
        if token is tokens.MAX_REPEAT:
            least, most, inner = value
            for _ in range(least):
                start = self._add(start, list(inner))
            stop = self._new()
            self._step(start, None, stop)
            for _ in range(int(most) - least):
                start = self._add(start, list(inner))
                self._step(start, None, stop)
            return stop
        if token in (tokens.ASSERT_NOT, tokens.ASSERT, tokens.AT):
            return start
        stop = self._new()
        self._step(start, frozenset(_digits(token, value)), stop)
        return stop

    def _closed(self, states: set[int]) -> set[int]:
        todo = list(states)
        while todo:
            for digits, stop in self._steps.get(todo.pop(), ()):
                if digits is None and stop not in states:
                    states.add(stop)
                    todo.append(stop)
        return states

    def lengths(self, prefix: str) -> set[int]:
        """Return how long the texts are that begin with `prefix`, or are a part of it, and match."""
        states, found = self._closed({0}), set()
        for length in range(MOST_DIGITS + 1):
            if self.end in states:
                found.add(length)
            wanted = {prefix[length]} if length < len(prefix) else set("0123456789")
            states = self._closed(
                {
                    stop
                    for state in states
                    for digits, stop in self._steps.get(state, ())
                    if digits and digits & wanted
                }
            )
        return {length for length in found if length >= len(prefix)}

    def allows(self, prefix: str) -> bool:
        """Return whether something that matches begins with `prefix`, or is the beginning of it."""
        states = self._closed({0})
        for digit in prefix:
            if self.end in states:
                return True
            states = self._closed(
                {
                    stop
                    for state in states
                    for digits, stop in self._steps.get(state, ())
                    if digits and digit in digits
                }
            )
        return bool(states)


def _digits(token: Any, value: Any) -> Iterator[str]:
    if token is tokens.LITERAL:
        yield chr(value)
    elif token is tokens.IN:
        for kind, inner in value:
            yield from _digits(kind, inner)
    elif token is tokens.RANGE:
        yield from map(chr, range(value[0], value[1] + 1))
    elif token is tokens.CATEGORY:
        yield from "0123456789"
    else:
        raise ValueError(f"{token} in a pattern of digits")


@cache
def automaton(pattern: str) -> Automaton:
    return Automaton(pattern)


@cache
def regions(code: str) -> list[tuple[str, Any]]:
    """The regions of a calling code with their metadata, the main one first."""
    names = COUNTRY_CODE_TO_REGION_CODE[int(code)]
    if names == ("001",):
        return [("001", PhoneMetadata.metadata_for_nongeo_region(int(code)))]
    return [(name, PhoneMetadata.metadata_for_region(name)) for name in names]


def find_code(prefix: str) -> str | None:
    return next((prefix[:size] for size in (1, 2, 3) if int(prefix[:size]) in COUNTRY_CODE_TO_REGION_CODE), None)


def describe(prefix: str) -> tuple[str, str]:
    """The region of numbers that begin with `prefix`, and how many digits they have; empty where there are none."""
    if prefix.startswith(NOBODYS):
        return "ZZ", str(MADE_UP_DIGITS)
    if (code := find_code(prefix)) is None:
        return "", ""
    national, lengths = prefix[len(code) :], set()
    for _, metadata in regions(code):
        possible = set(metadata.general_desc.possible_length)
        found = automaton(metadata.general_desc.national_number_pattern).lengths(national) & possible
        lengths |= {len(code) + length for length in found if len(code) + length <= MOST_DIGITS}
    return (find_region(code, national), ",".join(map(str, sorted(lengths)))) if lengths else ("", "")


def find_region(code: str, national: str) -> str:
    for name, metadata in regions(code):
        if metadata.leading_digits is not None:
            if automaton(metadata.leading_digits).allows(national):
                return name
        elif any(
            kind is not None
            and kind.national_number_pattern is not None
            and automaton(kind.national_number_pattern).lengths(national)
            for kind in (metadata.fixed_line, metadata.mobile)
        ):
            return name
    return regions(code)[0][0]


def make_table() -> str:
    """Return the table: a line for each range of beginnings, with the region and the numbers of digits."""
    beginnings = [str(number) for number in range(10 ** (PREFIX_DIGITS - 1), 10**PREFIX_DIGITS)]
    lines = [f"# phonenumbers {phonenumbers.__version__}"]
    for (region, lengths), group in groupby(beginnings, key=describe):
        some = list(group)
        if lengths:
            lines.append(f"{some[0]} {some[-1]} {region} {lengths}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(make_table())
