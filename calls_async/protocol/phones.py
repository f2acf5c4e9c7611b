"""Phone numbers as people write them become the API's digits (C-F-1); what cannot be trusted gets a reason.

A wrong digit is a stranger called, so nothing is guessed: whatever could be read in two ways is refused.
"""

from __future__ import annotations

import re
import unicodedata

from calls_async.errors import ContactError

MIN_DIGITS = 7
"""The shortest international numbers in use, country code included."""
MAX_DIGITS = 15
"""The longest number that ITU-T E.164 allows."""


_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"
_INVISIBLE = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202c\u2060\ufeff"))
_SEPARATORS = frozenset(" \t-.()\u00a0\u2007\u2009\u202f\u3000\uff08\uff09\uff0e" + _DASHES)
_PLUS = frozenset("+\uff0b")
CLEAN_PATTERN = rf"[1-9][0-9]{{{MIN_DIGITS - 1},{MAX_DIGITS - 1}}}"
"""A number as the API wants it."""
_CLEAN = re.compile(CLEAN_PATTERN)
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_DECIMAL = re.compile(r"[-+]?\d{4,}(?:[.,]\d{1,2}|[.,]0+)")
_TWO_NUMBERS = re.compile(r"\d{7,}\s+\d{7,}")


is_clean = _CLEAN.fullmatch
"""Matches a string that is already as the API wants it; the fast way past `normalise_phone`."""


def normalise_phone(value: object) -> str:
    """Return the digits of an international number, from a string or a number.

    Raises `ContactError` for the field `phone`; its text never repeats the number, which is personal data.
    """
    text = phone_text(value)
    return text if is_clean(text) else check_digits(read_digits(text))


def phone_text(value: object) -> str:
    """Return what is written where a phone should be. Raises `ContactError` for what cannot be one."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10 ** (MAX_DIGITS + 1):
            raise _wrong(f"has more than {MAX_DIGITS} digits")
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    raise _wrong(f"is a {type(value).__name__}; give a string of digits")


def written_internationally(text: str) -> bool:
    """Return whether a number says itself that it starts with a country code (`+…` or `00…`)."""
    return text.translate(_INVISIBLE).lstrip("'( \t").startswith(("+", "\uff0b", "00"))


def read_digits(text: str) -> str:
    """Return the digits of a number as people write it, `00` and `+` taken away.

    Raises `ContactError` where it could be read in two ways: what a spreadsheet has spoilt, two numbers in one place,
    anything that is no part of a number.
    """
    text = text.translate(_INVISIBLE).strip().removeprefix("'")
    if not text:
        raise _wrong("is empty")
    if _SCIENTIFIC.fullmatch(text):
        raise _wrong("was spoilt by a spreadsheet (like 1.65E+10), digits are lost; export the column as text")
    if _DECIMAL.fullmatch("".join(text.split())):
        raise _wrong("is written as a decimal number (like 16500000000.0); export the column as text")
    if _TWO_NUMBERS.fullmatch(text):
        raise _wrong("looks like two numbers")
    if "(0)" in text.replace(" ", ""):
        raise _wrong("has (0), which is dialled or not; write the number without it")
    digits: list[str] = []
    for index, char in enumerate(text):
        if char in _PLUS and not digits and not _PLUS & set(text[:index]):
            continue
        if char in _SEPARATORS:
            if char not in " (\uff08\u3000\u00a0" and not digits:
                raise _wrong("starts with a minus sign" if char == "-" else f"starts with {_spell(char)}")
        elif (digit := unicodedata.decimal(char, None)) is not None:
            digits.append(str(digit))
        else:
            raise _wrong(f"contains {_spell(char)}, which is no part of a phone number")
    number = "".join(digits)
    return number[2:] if number.startswith("00") and not _PLUS & set(text) else number


def check_digits(digits: str) -> str:
    """Return `digits` as an international number. Raises `ContactError`."""
    if not digits:
        raise _wrong("has no digits")
    if digits.startswith("0"):
        raise _wrong("starts with 0, so it is a national number; add the country code, or name the region")
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        raise _wrong(f"has {len(digits)} digits; an international number has {MIN_DIGITS} to {MAX_DIGITS}")
    return digits


def _spell(char: str) -> str:
    return repr(char) if char.isprintable() else f"the character U+{ord(char):04X}"


def _wrong(reason: str) -> ContactError:
    return ContactError("phone", reason)
