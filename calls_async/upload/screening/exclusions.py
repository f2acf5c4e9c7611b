"""Lists of numbers that must not be called: tens of millions of them, in 8 bytes each."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from calls_async.errors import ConfigurationError, ContactError, SourceError
from calls_async.protocol.phones import normalise_phone
from calls_async.upload.rows.number_set import NumberSet
from calls_async.upload.rows.numbers import NumberRules
from calls_async.upload.sources.text import guess_delimiter


def read_numbers(path: Path, rules: NumberRules) -> NumberSet:
    """Read the numbers in a file: one a line, where blank lines and lines that begin with # are passed over; or a CSV
    file with a column `phone`. With a region, a number that does not say what it is counts in both readings, national
    and international.

    Raises `SourceError`, with the line, for anything that is no number, and for a file without any: who asked not to
    be called must not be overlooked.
    """
    name = str(path)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            found = NumberSet(_numbers(name, iter(lambda: file.readline(_MAX_LINE_CHARS), ""), rules))
    except OSError as error:
        reason = error.strerror or type(error).__name__
    else:
        if not len(found):
            raise SourceError(name, "holds no numbers; a list of those who must not be called should")
        return found
    raise SourceError(name, f"cannot be read: {reason}")


def _numbers(name: str, lines: Iterator[str], rules: NumberRules) -> Iterator[int]:
    columns: list[str] | None = None
    delimiter = ","
    for place, line in enumerate(lines, start=1):
        text = line.strip()
        if columns is None and rules.takes(text):
            yield int(text)
            continue
        if not text or (columns is None and text.startswith("#")):
            continue
        try:
            if place == 1 and "phone" in (header := _cells(line, guess_delimiter([text]))):
                columns, delimiter = header, guess_delimiter([text])
                if columns.count("phone") > 1:
                    raise ContactError("row", "has more than one column 'phone'")
                continue
            cell = text if columns is None else _pick_phone(_cells(line, delimiter), columns)
            yield from _readings(cell, rules)
        except ContactError as error:
            reason = error.reason
        except csv.Error as error:
            reason = f"is not CSV: {error}"
        else:
            continue
        if place == 1 and text.startswith(_BYTE_ORDER_MARKS):
            reason = "is not UTF-8"
        raise SourceError(name, f"{reason}. Give one number a line, or CSV with a column 'phone'", f"line {place}")


def _cells(line: str, delimiter: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line.strip("\r\n")], delimiter=delimiter, strict=True), [])]


def _pick_phone(cells: list[str], columns: list[str]) -> str:
    if len(cells) != len(columns):
        raise ContactError("row", f"has {len(cells)} cells, but the header has {len(columns)}")
    return cells[columns.index("phone")]


def _readings(cell: str, rules: NumberRules) -> Iterator[int]:
    """Yield the numbers that may be meant: who wrote the list may have written either way."""
    if rules.region is None:
        yield int(rules.read(cell))
        return
    found = []
    for reading in (rules.read, normalise_phone):
        try:
            found.append(int(reading(cell)))
        except ContactError as error:
            wrong = error
    if not found:
        raise wrong
    yield from found


_MAX_LINE_CHARS = 100_000
_BYTE_ORDER_MARKS = tuple(
    mark.decode("ascii", "surrogateescape") for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
)


def to_paths(files: Sequence[str | Path], option: str = "exclude") -> list[Path]:
    """Return the files of an option as paths. Raises `ConfigurationError`."""
    if isinstance(files, str | Path):
        raise ConfigurationError(f"{option} is a list of files; put a single one into brackets")
    for file in files:
        if not isinstance(file, str | Path):
            raise ConfigurationError(f"{option} takes files, not a {type(file).__name__}")
    return [Path(file) for file in files]
