"""Lists of numbers that must not be called: tens of millions of them, in 8 bytes each."""

from __future__ import annotations

import codecs
import csv
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from calls_async.errors import ContactError, SourceError
from calls_async.protocol.phones import is_clean, normalise_phone
from calls_async.upload.files import guess_delimiter
from calls_async.upload.rows import phone_in

_BUCKETS = 4096


class NumberSet:
    """Numbers in sorted arrays, one for each remainder: in growing, an array is never copied as a whole."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self._buckets = [array("Q") for _ in range(_BUCKETS)]
        for number in numbers:
            self._buckets[number % _BUCKETS].append(number)
        for index, bucket in enumerate(self._buckets):
            self._buckets[index] = array("Q", sorted(set(bucket)))

    def __contains__(self, number: int) -> bool:
        bucket = self._buckets[number % _BUCKETS]
        index = bisect_left(bucket, number)
        return index < len(bucket) and bucket[index] == number

    def __len__(self) -> int:
        return sum(map(len, self._buckets))


def read_numbers(path: Path, region: str | None) -> NumberSet:
    """The numbers in a file: one a line, or a CSV file with a column `phone`. Blank lines and lines that begin with #
    are passed over.

    Raises `SourceError`, with the line, for anything that is no number: who asked not to be called must not be
    overlooked.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return NumberSet(_numbers(str(path), file, region))
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise SourceError(str(path), f"cannot be read: {reason}")


def _numbers(name: str, lines: Iterator[str], region: str | None) -> Iterator[int]:
    column: int | None = None
    delimiter = ","
    for place, line in enumerate(lines, start=1):
        text = line.strip()
        if is_clean(text) and region is None and column is None:
            yield int(text)
            continue
        if not text or text.startswith("#"):
            continue
        if place == 1 and (column := _phone_column(text)) is not None:
            delimiter = guess_delimiter(text)
            continue
        try:
            cell = text if column is None else next(csv.reader([text], delimiter=delimiter))[column]
            yield int(normalise_phone(cell if region is None else phone_in(region, cell)))
        except ContactError as error:
            reason = error.reason
        except (csv.Error, IndexError):
            reason = "the column phone is missing"
        else:
            continue
        if place == 1 and text.startswith(_BYTE_ORDER_MARKS):
            reason = "is not UTF-8"
        raise SourceError(name, f"{reason}. Give one number a line, or CSV with a column 'phone'", f"line {place}")


_BYTE_ORDER_MARKS = tuple(
    mark.decode("ascii", "surrogateescape") for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
)


def _phone_column(header: str) -> int | None:
    columns = [cell.strip() for cell in next(csv.reader([header], delimiter=guess_delimiter(header)))]
    return columns.index("phone") if "phone" in columns else None
