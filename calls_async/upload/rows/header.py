"""What the columns of a list may mean, by their names and by what stands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from calls_async.protocol.contact import did_you_mean
from calls_async.protocol.phones import split_numbers

_PHONE_NAMES = frozenset(
    """
    phone phones phonenumber phoneno telephone tel telefon telefono telefone mobile mobilephone mobilenumber cell
    cellphone handy msisdn phone1value телефон телефоны номер номертелефона мобильный мобильныйтелефон сотовый
    контактныйтелефон телефонклиента
    """.split()  # noqa: SIM905  # readable so
)
"""Names of columns of numbers, without case, spaces and marks."""
REASON_COLUMN = "calls-async reason"
"""The column in which rejected rows say why; where such a list is handed in again, it means nothing."""
_SETTINGS = {
    "timezone": "gmtZone", "tz": "gmtZone", "zone": "gmtZone", "utcoffset": "gmtZone", "gmt": "gmtZone",
    "часовойпояс": "gmtZone", "таймзона": "gmtZone",
    "priority": "dialerPriority", "приоритет": "dialerPriority",
    "startdate": "startDateTime", "startat": "startDateTime", "start": "startDateTime", "датаначала": "startDateTime",
    "enddate": "finishDateTime", "finishdate": "finishDateTime", "end": "finishDateTime",
    "датаокончания": "finishDateTime",
    "attempts": "maxAttempts", "попытки": "maxAttempts",
    "days": "allowedDays", "weekdays": "allowedDays", "днинедели": "allowedDays",
}  # fmt: skip
"""Names of columns that look like settings, and which."""
_NUMBER = re.compile(r"\W*(?:[0-9]\W{0,3}){7,15}\W*")
SAMPLE_ROWS = 30
"""By how many rows it is found out which columns hold numbers."""


def _fold(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())


class Sample(NamedTuple):
    """The first rows of a list: the place of its header (a line, or a row of a sheet), and places and cells of rows
    behind it."""

    header: int = 1
    rows: Sequence[tuple[int, Sequence[Any]]] = ()


NO_SAMPLE = Sample()


def find_number_columns(names: Sequence[str], sample: Sample) -> list[str]:
    """Return the columns in which most cells that are not empty look like phone numbers."""
    found = []
    for index, name in enumerate(names):
        cells = [str(row[index]).strip() for _, row in sample.rows if len(row) > index and row[index] is not None]
        cells = [cell.removesuffix(".0") for cell in cells if cell]
        if cells and sum(map(_holds_number, cells)) * 2 > len(cells):
            found.append(name)
    return found


def _holds_number(cell: str) -> bool:
    return any(_NUMBER.fullmatch(part) for part in split_numbers(cell))


def recognise_phone(names: Sequence[str], sample: Sample) -> str | None:
    """Return the column that is surely the one of the numbers: no other holds any, and its name says so."""
    found = find_number_columns(names, sample)
    return found[0] if len(found) == 1 and _fold(found[0]) in _PHONE_NAMES and names.count(found[0]) == 1 else None


def describe_missing_phone(names: Sequence[str], sample: Sample, mapped: Mapping[str, str]) -> str:
    """Return what to do where no column is named `phone`."""
    if any(_NUMBER.fullmatch(str(name)) for name in names):
        return f"seems to have no header; its first line is {len(names)} cells, one of them a phone number"
    for place, row in sample.rows:
        if any(_fold(str(cell)) in _PHONE_NAMES for cell in row):
            return f"has no column 'phone'; its header seems to be below a title: say --header-row {place}"
    if numbers := [name for name in find_number_columns(names, sample) if name and name not in mapped]:
        flags = " or ".join(f"--column '{name}=phone'" for name in numbers[:5])
        return f"has no column 'phone'; numbers stand in {list_names(numbers)}: say {flags}"
    meant = [name for name in names if _fold(name) in _PHONE_NAMES or did_you_mean(name) == did_you_mean("Phone")]
    near = shlex.quote(f"{next((name for name in meant if name not in mapped), 'NAME')}=phone")
    return f"has no column 'phone'; its columns are {list_names(names)}. Name one with --column {near}"


def find_hints(payload: Sequence[str]) -> list[str]:
    """Return what is said of columns that go into the payload and look like settings."""
    hints = []
    for name in payload:
        if (field := _SETTINGS.get(_fold(name))) is not None:
            hints.append(f"column {name!r} goes into the payload; --column '{name}={field}' makes it a setting")
        elif did := did_you_mean(name):
            hints.append(f"column {name!r} goes into the payload{did}")
    return hints


def list_names(names: Sequence[str]) -> str:
    """Return names for a message, the first twenty."""
    return ", ".join(repr(name) for name in names[:20]) + (" …" if len(names) > 20 else "") or "none"
