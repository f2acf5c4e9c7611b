"""Phone numbers as people write them become the API's digits (C-F-1); what cannot be trusted gets a reason.

A wrong digit is a stranger called, so nothing is guessed: whatever could be read in two ways is refused.
"""

from __future__ import annotations

import re
import unicodedata

from calls_async.errors import ContactError
from calls_async.protocol.calling_codes import PREFIX_DIGITS, RANGES

MIN_DIGITS = 7
"""The shortest international numbers in use, country code included."""
MAX_DIGITS = 15
"""The longest number that ITU-T E.164 allows."""


class AsGiven(str):
    """A number that is sent as it stands and checked by nobody, such as a short one of an on-premise exchange."""

    __slots__ = ()


_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"
_INVISIBLE = dict.fromkeys(
    [0xAD, 0xFEFF, 0x2060, 0xFE0E, 0xFE0F, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
"""Soft hyphens, marks of direction and of width zero: they come with copied text."""
_SEPARATORS = frozenset(" \t-.()/\u00a0\u2007\u2009\u202f\u3000\uff08\uff09\uff0e" + _DASHES)
_PLUS = frozenset("+\uff0b")
_QUOTES = "'\"\u2018\u2019\u201c\u201d\u00ab\u00bb`"
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_DECIMAL = re.compile(r"[-+]?\d{4,}[.,]\d{1,2}")
_WHOLE_DECIMAL = re.compile(r"(\+?\d{4,})[.,]0+")
_FORMULA = re.compile(r'="(.*)"')
_EXTENSION = re.compile(
    r"(?<=[\d)])\W*(?:\b(?:ext(?:ension)?|доб(?:авочный)?|вн(?:утр)?|доп|extn)\b\W*|[x\u00d7#*,;]\s*)\d{1,6}\W*$"
    r"|(?<=\d)\s*[(\[]\s*\d{1,6}\s*[)\]]$",
    re.IGNORECASE,
)
"""An extension's mark behind a number, or digits in brackets at its end."""
_BETWEEN_NUMBERS = re.compile(
    r"[;,/|&\n\r]+|:{2,}|\s{2,}|\s(?:and|or|и|или|y|und|oder)\s|\s+(?=\+)|(?<=\d{7})\s+(?=\d{7})"
)


def is_clean(text: str) -> bool:
    """Return whether a number is already as the API wants it: the fast way past `normalise_phone`."""
    return text.isdigit() and text.isascii() and bool(RANGES[text[:PREFIX_DIGITS]].lengths >> len(text) & 1)


def normalise_phone(value: object) -> str:
    """Return the digits of an international number, from a string or a number.

    Raises `ContactError` for the field `phone`; its text never repeats the number, which is personal data.
    """
    if isinstance(value, AsGiven):
        return str(value)
    text = phone_text(value)
    return text if is_clean(text) else check_country(check_digits(read_digits(text)))


def read_sent_phone(value: object) -> str:
    """Return the digits of a number that was sent before, whatever it was checked by. Raises `ContactError`."""
    text = phone_text(value)
    return text if text.isascii() and text.isdigit() else check_digits(read_digits(text))


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
    return _bare(text).lstrip("( \t").startswith(("+", "\uff0b", "00"))


def split_numbers(text: str) -> list[str]:
    """Return the numbers that are written in one place, each with at least seven digits; the text itself where there
    are not several."""
    parts = [part.strip() for part in _BETWEEN_NUMBERS.split(text.translate(_INVISIBLE).strip())]
    numbers = [part for part in parts if sum(map(str.isdecimal, part)) >= MIN_DIGITS]
    return numbers if len(numbers) > 1 else [text]


def _bare(text: str) -> str:
    """Return a number without what surrounds it: invisible characters, quotes, `tel:`, a spreadsheet's `="…"`."""
    text = text.translate(_INVISIBLE).strip()
    if (formula := _FORMULA.fullmatch(text)) is not None:
        text = formula[1]
    text = text.strip(_QUOTES).strip()
    return text[4:].strip() if text[:4].lower() == "tel:" else text


def read_digits(text: str) -> str:
    """Return the digits of a number as people write it, `00` and `+` taken away.

    Raises `ContactError` where it could be read in two ways: what a spreadsheet has spoilt, two numbers in one place,
    an extension, anything that is no part of a number.
    """
    text = _bare(text)
    if (whole := _WHOLE_DECIMAL.fullmatch(text)) is not None:
        text = whole[1]
    if (reason := _find_two_readings(text)) is not None:
        raise _wrong(reason)
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


def _find_two_readings(text: str) -> str | None:
    """Return why a number could be read in two ways, or not at all; None where it is clear."""
    if not text:
        return "is empty"
    if _SCIENTIFIC.fullmatch(text):
        return "was spoilt by a spreadsheet (like 1.65E+10), digits are lost; export the column as text"
    if _DECIMAL.fullmatch("".join(text.split())):
        return "is written as a decimal number (like 16500000000.5); export the column as text"
    if len(numbers := split_numbers(text)) > 1:
        return (
            f"holds {len(numbers)} numbers ({', '.join(map(mask_phone, numbers))}); keep one, or say --first-number"
        )
    if _EXTENSION.search(text):
        return "has an extension, which cannot be dialled; leave it out"
    if "(0)" in text.replace(" ", ""):
        return "has (0), which is dialled or not; write the number without it"
    return None


def check_digits(digits: str) -> str:
    """Return `digits` as an international number. Raises `ContactError`."""
    if not digits:
        raise _wrong("has no digits")
    if digits.startswith("0"):
        raise _wrong("starts with 0, so it is a national number; add the country code, or name the region")
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        raise _wrong(f"has {len(digits)} digits; an international number has {MIN_DIGITS} to {MAX_DIGITS}")
    return digits


def check_country(digits: str) -> str:
    """Return `digits` where some country has such numbers. Raises `ContactError`."""
    found = RANGES[digits[:PREFIX_DIGITS]]
    if not found.lengths:
        raise _wrong("is no number of any country: none has a code that it begins with, or none of its numbers do")
    if not found.lengths >> len(digits) & 1:
        wanted = " or ".join(str(length) for length in range(MAX_DIGITS + 1) if found.lengths >> length & 1)
        raise _wrong(
            f"has {len(digits)} digits; numbers of {found.region} that begin so have {wanted}, with their code"
        )
    return digits


def mask_phone(text: str) -> str:
    """Return a number with most of its digits hidden."""
    digits = "".join(char for char in text if char.isdecimal())
    return f"{digits[:4]}…{digits[-2:]}" if len(digits) > MIN_DIGITS else "…"


def _spell(char: str) -> str:
    return repr(char) if char.isprintable() else f"the character U+{ord(char):04X}"


def _wrong(reason: str) -> ContactError:
    return ContactError("phone", reason)
